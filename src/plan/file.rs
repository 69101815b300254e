//! The rule file: YAML into a set as written. Tells every wrong, missing or unknown field at once,
//! and reads no SQL.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::model::diagnostic::{Diagnostic, Level, Place};
use crate::model::ruleset::{Item, ItemKind};

use super::Limits;
use super::block::{self, Member, Part};
use super::definition::{
    ActiveDef, FlappingDef, InhibitorDef, LevelDef, NoDataDef, RowDef, RowsDef, RuleDef, RuleSetDef,
    StreamDef, TableBody, TableDef,
};
use super::parse::created_name;
use super::report::Problem;
use super::text::Text;
use super::texts::Texts;
use super::yaml::{self, At, Node, Value};

const FILE_FIELDS: &[&str] = &["streams", "tables", "rules"];
const TABLE_FIELDS: &[&str] = &["name", "key", "columns", "rows"];
const RULE_FIELDS: &[&str] = &[
    "id",
    "sql",
    "when",
    "clear",
    "for",
    "keep_firing_for",
    "repeat",
    "severity",
    "labels",
    "annotations",
    "key",
    "no_data",
    "forget",
    "levels",
    "times",
    "flapping",
    "active",
    "max_instances",
    "inhibited_by",
];
const NO_DATA_FIELDS: &[&str] = &["after", "do"];
const LEVEL_FIELDS: &[&str] = &["severity", "when", "clear"];
const FLAPPING_FIELDS: &[&str] = &["changes", "within"];
const INHIBITOR_FIELDS: &[&str] = &["rule", "on"];
const ACTIVE_FIELDS: &[&str] = &["days", "hours", "dates", "zone"];
/// Fields that the language has and this version does not: to pass over one would change what a
/// rule means.
const LATER_FIELDS: &[&str] = &["shadow"];

/// Reads a rule file.
///
/// # Errors
/// All that is wrong with its structure, in the order of the file.
pub fn parse(yaml: &str) -> Result<RuleSetDef, Vec<Diagnostic>> {
    parse_within(yaml, &Limits::default())
}

/// The same of a file that keeps to these limits.
///
/// # Errors
/// As [`parse`].
pub fn parse_within(yaml: &str, limits: &Limits) -> Result<RuleSetDef, Vec<Diagnostic>> {
    let (set, found) = read(yaml, limits);
    if found.is_empty() { Ok(set) } else { Err(found) }
}

/// See [`Texts::of_file`].
pub(super) fn texts<'a>(yaml: &'a str, limits: &Limits) -> Result<Texts<'a>, Vec<Diagnostic>> {
    if let Some(texts) = plain(yaml, limits) {
        return Ok(texts);
    }
    let (set, found) = any(yaml, limits);
    if found.is_empty() { Ok(set.into()) } else { Err(found) }
}

/// Reads what can be read of a rule file, and tells what cannot. Rules with a wrong field are left
/// out of the set.
pub(super) fn read(yaml: &str, limits: &Limits) -> (RuleSetDef, Vec<Diagnostic>) {
    plain(yaml, limits).map_or_else(|| any(yaml, limits), |texts| (texts.into_def(), Vec::new()))
}

/// A file that is plain, and with which nothing is wrong.
fn plain<'a>(yaml: &'a str, limits: &Limits) -> Option<Texts<'a>> {
    if yaml.len() > limits.file_bytes {
        return None;
    }
    let mut rules = 0;
    let file = block::open(without_mark(yaml), "rules", |member| {
        rules += 1;
        listed(member, rules).is_some()
    })?;
    let mut reader = Reader::default();
    let mut set = RuleSetDef::default();
    for member in &file.members {
        reader.begin(member.part);
        reader.member(&mut set, member.key.as_ref()?, &member.value);
    }
    reader.found.is_empty().then(|| Texts::listed(set, file.list, rules))
}

/// The rule number `n` of a file; `None` where anything is wrong with it.
pub(super) fn listed(member: &Member<'_>, n: usize) -> Option<RuleDef> {
    let mut reader = Reader::default();
    reader.begin(member.part);
    reader.rule(&member.value, &format!("#{n}"))
}

/// What is wrong with a file the full reader tells, with its places.
fn any(yaml: &str, limits: &Limits) -> (RuleSetDef, Vec<Diagnostic>) {
    if yaml.len() > limits.file_bytes {
        let message = format!("the file has {} bytes; at most {} are taken", yaml.len(), limits.file_bytes);
        return unread(Problem::new("too-large", Place::START, message).hint("split the file"));
    }
    let yaml = without_mark(yaml);
    let root = match yaml::read(yaml) {
        Ok(root) => root,
        Err((place, message)) => return unread(Problem::new("yaml", place, message)),
    };
    let mut reader = Reader { source: Some(yaml.into()), ..Reader::default() };
    let set = reader.set(&root);
    (set, reader.found)
}

/// The parser passes over a byte order mark and does not count it.
fn without_mark(yaml: &str) -> &str {
    yaml.trim_start_matches('\u{feff}')
}

fn is_id(text: &str) -> bool {
    let ok = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    !text.is_empty() && text.len() <= 128 && text.chars().all(ok)
}

fn unread(problem: Problem) -> (RuleSetDef, Vec<Diagnostic>) {
    (RuleSetDef::default(), vec![problem.finding(Level::Error, "", "")])
}

/// See [`Texts::of_items`].
pub(super) fn texts_of(items: &[Item]) -> Result<Texts<'_>, Vec<Diagnostic>> {
    let mut reader = Reader::default();
    let mut set = RuleSetDef::default();
    let mut rules = 0;
    for item in items {
        let label = || format!("{} {}", item.kind, item.name);
        match item.kind {
            ItemKind::Stream => set
                .streams
                .push(StreamDef { name: item.name.to_string(), sql: Text::own(item.body.as_ref()) }),
            ItemKind::Table => {
                let body = item.body.as_ref();
                let table = if body.starts_with('{') {
                    reader.stored_rows(&label(), body).map(TableBody::Rows)
                } else {
                    Some(TableBody::Statement(Text::own(body)))
                };
                set.tables.extend(table.map(|body| TableDef { name: item.name.to_string(), body }));
            }
            ItemKind::Rule if reader.item(item).is_some() => rules += 1,
            // What is wrong with it was told.
            ItemKind::Rule => {}
        }
    }
    if reader.found.is_empty() { Ok(Texts::items(set, items, rules)) } else { Err(reader.found) }
}

/// The rule that an item is, if it is one and nothing is wrong with it.
pub(super) fn rule_of(item: &Item) -> Option<RuleDef> {
    (item.kind == ItemKind::Rule).then(|| Reader::default().item(item))?
}

#[derive(Default)]
struct Reader {
    /// The file, or the part of it that is at hand, where the nodes come from one.
    source: Option<Arc<str>>,
    /// How many bytes of the file stand before that.
    before: usize,
    found: Vec<Diagnostic>,
}

impl Reader {
    /// Goes on with another part of the file.
    fn begin(&mut self, part: Part<'_>) {
        (self.source, self.before) = (Some(part.text.into()), part.byte);
    }

    /// A rule as an item holds it.
    fn item(&mut self, item: &Item) -> Option<RuleDef> {
        if let Some(rule) = RuleDef::from_body(&item.body).filter(|rule| is_id(rule.id.as_str())) {
            return Some(rule);
        }
        // What is wrong with it, if anything is, has to be told.
        match serde_json::from_str(&item.body) {
            Ok(json) => self.rule(&Node::from_json(json), &item.name),
            Err(e) => {
                let message = format!("the item is no JSON: {e}");
                let label = format!("{} {}", item.kind, item.name);
                self.error(&label, "", Problem::new("bad-item", Place::START, message));
                None
            }
        }
    }

    fn error(&mut self, item: &str, field: &str, problem: Problem) {
        self.found.push(problem.finding(Level::Error, item, field));
    }

    fn wrong(&mut self, item: &str, field: &str, node: &Node, expected: &str) {
        let found = match node.value {
            Value::Null => "nothing",
            Value::Text(_) | Value::Plain(..) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        };
        let message = if field.is_empty() {
            format!("expected {expected}, found {found}")
        } else {
            format!("`{field}` must be {expected}, found {found}")
        };
        let place = Place { length: 1, ..node.place() };
        self.error(item, field, Problem::new("wrong-field", place, message));
    }

    /// Reports a key that is no field.
    fn unknown(&mut self, item: &str, key: &Node, known: &[&str]) {
        let name = key.text().unwrap_or("");
        if LATER_FIELDS.contains(&name) {
            let message = format!("`{name}` is not supported by this version");
            let problem = Problem::new("not-yet", key.place(), message);
            self.error(item, name, problem.hint("leave it out only if the alerts are right without it"));
            return;
        }
        let problem = Problem::new("unknown-field", key.place(), format!("no field `{name}`"))
            .hint(format!("the fields are {}", known.join(", ")))
            .did_you_mean(name, known.iter().copied());
        self.error(item, name, problem);
    }

    fn set(&mut self, root: &Node) -> RuleSetDef {
        let mut set = RuleSetDef::default();
        let members = match &root.value {
            Value::Map(members) => members.as_slice(),
            Value::Null => &[],
            _ => {
                self.wrong("", "", root, "a mapping with `streams`, `tables` and `rules`");
                return set;
            }
        };
        for (key, value) in members {
            self.member(&mut set, key, value);
        }
        set
    }

    /// A member of the file.
    fn member(&mut self, set: &mut RuleSetDef, key: &Node, value: &Node) {
        match key.text() {
            Some("streams") => {
                for (i, node) in self.list("streams", value).iter().enumerate() {
                    if let Some(sql) = self.text(&format!("stream #{}", i + 1), "", node) {
                        let name = created_name(sql.as_str()).unwrap_or_else(|| format!("#{}", i + 1));
                        set.streams.push(StreamDef { name, sql });
                    }
                }
            }
            Some("tables") => {
                for (i, node) in self.list("tables", value).iter().enumerate() {
                    set.tables.extend(self.table(node, &format!("#{}", i + 1)));
                }
            }
            Some("rules") => {
                for (i, node) in self.list("rules", value).iter().enumerate() {
                    set.rules.extend(self.rule(node, &format!("#{}", i + 1)));
                }
            }
            _ => self.unknown("", key, FILE_FIELDS),
        }
    }

    fn list<'n>(&mut self, field: &str, node: &'n Node) -> &'n [Node] {
        match &node.value {
            Value::List(list) => list,
            Value::Null => &[],
            _ => {
                self.wrong("", field, node, "a list");
                &[]
            }
        }
    }

    fn text(&mut self, item: &str, field: &str, node: &Node) -> Option<Text> {
        let Some(text) = node.text() else {
            self.wrong(item, field, node, "a text");
            return None;
        };
        Some(match (&self.source, node.at) {
            (Some(source), Some(at)) => {
                let at = At { byte: at.byte.saturating_sub(self.before), ..at };
                Text::in_file(text.to_owned(), source, at)
            }
            _ => Text::own(text),
        })
    }

    fn table(&mut self, node: &Node, fallback: &str) -> Option<TableDef> {
        let Value::Map(members) = &node.value else {
            let item = format!("table {fallback}");
            if node.text().is_none() {
                self.wrong(&item, "", node, "a CREATE TABLE statement, or a mapping with `name` and `rows`");
                return None;
            }
            let sql = self.text(&item, "", node)?;
            let name = created_name(sql.as_str()).unwrap_or_else(|| fallback.to_owned());
            return Some(TableDef { name, body: TableBody::Statement(sql) });
        };
        let member = |field: &str| members.iter().find(|(key, _)| key.text() == Some(field));
        let name = member("name").and_then(|(_, value)| value.text()).filter(|name| !name.is_empty());
        let item = format!("table {}", name.unwrap_or(fallback));
        let before = self.found.len();
        let mut def = RowsDef {
            name: Text::own(""),
            key: Vec::new(),
            types: Vec::new(),
            columns: Vec::new(),
            rows: Vec::new(),
        };
        match member("name") {
            None => {
                let place = members.first().map_or(node.place(), |(key, _)| key.place());
                self.error(&item, "name", Problem::new("missing-field", place, "the table has no `name`"));
            }
            Some((_, value)) if value.text() == Some("") => {
                let problem = Problem::new("bad-name", value.place(), "the table's name is empty");
                self.error(&item, "name", problem);
            }
            Some((_, value)) => def.name = self.text(&item, "name", value).unwrap_or(def.name),
        }
        for (key, value) in members {
            match key.text().unwrap_or("") {
                "name" | "rows" => {}
                "key" => def.key = self.names(&item, value).unwrap_or_default(),
                "columns" => def.types = self.pairs(&item, "columns", value),
                _ => self.unknown(&item, key, TABLE_FIELDS),
            }
        }
        def.columns = def.types.iter().map(|(name, _)| name.clone()).collect();
        if let Some((_, value)) = member("rows") {
            self.rows(&item, value, &mut def);
        }
        let name = def.name.as_str().to_owned();
        (self.found.len() == before).then_some(TableDef { name, body: TableBody::Rows(def) })
    }

    /// The rows of a table, and the columns that only they tell.
    fn rows(&mut self, item: &str, node: &Node, def: &mut RowsDef) {
        let list = match &node.value {
            Value::List(list) => list.as_slice(),
            Value::Null => &[],
            _ => return self.wrong(item, "rows", node, "a list of mappings"),
        };
        let mut places: HashMap<String, usize> =
            def.columns.iter().enumerate().map(|(at, column)| (column.as_str().to_owned(), at)).collect();
        for row in list {
            let Value::Map(members) = &row.value else {
                self.wrong(item, "rows", row, "mappings of columns to values");
                continue;
            };
            let begin = members.first().map_or(row.place(), |(key, _)| key.place());
            let mut cells = vec![(Json::Null, begin); def.columns.len()];
            for (key, value) in members {
                let Some(name) = key.text() else {
                    self.wrong(item, "rows", key, "mappings of columns to values");
                    continue;
                };
                let at = match places.get(name) {
                    Some(at) => *at,
                    None => {
                        places.insert(name.to_owned(), def.columns.len());
                        def.columns.extend(self.text(item, "rows", key));
                        def.columns.len() - 1
                    }
                };
                if cells.len() <= at {
                    cells.resize(at + 1, (Json::Null, begin));
                }
                cells[at] = (value.to_json(), value.place());
            }
            def.rows.push(RowDef { place: begin, cells });
        }
    }

    /// The body of an item, as [`TableDef::item`] writes it.
    fn stored_rows(&mut self, item: &str, body: &str) -> Option<RowsDef> {
        #[derive(serde::Deserialize)]
        struct Body {
            columns: Vec<String>,
            key: Vec<String>,
            name: String,
            rows: Vec<Vec<Json>>,
            types: std::collections::BTreeMap<String, String>,
        }
        match serde_json::from_str::<Body>(body) {
            Ok(mut body) => {
                let typed =
                    |name: &String| Some((Text::own(name.as_str()), Text::own(body.types.remove(name)?)));
                let types = body.columns.iter().filter_map(typed).collect();
                let cells = |row: Vec<Json>| row.into_iter().map(|value| (value, Place::START)).collect();
                Some(RowsDef {
                    name: Text::own(body.name),
                    key: body.key.into_iter().map(Text::own).collect(),
                    types,
                    columns: body.columns.into_iter().map(Text::own).collect(),
                    rows: body
                        .rows
                        .into_iter()
                        .map(|row| RowDef { place: Place::START, cells: cells(row) })
                        .collect(),
                })
            }
            Err(e) => {
                let message = format!("the item is no table: {e}");
                self.error(item, "", Problem::new("bad-item", Place::START, message));
                None
            }
        }
    }

    fn rule(&mut self, node: &Node, fallback: &str) -> Option<RuleDef> {
        let Value::Map(members) = &node.value else {
            self.wrong(&format!("rule {fallback}"), "", node, "a mapping with `id` and `sql`");
            return None;
        };
        let id = members.iter().find(|(key, _)| key.text() == Some("id")).and_then(|(_, value)| value.text());
        let item = format!("rule {}", id.unwrap_or(fallback));
        let place = members.first().map_or(node.place(), |(key, _)| key.place());
        let before = self.found.len();
        let mut found = RuleDef::new(Text::own(""), Text::own(""));
        for (key, value) in members {
            let name = key.text().unwrap_or("");
            match name {
                "id" => found.id = self.id(&item, value),
                "sql" => found.sql = self.text(&item, name, value).unwrap_or(found.sql),
                "when" => found.when = self.text(&item, name, value),
                "clear" => found.clear = self.text(&item, name, value),
                "for" => found.for_ = self.text(&item, name, value),
                "keep_firing_for" => found.keep_firing_for = self.text(&item, name, value),
                "repeat" => found.repeat = self.text(&item, name, value),
                "severity" => found.severity = self.text(&item, name, value),
                "labels" => found.labels = self.pairs(&item, name, value),
                "annotations" => found.annotations = self.pairs(&item, name, value),
                "key" => found.key = self.names(&item, value),
                "no_data" => found.no_data = self.no_data(&item, value),
                "forget" => found.forget = self.text(&item, name, value),
                "levels" => found.levels = self.levels(&item, value),
                "times" => found.times = self.text(&item, name, value),
                "flapping" => found.flapping = self.flapping(&item, value),
                "active" => found.active = self.active(&item, value),
                "max_instances" => found.max_instances = self.text(&item, name, value),
                "inhibited_by" => found.inhibited_by = self.inhibitors(&item, value),
                _ => self.unknown(&item, key, RULE_FIELDS),
            }
        }
        for field in ["id", "sql"] {
            if !members.iter().any(|(key, _)| key.text() == Some(field)) {
                let message = format!("the rule has no `{field}`");
                self.error(&item, field, Problem::new("missing-field", place, message));
            }
        }
        (self.found.len() == before).then_some(found)
    }

    fn no_data(&mut self, item: &str, node: &Node) -> Option<NoDataDef> {
        let Value::Map(members) = &node.value else {
            self.wrong(item, "no_data", node, "a mapping with `after` and `do`");
            return None;
        };
        let (mut after, mut action) = (None, None);
        for (key, value) in members {
            match key.text().unwrap_or("") {
                "after" => after = self.text(item, "no_data.after", value),
                "do" => action = self.text(item, "no_data.do", value),
                _ => self.unknown(item, key, NO_DATA_FIELDS),
            }
        }
        for field in NO_DATA_FIELDS {
            if !members.iter().any(|(key, _)| key.text() == Some(*field)) {
                let place = members.first().map_or(node.place(), |(key, _)| key.place());
                let problem = Problem::new("missing-field", place, format!("`no_data` has no `{field}`"));
                self.error(item, "no_data", problem.hint("write `no_data: {after: 5m, do: fire}`"));
            }
        }
        Some(NoDataDef { after: after?, action: action? })
    }

    fn levels(&mut self, item: &str, node: &Node) -> Vec<LevelDef> {
        let Value::List(list) = &node.value else {
            self.wrong(item, "levels", node, "a list of levels, as in `[{severity: warning, when: t > 60}, {severity: critical, when: t > 80}]`");
            return Vec::new();
        };
        if list.is_empty() {
            let problem = Problem::new("bad-value", node.place(), "there is no level in `levels`");
            self.error(
                item,
                "levels",
                problem
                    .hint("write `[{severity: warning, when: t > 60}, {severity: critical, when: t > 80}]`"),
            );
        }
        list.iter().enumerate().filter_map(|(at, node)| self.level(item, at, node)).collect()
    }

    fn level(&mut self, item: &str, at: usize, node: &Node) -> Option<LevelDef> {
        let Value::Map(members) = &node.value else {
            self.wrong(item, "levels", node, "a list of mappings with `severity` and `when`");
            return None;
        };
        let (mut severity, mut when, mut clear) = (None, None, None);
        for (key, value) in members {
            let name = key.text().unwrap_or("");
            let field = format!("levels[{at}].{name}");
            match name {
                "severity" => severity = self.text(item, &field, value),
                "when" => when = self.text(item, &field, value),
                "clear" => clear = self.text(item, &field, value),
                _ => self.unknown(item, key, LEVEL_FIELDS),
            }
        }
        for field in ["severity", "when"] {
            if !members.iter().any(|(key, _)| key.text() == Some(field)) {
                let place = members.first().map_or(node.place(), |(key, _)| key.place());
                let problem = Problem::new("missing-field", place, format!("the level has no `{field}`"));
                self.error(item, "levels", problem.hint("write `{severity: warning, when: t > 60}`"));
            }
        }
        Some(LevelDef { severity: severity?, when: when?, clear })
    }

    fn flapping(&mut self, item: &str, node: &Node) -> Option<FlappingDef> {
        let Value::Map(members) = &node.value else {
            if node.text().is_none() {
                self.wrong(item, "flapping", node, "`off`, or a mapping with `changes` and `within`");
                return None;
            }
            return self.text(item, "flapping", node).map(FlappingDef::Word);
        };
        let (mut changes, mut within) = (None, None);
        for (key, value) in members {
            match key.text().unwrap_or("") {
                "changes" => changes = self.text(item, "flapping.changes", value),
                "within" => within = self.text(item, "flapping.within", value),
                _ => self.unknown(item, key, FLAPPING_FIELDS),
            }
        }
        Some(FlappingDef::Often { changes, within })
    }

    fn active(&mut self, item: &str, node: &Node) -> Vec<ActiveDef> {
        match &node.value {
            Value::List(list) => list.iter().filter_map(|node| self.active_part(item, node)).collect(),
            _ => self.active_part(item, node).into_iter().collect(),
        }
    }

    fn active_part(&mut self, item: &str, node: &Node) -> Option<ActiveDef> {
        let Value::Map(members) = &node.value else {
            self.wrong(
                item,
                "active",
                node,
                "a mapping with `days`, `hours`, `dates` and `zone`, or a list of them",
            );
            return None;
        };
        let mut found = ActiveDef::default();
        for (key, value) in members {
            match key.text().unwrap_or("") {
                "days" => found.days = self.texts(item, "active.days", value),
                "hours" => found.hours = self.texts(item, "active.hours", value),
                "dates" => found.dates = self.texts(item, "active.dates", value),
                "zone" => found.zone = self.text(item, "active.zone", value),
                _ => self.unknown(item, key, ACTIVE_FIELDS),
            }
        }
        Some(found)
    }

    fn inhibitors(&mut self, item: &str, node: &Node) -> Vec<InhibitorDef> {
        match &node.value {
            Value::List(list) => list.iter().filter_map(|node| self.inhibitor(item, node)).collect(),
            _ => self.inhibitor(item, node).into_iter().collect(),
        }
    }

    /// A rule's id, or a mapping with it.
    fn inhibitor(&mut self, item: &str, node: &Node) -> Option<InhibitorDef> {
        let Value::Map(members) = &node.value else {
            if node.text().is_none() {
                self.wrong(
                    item,
                    "inhibited_by",
                    node,
                    "a rule, or a list of rules or of `{rule: gateway-down, on: [site]}`",
                );
                return None;
            }
            return Some(InhibitorDef { rule: self.text(item, "inhibited_by", node)?, on: None });
        };
        let (mut rule, mut on) = (None, None);
        for (key, value) in members {
            match key.text().unwrap_or("") {
                "rule" => rule = self.text(item, "inhibited_by.rule", value),
                "on" => on = Some(self.texts(item, "inhibited_by.on", value)),
                _ => self.unknown(item, key, INHIBITOR_FIELDS),
            }
        }
        if !members.iter().any(|(key, _)| key.text() == Some("rule")) {
            let place = members.first().map_or(node.place(), |(key, _)| key.place());
            let problem = Problem::new("missing-field", place, "`inhibited_by` has no `rule`");
            self.error(item, "inhibited_by", problem.hint("write `{rule: gateway-down, on: [site]}`"));
        }
        Some(InhibitorDef { rule: rule?, on })
    }

    /// A text, or a list of them.
    fn texts(&mut self, item: &str, field: &str, node: &Node) -> Vec<Text> {
        match &node.value {
            Value::List(list) => list.iter().filter_map(|node| self.text(item, field, node)).collect(),
            _ => self.text(item, field, node).into_iter().collect(),
        }
    }

    fn id(&mut self, item: &str, node: &Node) -> Text {
        let Some(id) = self.text(item, "id", node) else { return Text::own("") };
        if !is_id(id.as_str()) {
            let message = format!("`{}` is no rule id", id.as_str());
            let problem = Problem::new("bad-name", id.start(), message);
            self.error(item, "id", problem.hint("use 1 to 128 letters, digits, `_`, `.` and `-`"));
        }
        id
    }

    fn pairs(&mut self, item: &str, field: &str, node: &Node) -> Vec<(Text, Text)> {
        match &node.value {
            Value::Map(members) => members
                .iter()
                .filter_map(|(key, value)| {
                    let name = self.text(item, field, key)?;
                    let inner = format!("{field}.{}", name.as_str());
                    Some((name, self.text(item, &inner, value)?))
                })
                .collect(),
            Value::Null => Vec::new(),
            _ => {
                self.wrong(item, field, node, "a mapping of names to texts");
                Vec::new()
            }
        }
    }

    fn names(&mut self, item: &str, node: &Node) -> Option<Vec<Text>> {
        match &node.value {
            Value::List(list) => list.iter().map(|node| self.text(item, "key", node)).collect(),
            _ => {
                self.wrong(item, "key", node, "a list of columns");
                None
            }
        }
    }
}
