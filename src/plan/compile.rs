//! A whole set: its streams and tables declared once, its rules bound to them, all findings collected.

use std::sync::Arc;

use crate::model::alerting::{AlertShape, AlertSpec};
use crate::model::diagnostic::{Diagnostic, Level, Place};

use super::basis::{Basis, Places, Running};
use super::cadence;
use super::catalog::Catalog;
use super::declare::declare;
use super::definition::{InhibitorDef, RuleDef, RuleSetDef, TableBody, TableDef};
use super::ids::Ids;
use super::inhibition;
use super::life;
use super::logical::RulePlan;
use super::mould::{self, Known, Moulds};
use super::report::{Problem, Report};
use super::rule::{self, Context, Syntax};
use super::share::Shapes;
use super::side::Side;
use super::silence;
use super::skeleton::{self, Skeleton};
use super::table;
use super::text::Text;
use super::texts::Texts;
use super::{Compiled, Limits, Outcome, file, parse};

/// See [`super::compile`].
pub(super) fn compile(set_name: &str, def: &RuleSetDef, limits: &Limits) -> Compiled {
    let hashes: Vec<u64> = def.rules.iter().map(|rule| rule.item().hash().short()).collect();
    let mut compiler = Compiler::new(set_name, limits);
    compiler.outcomes = Some(Vec::with_capacity(hashes.len()));
    whole(compiler.run(&def.into(), &hashes, None))
}

/// See [`super::compile_hashed`].
pub(super) fn compile_with(set_name: &str, texts: &Texts<'_>, hashes: &[u64], limits: &Limits) -> Compiled {
    whole(Compiler::new(set_name, limits).run(texts, hashes, None))
}

/// Only what is planned on something can find no place.
fn whole(compiled: Option<Compiled>) -> Compiled {
    compiled.unwrap_or_else(|| Compiled::refused(Vec::new(), Vec::new()))
}

/// See [`super::recompile`].
pub(super) fn recompile(
    set_name: &str,
    texts: &Texts<'_>,
    hashes: &[u64],
    limits: &Limits,
    before: &Running<'_>,
) -> Compiled {
    let on_it = Compiler::new(set_name, limits).run(texts, hashes, Some(before));
    on_it.unwrap_or_else(|| compile_with(set_name, texts, hashes, limits))
}

/// See [`super::compile_text`].
pub(super) fn compile_text(set_name: &str, yaml: &str, limits: &Limits) -> Compiled {
    let (def, structural) = file::read(yaml, limits);
    // Where a stream or table could not be read, whether a rule may use it is anyone's guess.
    let about_sources = |d: &Diagnostic| {
        d.item.is_empty() && *d.code != *"not-yet"
            || d.item.starts_with("stream")
            || d.item.starts_with("table")
    };
    let blind = structural.iter().any(about_sources);
    if blind {
        let outcomes =
            def.rules.iter().map(|rule| Outcome { rule: rule.id.as_str().into(), ok: false }).collect();
        return Compiled::refused(sorted(structural), outcomes);
    }
    let mut compiled = compile(set_name, &def, limits);
    if !structural.is_empty() {
        compiled.plan = None;
        compiled.diagnostics.extend(structural);
    }
    compiled.diagnostics = sorted(compiled.diagnostics);
    compiled
}

fn sorted(mut found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    found.sort_by_key(|d| d.place);
    found
}

struct Compiler<'a> {
    ruleset: Arc<str>,
    limits: &'a Limits,
    catalog: Catalog,
    found: Vec<Diagnostic>,
    shapes: Shapes,
    moulds: Moulds,
    /// What became of each rule, where anybody asks.
    outcomes: Option<Vec<Outcome>>,
    /// The rules whose alerts others explain, by id and in the order of the set.
    inhibited: Vec<(String, Vec<InhibitorDef>)>,
}

impl<'a> Compiler<'a> {
    fn new(set_name: &str, limits: &'a Limits) -> Self {
        Compiler {
            ruleset: set_name.into(),
            limits,
            catalog: Catalog::new(),
            found: Vec::new(),
            shapes: Shapes::default(),
            moulds: Moulds::default(),
            outcomes: None,
            inhibited: Vec::new(),
        }
    }
}

impl Compiler<'_> {
    /// Plans a set, on what runs where that is given. `None` where it cannot be planned on that.
    fn run(&mut self, texts: &Texts<'_>, hashes: &[u64], before: Option<&Running<'_>>) -> Option<Compiled> {
        self.declare(texts);
        self.expect(texts);
        if let Some(before) = before {
            let declared = before.basis.streams.as_ref()?;
            self.catalog.resume(before.plan, declared).then_some(())?;
            self.shapes.know(before.plan);
        }
        let mut places = Places::new(before);
        let mut from_file = texts.streams.iter().any(|stream| stream.sql.is_from_file())
            || texts.tables.iter().any(TableDef::is_from_file);
        let mut ids = Ids::default();
        let mut hashes = hashes.iter().copied();
        if texts.rules() > self.limits.rules {
            self.too_many(texts);
        } else {
            texts.each_rule(|rule| {
                from_file |= rule.sql.is_from_file();
                let again = !ids.insert(rule.id.as_str());
                if !rule.inhibited_by.is_empty() {
                    self.inhibited.push((rule.id.as_str().to_owned(), rule.inhibited_by.clone()));
                }
                let hash = hashes.next().unwrap_or_default();
                let kept = !again && places.keep(rule.id.as_str(), hash);
                let plan = if kept { None } else { self.rule(rule, hash, again) };
                if let Some(outcomes) = &mut self.outcomes {
                    outcomes.push(Outcome { rule: rule.id.as_str().into(), ok: kept || plan.is_some() });
                }
                plan.into_iter().for_each(|plan| places.put(plan));
            });
        }
        drop(ids);
        let outcomes = self.outcomes.take().unwrap_or_default();
        let mut found = std::mem::take(&mut self.found);
        if from_file {
            found = sorted(found);
        }
        let failed = found.iter().any(|d| d.level == Level::Error);
        if failed {
            return Some(Compiled::refused(found, outcomes));
        }
        let streams = self.catalog.declarations();
        let (rules, touched) = places.into_rules()?;
        let wrong = inhibition::check(&self.inhibited, &rules);
        if !wrong.is_empty() {
            found.extend(wrong);
            return Some(Compiled::refused(if from_file { sorted(found) } else { found }, outcomes));
        }
        if before.is_some() && streams.is_none() {
            return None;
        }
        let basis = Basis::new(streams, &found);
        let mut plan = std::mem::take(&mut self.catalog).into_plan(rules);
        for (stream, was) in
            plan.streams.iter_mut().zip(before.iter().flat_map(|before| &before.plan.streams))
        {
            if stream == was {
                stream.clone_from(was);
            }
        }
        let plan = Some(plan);
        Some(Compiled { plan, diagnostics: found, outcomes, basis, touched: before.map(|_| touched) })
    }

    fn too_many(&mut self, texts: &Texts<'_>) {
        let mut report = Report::new(String::new());
        let message = format!("the set has {} rules; at most {} are taken", texts.rules(), self.limits.rules);
        let problem = Problem::new("too-large", Place::START, message).hint("split the set");
        let mut left = self.limits.rules;
        texts.each_rule(|rule| {
            if left == 0 {
                report.error_at_start("", &rule.id, problem.clone());
            }
            left = left.wrapping_sub(1);
        });
        self.found.extend(report.into_found());
    }

    fn declare(&mut self, texts: &Texts<'_>) {
        for stream in texts.streams.iter() {
            let report = Report::new(format!("stream {}", stream.name));
            self.created(&stream.sql, false, report);
        }
        for table in texts.tables.iter() {
            let mut report = Report::new(format!("table {}", table.name));
            match &table.body {
                TableBody::Statement(sql) => self.created(sql, true, report),
                TableBody::Rows(rows) => {
                    self.once(&table.name, "table", Place::START)
                        .into_iter()
                        .for_each(|problem| report.error_at_start("name", &rows.name, problem));
                    let found = table::rows(rows, self.limits, &mut report);
                    self.catalog.add_rows(&table.name, found.map(|found| (found.schema, found.rows)));
                    self.found.extend(report.into_found());
                }
            }
        }
    }

    /// Tells streams which keys to expect, once all tables are known.
    fn expect(&mut self, texts: &Texts<'_>) {
        for stream in texts.streams.iter() {
            let name = parse::created_name(stream.sql.as_str());
            if let Err(problem) = name.map_or(Ok(()), |name| self.catalog.expect(&name)) {
                let mut report = Report::new(format!("stream {}", stream.name));
                report.error("", &stream.sql, problem);
                self.found.extend(report.into_found());
            }
        }
    }

    /// Declares what a statement creates.
    fn created(&mut self, sql: &Text, table: bool, mut report: Report) {
        let mut problems = Vec::new();
        let mut schema = None;
        let mut name = parse::created_name(sql.as_str());
        match parse::create(sql.as_str(), self.limits) {
            Ok(create) => {
                schema = declare(&create, table, &mut problems);
                let kind = if table { "table" } else { "stream" };
                if let Some(problem) = self.once(&create.name.text, kind, create.name.place) {
                    problems.push(problem);
                    name = None;
                }
            }
            Err(problem) => {
                self.catalog.unsure |= name.is_none();
                problems.push(problem);
            }
        }
        if let Some(name) = name {
            self.catalog.add_created(&name, schema, table);
        }
        problems.into_iter().for_each(|problem| report.error("", sql, problem));
        self.found.extend(report.into_found());
    }

    /// The problem that an earlier declaration of the set has this name.
    fn once(&self, name: &str, kind: &str, place: Place) -> Option<Problem> {
        let known = self.catalog.declared(name)?;
        Some(match (known, kind) {
            ("stream", "stream") => {
                Problem::new("duplicate-stream", place, format!("two streams are called `{name}`"))
            }
            ("table", "table") => {
                Problem::new("duplicate-table", place, format!("two tables are called `{name}`"))
            }
            _ => Problem::new("duplicate-table", place, format!("a stream and a table are called `{name}`")),
        })
    }

    /// Plans a rule, or casts it where one like it was planned.
    fn rule(&mut self, def: &RuleDef, hash: u64, again: bool) -> Option<RulePlan> {
        let fits = |text: &Text| text.as_str().len() <= self.limits.text_bytes;
        let texts = std::iter::once(&def.sql).chain(&def.when).chain(&def.clear);
        let skeleton = if again || !texts.into_iter().all(fits) { None } else { skeleton::of(def) };
        if let Some(skeleton) = &skeleton
            && let Known::Once(rule) = self.moulds.find(skeleton)
        {
            let own = |text: &Arc<str>| Text::own(text.as_ref());
            let labels = rule.alert.labels.iter().map(|(name, value)| (own(name), own(value))).collect();
            self.try_out(RuleDef { labels, ..def.clone() }, skeleton);
        }
        let Some(mut skeleton) = skeleton else { return self.planned(def, hash, again) };
        if let Known::Cast(cast) = self.moulds.find(&skeleton) {
            let mut shape = cast.rule().alert.shape.clone();
            if !cast.has_labels(def) {
                let labels =
                    def.labels.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into()));
                shape =
                    self.shapes.alert(Arc::new(AlertShape { labels: labels.collect(), ..(*shape).clone() }));
            }
            let mut params = cast.params(std::mem::take(&mut skeleton.literals));
            self.shapes.texts(&mut params);
            return Some(RulePlan {
                state: cadence::state(def.sql.as_str(), cast.declared()),
                alert: AlertSpec { rule: def.id.as_str().into(), hash, shape },
                params: params.into(),
                shape: cast.rule().shape.clone(),
            });
        }
        let before = self.found.len();
        let plan = self.planned(def, hash, again)?;
        if self.found.len() == before {
            self.moulds.planned(skeleton, &plan);
        }
        Some(plan)
    }

    /// Plans a rule with literals that no rule has, to see where they go.
    fn try_out(&mut self, def: RuleDef, skeleton: &Skeleton) {
        let literals = mould::trial(&skeleton.literals);
        let trial = skeleton::fill(&def, &skeleton.text, &literals);
        let trial = RuleDef { id: Text::own("a rule that is not there"), ..trial };
        let before = self.found.len();
        let plan = self.planned(&trial, 0, false);
        let plan = plan.filter(|_| self.found.len() == before);
        self.found.truncate(before);
        let mut report = Report::new(String::new());
        let syntax = rule::read(&trial, self.limits, &mut report);
        let sides = self.sides(&trial, &syntax, &mut report);
        let declared = sides.map(|(_, sides)| cadence::declared(&sides)).unwrap_or_default();
        self.moulds.tried(skeleton, plan.as_ref().map(|plan| (plan, literals.as_slice())), declared);
    }

    fn planned(&mut self, def: &RuleDef, hash: u64, again: bool) -> Option<RulePlan> {
        let mut report = Report::new(format!("rule {}", def.id.as_str()));
        if again {
            let message = format!("two rules have the id `{}`", def.id.as_str());
            let place = Place::START;
            report.error_at_start("id", &def.id, Problem::new("duplicate-rule", place, message));
        }
        let kind = rule::kind(def, &mut report);
        let no_data = silence::read(def, &mut report);
        let life = life::read(def, &mut report);
        let labels = rule::labels(def, &mut report);
        let mut syntax = rule::read(def, self.limits, &mut report);
        let plan = self.sides(def, &syntax, &mut report).and_then(|(places, sides)| {
            let slots = &mut self.catalog.slots;
            let own =
                places.iter().map(|place| slots.get_mut(*place).map(std::mem::take).unwrap_or_default());
            let own = own.collect();
            let context =
                Context { ruleset: &self.ruleset, limits: self.limits, kind, no_data, life, labels, hash };
            let (plan, own) = rule::bind(def, &mut syntax, sides, own, context, &mut report);
            for (place, own) in places.iter().zip(own) {
                if let Some(slots) = slots.get_mut(*place) {
                    *slots = own;
                }
            }
            plan
        });
        let failed = report.failed();
        self.found.extend(report.into_found());
        let mut plan = plan.filter(|_| !failed)?;
        plan.shape = self.shapes.plan(plan.shape);
        plan.alert.shape = self.shapes.alert(plan.alert.shape.clone());
        let mut params = plan.params.to_vec();
        self.shapes.texts(&mut params);
        plan.params = params.into();
        Some(plan)
    }

    /// The sides of a rule's FROM, and the streams and tables behind them, each once. `None` where one
    /// is not known or was declared wrongly.
    fn sides(
        &mut self,
        def: &RuleDef,
        syntax: &Syntax,
        report: &mut Report,
    ) -> Option<(Vec<usize>, Vec<Side>)> {
        let from = &syntax.select.as_ref()?.from;
        let found: Vec<Option<usize>> = from
            .iter()
            .map(|source| {
                let found = self.catalog.find(&source.name);
                found.map_err(|problem| report.error("sql", &def.sql, problem)).ok()?
            })
            .collect();
        let mut places: Vec<usize> = Vec::new();
        let mut sides = Vec::with_capacity(from.len());
        for (source, place) in from.iter().zip(found) {
            let place = place?;
            let schema = self.catalog.schema(place)?;
            let known = places.iter().position(|known| *known == place).unwrap_or_else(|| {
                places.push(place);
                places.len() - 1
            });
            let name = source.called();
            sides.push(Side {
                called: name.text.clone(),
                place: name.place,
                schema,
                source: known,
                plan: self.catalog.side(place)?,
            });
        }
        Some((places, sides))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_rule_of_a_template_is_cast() {
        let rule = |at: usize| {
            let text = |text: String| Text::own(text);
            RuleDef {
                when: Some(text(format!("v > {at}.5 OR v < -{at}"))),
                labels: vec![(Text::own("line"), text(format!("l{at}")))],
                annotations: vec![(Text::own("summary"), Text::own("{{ device }}: {{ v }}"))],
                severity: Some(Text::own("critical")),
                ..RuleDef::new(
                    text(format!("r{at}")),
                    text(format!("SELECT device, v FROM s WHERE device = 'd{at}'")),
                )
            }
        };
        let sql = "CREATE STREAM s (v FLOAT) WITH (DATASOURCE='t/{device}', KEY='device')";
        let streams = vec![crate::plan::definition::StreamDef { name: "s".to_owned(), sql: Text::own(sql) }];
        let def = RuleSetDef { streams, tables: Vec::new(), rules: (0..3).map(rule).collect() };
        let limits = Limits::default();
        let mut compiler = Compiler::new("set", &limits);
        let compiled = compiler.run(&(&def).into(), &[1, 2, 3], None).unwrap();
        assert!(compiled.diagnostics.is_empty(), "{:?}", compiled.diagnostics);
        let skeleton = skeleton::of(&def.rules[2]).unwrap();
        assert!(matches!(compiler.moulds.find(&skeleton), Known::Cast(_)));
        let plan = compiled.plan.unwrap();
        let alone = compile("set", &RuleSetDef { rules: vec![def.rules[2].clone()], ..def.clone() }, &limits);
        let (cast, alone) = (&plan.rules[2], &alone.plan.unwrap().rules[0]);
        assert_eq!((&cast.shape, &cast.params, cast.state), (&alone.shape, &alone.params, alone.state));
        assert_eq!(cast.alert.shape, alone.alert.shape);
        assert_eq!(cast.alert.hash, 3);
    }
}
