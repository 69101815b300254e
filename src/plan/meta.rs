//! `meta(…)` and `mqtt(…)`: what is known of a message besides its payload. They are fields, not
//! functions: what they name is no column.

use crate::model::diagnostic::Place;
use crate::model::stream::{Field, FieldSource, TimeUnit};
use crate::model::value::{DataType, Value};

use super::bind::{Binder, Clause, Typed};
use super::report::Problem;
use super::side::{Side, called};
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
        let names = names.join("->");
        let side = match self.stream_of(side, (&name, &names), place) {
            Ok(side) => side,
            Err(problem) => return self.problem(problem),
        };
        let shown = format!("{name}({names})");
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

    /// The stream whose messages are meant: the side that is named, else the only stream.
    fn stream_of(&self, side: Option<usize>, call: (&str, &str), place: Place) -> Result<usize, Problem> {
        let (name, names) = call;
        if let Some(side) = side {
            let Side { called, .. } = &self.sides[side];
            let message = format!("`{name}` tells of a stream's rows, and `{called}` is a table");
            let problem = Problem::new("wrong-arguments", place, message);
            return if self.sides[side].is_stream() { Ok(side) } else { Err(problem) };
        }
        let mut streams = (0..self.sides.len()).filter(|side| self.sides[*side].is_stream());
        match (streams.next(), streams.next()) {
            (Some(only), None) => Ok(only),
            (first, _) => {
                let called = first.map_or("", |first| self.sides[first].called.as_str());
                let problem = Problem::new(
                    "ambiguous-column",
                    place,
                    format!("`{names}` may be of any of the streams"),
                );
                Err(problem.hint(format!("write `{name}({called}.{names})`")))
            }
        }
    }
}
