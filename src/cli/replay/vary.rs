//! A rule under many values of one number: `--vary 'overheating.when=t > 70..90/5'`.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::model::time::{format_span, parse_span};
use crate::plan::RuleSetDef;
use crate::plan::definition::RuleDef;
use crate::plan::text::Text;

/// The most variants of one run.
const MOST: usize = 200;
/// How many steps a range has, where it says none.
const STEPS: u32 = 10;

/// What is varied, and the texts that it takes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Vary {
    /// The rule; the only one there is where it is not said.
    pub(super) rule: Option<String>,
    /// Which field of it.
    pub(super) field: String,
    /// The value and the text of each variant.
    pub(super) variants: Vec<(String, String)>,
}

const FIELDS: [&str; 5] = ["when", "clear", "for", "keep_firing_for", "sql"];

impl Vary {
    /// Reads `[RULE.]FIELD=TEXT`, where the text holds a range `25..35`, `25..35/0.5` or `1m..10m/1m`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let hint = "write it as in `overheating.when=t > 70..90/5`, or `for=1m..10m`";
        let (name, text) = text.split_once('=').ok_or_else(|| format!("no `=`; {hint}"))?;
        let (rule, field) = match name.trim().rsplit_once('.') {
            Some((rule, field)) => (Some(rule.to_owned()), field),
            None => (None, name.trim()),
        };
        if !FIELDS.contains(&field) {
            return Err(format!("`{field}` cannot be varied; {} can", FIELDS.join(", ")));
        }
        let dots = text.find("..").ok_or_else(|| format!("no range in `{text}`; {hint}"))?;
        let word = |c: char| c.is_ascii_alphanumeric() || c == '.';
        let mut begin = text[..dots].rfind(|c| !word(c)).map_or(0, |at| at + 1);
        // A minus belongs to the number where no other number stands before it.
        if text[..begin].ends_with('-')
            && !text[..begin - 1].trim_end().ends_with(|c: char| word(c) || c == ')')
        {
            begin -= 1;
        }
        let from = &text[begin..dots];
        let rest = &text[dots + 2..];
        let length = |text: &str| {
            let sign = usize::from(text.starts_with('-'));
            text[sign..].find(|c| !word(c)).map_or(text.len(), |at| at + sign)
        };
        let (to, mut rest) = rest.split_at(length(rest));
        let mut step = None;
        if let Some(behind) = rest.strip_prefix('/') {
            let (said, behind) = behind.split_at(length(behind));
            (step, rest) = (Some(said), behind);
        }
        let variants = values(from, to, step).ok_or_else(|| format!("`{from}..{to}` is no range; {hint}"))?;
        if variants.len() > MOST {
            return Err(format!(
                "{} variants; at most {MOST} are tried, so take a wider step",
                variants.len()
            ));
        }
        let head = &text[..begin];
        let variants =
            variants.into_iter().map(|value| (value.clone(), format!("{head}{value}{rest}"))).collect();
        Ok(Self { rule, field: field.to_owned(), variants })
    }

    /// The set with the variants in the place of its rules.
    ///
    /// # Errors
    /// Where it has no such rule.
    pub(super) fn apply(&self, def: &mut RuleSetDef) -> Result<()> {
        let known = |rule: &&RuleDef| self.rule.as_deref().is_none_or(|name| name == rule.id.as_str());
        let found: Vec<&RuleDef> = def.rules.iter().filter(known).collect();
        let [rule] = found.as_slice() else {
            let names: Vec<&str> = def.rules.iter().map(|rule| rule.id.as_str()).collect();
            bail!(
                "say which rule varies, as in `--vary {}.{}=…`; there are {}",
                names.first().unwrap_or(&""),
                self.field,
                names.join(", ")
            );
        };
        let variant = |(n, (_, text)): (usize, &(String, String))| {
            let mut one = RuleDef {
                id: Text::own(Self::id(rule.id.as_str(), n)),
                inhibited_by: Vec::new(),
                ..(*rule).clone()
            };
            let text = Text::own(text.trim());
            match &*self.field {
                "when" => one.when = Some(text),
                "clear" => one.clear = Some(text),
                "for" => one.for_ = Some(text),
                "keep_firing_for" => one.keep_firing_for = Some(text),
                _ => one.sql = text,
            }
            one
        };
        def.rules = self.variants.iter().enumerate().map(variant).collect();
        Ok(())
    }

    fn id(rule: &str, n: usize) -> String {
        format!("{rule}.{n}")
    }

    /// Which variant the rule of an id is.
    pub(super) fn variant_of(id: &str) -> Option<usize> {
        id.rsplit_once('.')?.1.parse().ok()
    }
}

/// The values of a range, both ends included.
fn values(from: &str, to: &str, step: Option<&str>) -> Option<Vec<String>> {
    if let (Ok(a), Ok(b)) = (from.parse::<f64>(), to.parse::<f64>()) {
        let whole = a.fract() == 0.0 && b.fract() == 0.0 && b - a <= 20.0;
        let step = match step {
            Some(step) => step.parse().ok()?,
            None if whole => 1.0,
            None => (b - a) / f64::from(STEPS),
        };
        if !(a < b && step > 0.0 && (b - a) / step < 1e5) {
            return None;
        }
        let count = ((b - a) / step + 1e-9).floor();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1e5")]
        let count = count as u32;
        let digits = |x: f64| format!("{x:.6}").trim_end_matches('0').trim_end_matches('.').to_owned();
        return Some((0..=count).map(|n| digits(step.mul_add(f64::from(n), a))).collect());
    }
    let (a, b) = (parse_span(from).ok()?, parse_span(to).ok()?);
    let step = match step {
        Some(step) => parse_span(step).ok()?,
        None => b.checked_sub(a)? / STEPS,
    };
    if a >= b || step.is_zero() || b.as_micros() / step.as_micros().max(1) > 100_000 {
        return None;
    }
    let all = std::iter::successors(Some(a), |at: &Duration| at.checked_add(step)).take_while(|at| *at <= b);
    Some(all.map(format_span).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        Vary::parse(text).unwrap().variants.into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ranges_stand_anywhere_in_a_text() {
        assert_eq!(
            texts("hot.when=t > 70..72 AND n > 1"),
            ["t > 70 AND n > 1", "t > 71 AND n > 1", "t > 72 AND n > 1"]
        );
        assert_eq!(texts("when=t < -2..-1/0.5"), ["t < -2", "t < -1.5", "t < -1"]);
        assert_eq!(texts("when=t-1..2 > 0"), ["t-1 > 0", "t-2 > 0"]);
        assert_eq!(texts("for=1m..3m/30s"), ["1m", "1m30s", "2m", "2m30s", "3m"]);
        assert_eq!(texts("when=t > 0..1").len(), 2);
        assert_eq!(texts("when=t > 0..100").len(), 11);
        let two = Vary::parse("a.b.when=t>1..2").unwrap();
        assert_eq!((two.rule.as_deref(), &*two.field), (Some("a.b"), "when"));
        for (text, why) in [
            ("when", "no `=`"),
            ("labels=1..2", "`labels` cannot be varied"),
            ("when=t > 5", "no range in `t > 5`"),
            ("when=t > 5..a", "`5..a` is no range"),
            ("when=t > 0..1/0.0001", "10001 variants"),
        ] {
            assert!(Vary::parse(text).unwrap_err().contains(why), "{text}");
        }
    }
}
