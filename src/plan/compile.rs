//! A whole set: its streams and tables declared once, its rules bound to them, all findings collected.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::alerting::{AlertShape, AlertSpec};
use crate::model::diagnostic::{Diagnostic, Level, Place};

use super::cadence;
use super::catalog::Catalog;
use super::declare::declare;
use super::definition::{RuleDef, RuleSetDef, TableBody, TableDef};
use super::logical::RulePlan;
use super::mould::{self, Known, Moulds};
use super::report::{Problem, Report};
use super::rule::{self, Context, Syntax};
use super::share::Shapes;
use super::side::Side;
use super::skeleton::{self, Skeleton};
use super::table;
use super::text::Text;
use super::{Compiled, Limits, Outcome, file, parse};

/// See [`super::compile`].
pub(super) fn compile(set_name: &str, def: &RuleSetDef, limits: &Limits) -> Compiled {
    let hashes: Vec<u64> = def.rules.iter().map(|rule| rule.item().hash().short()).collect();
    compile_with(set_name, def, &hashes, limits)
}

/// See [`super::compile_hashed`].
pub(super) fn compile_with(set_name: &str, def: &RuleSetDef, hashes: &[u64], limits: &Limits) -> Compiled {
    let mut compiler = Compiler {
        ruleset: set_name.into(),
        limits,
        catalog: Catalog::new(),
        found: Vec::new(),
        shapes: Shapes::default(),
        moulds: Moulds::default(),
    };
    compiler.run(def, hashes)
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
        return Compiled { plan: None, diagnostics: sorted(structural), outcomes };
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
}

impl Compiler<'_> {
    fn run(&mut self, def: &RuleSetDef, hashes: &[u64]) -> Compiled {
        self.declare(def);
        let mut rules: Vec<RulePlan> = Vec::with_capacity(def.rules.len());
        let mut outcomes = Vec::with_capacity(def.rules.len());
        let mut ids: HashMap<&str, usize> = HashMap::new();
        if def.rules.len() > self.limits.rules {
            self.too_many(def);
        } else {
            for (i, rule) in def.rules.iter().enumerate() {
                let first = *ids.entry(rule.id.as_str()).or_insert(i);
                let hash = hashes.get(i).copied().unwrap_or_default();
                let plan = self.rule(rule, hash, first != i);
                outcomes.push(Outcome { rule: rule.id.as_str().into(), ok: plan.is_some() });
                rules.extend(plan);
            }
        }
        let mut found = std::mem::take(&mut self.found);
        let mut texts =
            def.streams.iter().map(|stream| &stream.sql).chain(def.rules.iter().map(|rule| &rule.sql));
        if texts.any(Text::is_from_file) || def.tables.iter().any(TableDef::is_from_file) {
            found = sorted(found);
        }
        let failed = found.iter().any(|d| d.level == Level::Error);
        let plan = (!failed).then(|| std::mem::take(&mut self.catalog).into_plan(rules));
        Compiled { plan, diagnostics: found, outcomes }
    }

    fn too_many(&mut self, def: &RuleSetDef) {
        let mut report = Report::new(String::new());
        let message =
            format!("the set has {} rules; at most {} are taken", def.rules.len(), self.limits.rules);
        if let Some(rule) = def.rules.get(self.limits.rules) {
            let place = Place::START;
            report.error_at_start(
                "",
                &rule.id,
                Problem::new("too-large", place, message).hint("split the set"),
            );
        }
        self.found.extend(report.into_found());
    }

    fn declare(&mut self, def: &RuleSetDef) {
        for stream in &def.streams {
            let report = Report::new(format!("stream {}", stream.name));
            self.created(&stream.sql, false, report);
        }
        for table in &def.tables {
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
            && matches!(self.moulds.find(skeleton), Known::Once)
        {
            self.try_out(def, skeleton);
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
            return Some(RulePlan {
                state: cadence::state(def.sql.as_str(), cast.declared()),
                alert: Arc::new(AlertSpec { rule: def.id.as_str().into(), hash, shape }),
                params: cast.params(std::mem::take(&mut skeleton.literals)),
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
    fn try_out(&mut self, def: &RuleDef, skeleton: &Skeleton) {
        let literals = mould::trial(&skeleton.literals);
        let trial = skeleton::fill(def, &skeleton.text, &literals);
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
        let labels = rule::labels(def, &mut report);
        let mut syntax = rule::read(def, self.limits, &mut report);
        let plan = self.sides(def, &syntax, &mut report).and_then(|(places, sides)| {
            let slots = &mut self.catalog.slots;
            let own =
                places.iter().map(|place| slots.get_mut(*place).map(std::mem::take).unwrap_or_default());
            let own = own.collect();
            let context = Context { ruleset: &self.ruleset, limits: self.limits, kind, labels, hash };
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
        let alert = Arc::make_mut(&mut plan.alert);
        alert.shape = self.shapes.alert(alert.shape.clone());
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
