//! `no_data` and `forget`: what a rule says of keys that give no data.

use std::time::Duration;

use crate::model::absence::{NoData, OnSilence};
use crate::model::diagnostic::Place;
use crate::model::time::{format_span, parse_span};

use super::bind::Binder;
use super::definition::RuleDef;
use super::report::{Problem, Report};
use super::shape::Shape;
use super::text::Text;

/// After how long a silence a key is forgotten, where the rule does not say.
const FORGET: Duration = Duration::from_secs(24 * 3_600);

/// Checks what needs no stream.
pub(super) fn read(def: &RuleDef, report: &mut Report) -> Option<NoData> {
    let whole = |code, message: String| Problem::new(code, Place::START, message);
    let span = |field: &str, text: &Text, report: &mut Report| match parse_span(text.as_str()) {
        Ok(span) if span.is_zero() => {
            let message = format!("`{field}` of nothing would be over at once");
            report.error_at_start(
                field,
                text,
                whole("bad-value", message).hint("write a duration as in `5m`"),
            );
            None
        }
        Ok(span) => Some(span),
        Err(why) => {
            report.error_at_start(field, text, whole("bad-value", why));
            None
        }
    };
    let forget = def.forget.as_ref().map(|text| span("forget", text, report));
    let Some(written) = &def.no_data else {
        if let Some(text) = &def.forget {
            let problem = whole("bad-value", "`forget` is for rules with `no_data`".to_owned());
            report.error_at_start("forget", text, problem.hint("add `no_data`, or leave it out"));
        }
        return None;
    };
    if !def.is_state() {
        let problem = whole("field-without-when", "`no_data` is for rules with `when`".to_owned());
        report.error_at_start("no_data", &written.after, problem.hint("add `when`, or leave it out"));
    }
    let after = span("no_data.after", &written.after, report);
    let found = OnSilence::NAMES.iter().find(|(name, _)| *name == written.action.as_str().trim());
    if found.is_none() {
        let message = format!("`{}` is nothing that silence can do", written.action.as_str());
        let names = OnSilence::NAMES.iter().map(|(name, _)| *name);
        let problem = whole("bad-value", message).hint("write `fire`, `keep` or `resolve`");
        report.error_at_start(
            "no_data.do",
            &written.action,
            problem.did_you_mean(written.action.as_str(), names),
        );
    }
    let (after, forget) = (after?, forget.unwrap_or(Some(FORGET.max(after?.saturating_mul(2))))?);
    if let Some(text) = def.forget.as_ref().filter(|_| forget <= after) {
        let message =
            format!("a key would be forgotten before its silence of {} is noticed", format_span(after));
        report.error_at_start(
            "forget",
            text,
            whole("bad-value", message).hint("make it longer than `no_data.after`"),
        );
    }
    Some(NoData { after, forget, action: found?.1 })
}

impl Binder<'_> {
    /// Reports where the silence of one key of the stream is not that of one alert.
    pub(super) fn check_silence(&self, def: &RuleDef, shape: &Shape, report: &mut Report) {
        let Some(written) = &def.no_data else { return };
        let mut streams = self.sides.iter().filter(|side| side.is_stream());
        let (first, second) = (streams.next(), streams.next());
        let Some(side) = first else { return };
        let key = self.slots.get(side.source).and_then(|slots| slots.key);
        if shape.keyed_by(key).is_some() {
            return;
        }
        let name = &side.schema.name;
        let (message, hint) = if second.is_some() {
            (
                "`no_data` goes by the keys of one stream, and the rule joins several".to_owned(),
                "give it to a rule of its own over the stream that may fall silent".to_owned(),
            )
        } else {
            match side.schema.key.as_ref() {
                Some(key) => (
                    format!(
                        "the alerts of the rule are not told apart by `{}`, the KEY of `{name}`, whose silence `no_data` goes by",
                        key.name
                    ),
                    format!(
                        "make `{}` the key of the rule: group by it, or write `key: [{}]`",
                        key.name, key.name
                    ),
                ),
                None => (
                    format!(
                        "`{name}` has no KEY, so `no_data` goes by the silence of all of it, and the rule has an alert for each key"
                    ),
                    format!("add KEY to `{name}`, or write `key: []` where one alert is meant"),
                ),
            }
        };
        let problem = Problem::new("no-data-key", Place::START, message);
        report.error_at_start("no_data", &written.after, problem.hint(hint));
    }
}
