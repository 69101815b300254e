//! Topic patterns: MQTT filters whose levels may have names.
//!
//! `plant/{site}/freezer/{device}` matches one level for each name, `plant/{rest...}` the
//! remaining levels (at least one). Plain `+` and `#` work as in MQTT. As in MQTT, a leading
//! wildcard does not match a topic that begins with `$`.

use std::fmt;
use std::sync::Arc;

/// A parsed pattern. The default matches no topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TopicPattern {
    text: String,
    levels: Vec<Level>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Level {
    Text(String),
    /// `+` or `{name}`.
    One(Option<Arc<str>>),
    /// `#` or `{name...}`.
    Rest(Option<Arc<str>>),
}

impl TopicPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A sentence that says what is wrong and how to write it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("the topic is empty".to_owned());
        }
        if text.len() > 65_535 {
            return Err("the topic is longer than MQTT's 65,535 bytes".to_owned());
        }
        if text.contains('\0') {
            return Err("the topic holds a NUL character".to_owned());
        }
        let parts: Vec<&str> = text.split('/').collect();
        let mut levels = Vec::with_capacity(parts.len());
        let mut names: Vec<Arc<str>> = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            let level = parse_level(part)?;
            if matches!(level, Level::Rest(_)) && i + 1 != parts.len() {
                return Err(format!("`{part}` takes all remaining levels, so it must be the last one"));
            }
            if let Level::One(Some(name)) | Level::Rest(Some(name)) = &level {
                if names.contains(name) {
                    return Err(format!("`{name}` is captured twice"));
                }
                names.push(name.clone());
            }
            levels.push(level);
        }
        Ok(Self { text: text.to_owned(), levels })
    }

    /// The names it captures, in the order of the topic.
    pub fn captures(&self) -> impl Iterator<Item = &Arc<str>> {
        self.levels.iter().filter_map(|level| match level {
            Level::One(name) | Level::Rest(name) => name.as_ref(),
            Level::Text(_) => None,
        })
    }

    /// The MQTT topic filter that covers it.
    pub fn filter(&self) -> String {
        let levels: Vec<&str> = self
            .levels
            .iter()
            .map(|level| match level {
                Level::Text(text) => text.as_str(),
                Level::One(_) => "+",
                Level::Rest(_) => "#",
            })
            .collect();
        levels.join("/")
    }

    /// Whether `topic` matches; if so, `capture` is called with each captured text, in the order
    /// of [`Self::captures`]. It may have been called before a mismatch shows.
    pub fn matches<'t>(&self, topic: &'t str, mut capture: impl FnMut(&'t str)) -> bool {
        if topic.starts_with('$') && !matches!(self.levels.first(), Some(Level::Text(_))) {
            return false;
        }
        let mut rest = Some(topic);
        for level in &self.levels {
            if let Level::Rest(name) = level {
                return match (rest, name) {
                    // `a/#` matches `a` itself too, but then nothing is there to capture.
                    (None, name) => name.is_none(),
                    (Some(tail), name) => {
                        if name.is_some() {
                            capture(tail);
                        }
                        true
                    }
                };
            }
            let Some(tail) = rest else { return false };
            let (head, next) = match tail.split_once('/') {
                Some((head, next)) => (head, Some(next)),
                None => (tail, None),
            };
            match level {
                Level::Text(text) if text != head => return false,
                Level::One(Some(_)) => capture(head),
                _ => {}
            }
            rest = next;
        }
        rest.is_none()
    }
}

fn parse_level(part: &str) -> Result<Level, String> {
    match part {
        "+" => return Ok(Level::One(None)),
        "#" => return Ok(Level::Rest(None)),
        _ => {}
    }
    if let Some(inner) = part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
        let (name, rest) = match inner.strip_suffix("...") {
            Some(name) => (name, true),
            None => (inner, false),
        };
        let mut chars = name.chars();
        let ok = chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
            && chars.all(|c| c.is_alphanumeric() || c == '_');
        if !ok {
            return Err(format!("`{{{inner}}}` is no name for a capture; use letters, digits and `_`"));
        }
        let name = Some(name.into());
        return Ok(if rest { Level::Rest(name) } else { Level::One(name) });
    }
    if part.contains(['+', '#', '{', '}']) {
        return Err(format!("`{part}`: a wildcard or capture takes a whole level between slashes"));
    }
    Ok(Level::Text(part.to_owned()))
}

/// As it was written.
impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The subset of `filters` that still covers everything: a filter that another one covers is left
/// out, so that a broker delivers each message once where it can.
pub fn minimal_cover(filters: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut all: Vec<String> = filters.into_iter().collect();
    all.sort();
    all.dedup();
    let covered = |narrow: &String| all.iter().any(|wide| wide != narrow && covers(wide, narrow));
    all.iter().filter(|f| !covered(f)).cloned().collect()
}

/// Whether every topic that `narrow` matches is matched by `wide` (both MQTT filters).
fn covers(wide: &str, narrow: &str) -> bool {
    if narrow.starts_with('$') && wide.starts_with(['+', '#']) {
        return false;
    }
    let (mut w, mut n) = (wide.split('/'), narrow.split('/'));
    loop {
        match (w.next(), n.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(level)) if level != "#" => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(pattern: &str, topic: &str) -> Option<Vec<String>> {
        let mut out = Vec::new();
        TopicPattern::parse(pattern).unwrap().matches(topic, |c| out.push(c.to_owned())).then_some(out)
    }

    #[test]
    fn matches_and_captures() {
        let caught = |p, t| captured(p, t).map(|c| c.join("|"));
        assert_eq!(caught("plant/{site}/f/{device}", "plant/3/f/f1").as_deref(), Some("3|f1"));
        assert_eq!(caught("plant/{site}/f/{device}", "plant/3/f/f1/x"), None);
        assert_eq!(caught("a/{rest...}", "a/b/c").as_deref(), Some("b/c"));
        assert_eq!(caught("a/{rest...}", "a"), None);
        assert_eq!(caught("a/#", "a").as_deref(), Some(""));
        assert_eq!(caught("+/x", "/x").as_deref(), Some(""));
        assert_eq!(caught("#", "$SYS/x"), None);
        assert_eq!(caught("{all...}", "$hw/x"), None);
        assert_eq!(
            caught("$hw/events/device/{id}/twin/update", "$hw/events/device/d/twin/update").as_deref(),
            Some("d")
        );
    }

    #[test]
    fn wrong_patterns_say_why() {
        for wrong in ["", "a/{b...}/c", "a/#/c", "a/b+", "a/{}", "a/{x}/{x}", "a/{1x}"] {
            assert!(TopicPattern::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn cover_is_minimal() {
        let cover = |list: &[&str]| minimal_cover(list.iter().map(|s| (*s).to_owned()));
        assert_eq!(cover(&["a/+", "a/b", "a/#"]), ["a/#"]);
        assert_eq!(cover(&["#", "$hw/#"]), ["#", "$hw/#"]);
        assert_eq!(cover(&["a/+/c", "a/b/+"]), ["a/+/c", "a/b/+"]);
        assert_eq!(cover(&["a/#", "a"]), ["a/#"]);
        assert_eq!(cover(&["+/b", "+/#"]), ["+/#"]);
    }
}
