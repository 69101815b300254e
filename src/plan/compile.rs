//! A whole set: its streams declared once, its rules bound to them, all findings collected.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::diagnostic::{Diagnostic, Level, Place};
use crate::model::node::NODE_STREAMS;
use crate::model::stream::StreamSpec;

use super::declare::declare;
use super::definition::{RuleDef, RuleSetDef};
use super::logical::{Plan, RulePlan};
use super::report::{Problem, Report};
use super::rule::{self, Context};
use super::stream::{Schema, Slots};
use super::syntax::Name;
use super::text::Text;
use super::{Compiled, Limits, Outcome, file, parse};

/// See [`super::compile`].
pub(super) fn compile(set_name: &str, def: &RuleSetDef, limits: &Limits) -> Compiled {
    let mut compiler = Compiler {
        ruleset: set_name.into(),
        limits,
        streams: Vec::new(),
        by_name: HashMap::new(),
        used: 0,
        unsure: false,
        found: Vec::new(),
    };
    compiler.run(def)
}

/// See [`super::compile_text`].
pub(super) fn compile_text(set_name: &str, yaml: &str, limits: &Limits) -> Compiled {
    let (def, structural) = file::read(yaml, limits);
    // Where a stream could not be read, whether a rule may use it is anyone's guess.
    let about_streams =
        |d: &Diagnostic| d.item.is_empty() && *d.code != *"not-yet" || d.item.starts_with("stream");
    let blind = structural.iter().any(about_streams);
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
    streams: Vec<Stream>,
    by_name: HashMap<String, usize>,
    /// How many streams rules use so far.
    used: usize,
    /// A stream's name could not be read, so a name that is not there may be its.
    unsure: bool,
    found: Vec<Diagnostic>,
}

struct Stream {
    /// `None`: its declaration is wrong, and that was reported.
    schema: Option<Schema>,
    /// Its place in the plan and the slots taken, once a rule uses it.
    use_: Option<(usize, Slots)>,
}

impl Compiler<'_> {
    fn run(&mut self, def: &RuleSetDef) -> Compiled {
        for stream in NODE_STREAMS {
            self.by_name.insert(stream.name.to_owned(), self.streams.len());
            self.streams.push(Stream { schema: Schema::built_in(stream), use_: None });
        }
        self.declare(def);
        let mut rules: Vec<Arc<RulePlan>> = Vec::with_capacity(def.rules.len());
        let mut outcomes = Vec::with_capacity(def.rules.len());
        let mut ids: HashMap<&str, usize> = HashMap::new();
        if def.rules.len() > self.limits.rules {
            self.too_many(def);
        } else {
            for (i, rule) in def.rules.iter().enumerate() {
                let first = *ids.entry(rule.id.as_str()).or_insert(i);
                let plan = self.rule(rule, first != i);
                outcomes.push(Outcome { rule: rule.id.as_str().into(), ok: plan.is_some() });
                rules.extend(plan.map(Arc::new));
            }
        }
        let mut found = std::mem::take(&mut self.found);
        if def
            .streams
            .iter()
            .map(|stream| &stream.sql)
            .chain(def.rules.iter().map(|rule| &rule.sql))
            .any(Text::is_from_file)
        {
            found = sorted(found);
        }
        let failed = found.iter().any(|d| d.level == Level::Error);
        let plan = (!failed).then(|| Plan { streams: self.specs(), tables: Vec::new(), rules });
        Compiled { plan, diagnostics: found, outcomes }
    }

    fn too_many(&mut self, def: &RuleSetDef) {
        let mut report = Report::new(String::new());
        let message =
            format!("the set has {} rules; at most {} are taken", def.rules.len(), self.limits.rules);
        if let Some(rule) = def.rules.get(self.limits.rules) {
            let place = Place { line: 1, column: 1, length: 1 };
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
            let mut report = Report::new(format!("stream {}", stream.name));
            let mut problems = Vec::new();
            let mut schema = None;
            let mut name = parse::created_name(stream.sql.as_str());
            match parse::create(stream.sql.as_str(), self.limits) {
                Ok(create) => {
                    schema = declare(&create, &mut problems);
                    if self.declared(&create.name) {
                        let message = format!("two streams are called `{}`", create.name.text);
                        problems.push(Problem::new("duplicate-stream", create.name.place, message));
                        name = None;
                    }
                }
                Err(problem) => {
                    self.unsure |= name.is_none();
                    problems.push(problem);
                }
            }
            if let Some(name) = name {
                let place = self.streams.len();
                if *self.by_name.entry(name).or_insert(place) == place {
                    self.streams.push(Stream { schema, use_: None });
                }
            }
            problems.into_iter().for_each(|problem| report.error("", &stream.sql, problem));
            self.found.extend(report.into_found());
        }
    }

    /// Whether an earlier statement of the set made a stream of this name.
    fn declared(&self, name: &Name) -> bool {
        self.by_name.get(&name.text).is_some_and(|place| *place >= NODE_STREAMS.len())
    }

    fn rule(&mut self, def: &RuleDef, again: bool) -> Option<RulePlan> {
        let mut report = Report::new(format!("rule {}", def.id.as_str()));
        if again {
            let message = format!("two rules have the id `{}`", def.id.as_str());
            let place = Place { line: 1, column: 1, length: 1 };
            report.error_at_start("id", &def.id, Problem::new("duplicate-rule", place, message));
        }
        let kind = rule::kind(def, &mut report);
        let labels = rule::labels(def, &mut report);
        let syntax = rule::read(def, self.limits, &mut report);
        let plan = syntax.select.as_ref().and_then(|select| {
            let stream = self.find(&select.stream, def, &mut report)?;
            let used = self.used;
            let stream = self.streams.get_mut(stream)?;
            let schema = stream.schema.as_ref()?;
            let (place, slots) = stream.use_.get_or_insert_with(|| (used, schema.slots()));
            self.used = used.max(*place + 1);
            let context =
                Context { ruleset: &self.ruleset, schema, stream: *place, limits: self.limits, kind, labels };
            Some(rule::bind(def, &syntax, select, slots, context, &mut report))
        });
        let failed = report.failed();
        self.found.extend(report.into_found());
        plan.filter(|_| !failed)
    }

    fn find(&self, name: &Name, def: &RuleDef, report: &mut Report) -> Option<usize> {
        let found = self.by_name.get(&name.text).copied();
        if found.is_none() && !self.unsure {
            let problem = Problem::new("unknown-stream", name.place, format!("no stream `{}`", name.text));
            let names = self.by_name.keys().map(String::as_str);
            let mut names: Vec<&str> = names.collect();
            names.sort_unstable();
            let problem = problem.did_you_mean(&name.text, names);
            let hint = problem
                .hint
                .clone()
                .unwrap_or_else(|| "declare it under `streams` with CREATE STREAM".to_owned());
            report.error("sql", &def.sql, problem.hint(hint));
        }
        found
    }

    fn specs(&mut self) -> Vec<Arc<StreamSpec>> {
        let mut used: Vec<(usize, _)> = self
            .streams
            .iter_mut()
            .filter_map(|stream| {
                let (place, slots) = stream.use_.take()?;
                Some((place, Arc::new(stream.schema.as_ref()?.spec(slots))))
            })
            .collect();
        used.sort_by_key(|(place, _)| *place);
        used.into_iter().map(|(_, spec)| spec).collect()
    }
}
