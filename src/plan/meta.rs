//! `meta(…)` and `mqtt(…)`: what is known of a message besides its payload. They are fields, not
//! functions: what they name is no column.

use crate::model::diagnostic::Place;
use crate::model::stream::{Field, FieldSource, TimeUnit};
use crate::model::value::{DataType, Value};

use super::bind::{Binder, Clause, Typed};
use super::report::Problem;
use super::side::called;
use super::syntax::{Call, Kind};

/// What may stand in them.
const KNOWN: &str = "topic, qos, retained, source, received, properties->name";

/// The names of both.
pub(super) const NAMES: [&str; 2] = ["meta", "mqtt"];

/// Whether this is one of them.
pub(super) fn is(call: &Call) -> bool {
    NAMES.iter().any(|name| call.name.text.eq_ignore_ascii_case(name))
}

/// The names in its argument: of a path, or of a text.
fn names(call: &Call) -> Option<Vec<String>> {
    match call.args.as_slice() {
        [node] => match &node.kind {
            Kind::Path(path) => Some(path.names.iter().map(|name| name.text.clone()).collect()),
            Kind::Const(Value::Str(text)) => Some(vec![text.to_string()]),
            _ => None,
        },
        _ => None,
    }
}

fn source(names: &[String]) -> Option<(FieldSource, DataType)> {
    let lower: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    let known: Vec<&str> = lower.iter().map(String::as_str).collect();
    Some(match known.as_slice() {
        ["topic"] => (FieldSource::Topic, DataType::String),
        ["qos"] => (FieldSource::Qos, DataType::Bigint),
        ["retained"] => (FieldSource::Retained, DataType::Boolean),
        ["source"] => (FieldSource::Source, DataType::String),
        ["received"] => (FieldSource::Received, DataType::Datetime),
        // The names of properties are the sender's, case and all.
        ["properties", _] => (FieldSource::Property(names[1].as_str().into()), DataType::String),
        _ => return None,
    })
}

impl Binder<'_> {
    /// Binds one. `place` is the call's.
    pub(super) fn meta(&mut self, call: &Call, place: Place, clause: Clause) -> Typed {
        let name = call.name.text.to_lowercase();
        if clause == Clause::Condition {
            let message = format!("`{name}` cannot stand in `when` or `clear`");
            let problem = Problem::new("unknown-output", place, message);
            return self.problem(problem.hint("select it and give it a name with AS"));
        }
        let Some(mut names) = names(call) else {
            let problem = Problem::new("wrong-arguments", place, format!("`{name}` takes one name"));
            return self.problem(problem.hint(format!("it knows {KNOWN}")));
        };
        let mut side = None;
        if names.len() > 1
            && let Some(found) = called(&self.sides, &names[0])
        {
            names.remove(0);
            side = Some(found);
        }
        let Some((from, ty)) = source(&names) else {
            let shown = names.join("->");
            let problem = Problem::new("unknown-meta", place, format!("`{name}` does not know `{shown}`"));
            let names = ["topic", "qos", "retained", "source", "received"];
            return self.problem(problem.hint(format!("it knows {KNOWN}")).did_you_mean(&shown, names));
        };
        let streams: Vec<usize> = (0..self.sides.len()).filter(|i| self.sides[*i].is_stream()).collect();
        let side = match (side, streams.as_slice()) {
            (Some(side), _) if self.sides[side].is_stream() => side,
            (Some(side), _) => {
                let message = format!("`{}` is a table: its rows are no messages", self.sides[side].called);
                return self.problem(Problem::new("wrong-arguments", place, message));
            }
            (None, [only]) => *only,
            (None, _) => {
                let shown = names.join("->");
                let message = format!("`{shown}` may be of any of the streams");
                let problem = Problem::new("ambiguous-column", place, message);
                let first = self.sides.first().map_or("", |side| side.called.as_str());
                let hint = format!("write `{name}({first}.{shown})`");
                return self.problem(problem.hint(hint));
            }
        };
        let shown = format!("{name}({})", names.join("->"));
        if self.over_groups(clause) {
            return self.ungrouped(&shown, place);
        }
        if let Some(problem) = self.out_of_reach(side, place, clause) {
            return self.problem(problem);
        }
        let field = Field {
            name: shown.as_str().into(),
            from,
            ty: ty.clone(),
            default: Value::Null,
            unit: TimeUnit::Auto,
        };
        Typed { expr: self.take(side, field), ty }
    }
}
