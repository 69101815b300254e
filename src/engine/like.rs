//! LIKE: `%` is any text, `_` one character, everything else itself. Case counts.

/// Whether the text matches the pattern. An `escape` before a character takes that character as
/// it is. Only the last `%` is ever returned to, so the time is at most the product of the two
/// lengths.
pub(super) fn matches(text: &str, pattern: &str, escape: Option<char>) -> bool {
    let (mut text, mut pattern) = (text, pattern);
    // Where to go on after a mismatch: the text that the last `%` has not taken yet, and the
    // pattern behind it.
    let mut retry: Option<(&str, &str)> = None;
    loop {
        let mut rest = pattern.chars();
        let fits = match rest.next() {
            None if text.is_empty() => return true,
            None => false,
            Some('%') if escape != Some('%') => {
                pattern = rest.as_str();
                if pattern.is_empty() {
                    return true;
                }
                retry = Some((text, pattern));
                continue;
            }
            Some(wanted) => {
                let (wanted, wild) = match wanted {
                    c if escape == Some(c) => (rest.next().unwrap_or(c), false),
                    c => (c, c == '_'),
                };
                let mut left = text.chars();
                let fits = left.next().is_some_and(|c| wild || c == wanted);
                if fits {
                    text = left.as_str();
                    pattern = rest.as_str();
                }
                fits
            }
        };
        if !fits {
            let Some((from, behind)) = retry else { return false };
            let mut left = from.chars();
            if left.next().is_none() {
                return false;
            }
            text = left.as_str();
            pattern = behind;
            retry = Some((text, pattern));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_and_escapes() {
        for (text, pattern, expected) in [
            ("", "", true),
            ("", "%", true),
            ("", "_", false),
            ("a", "", false),
            ("abc", "a%", true),
            ("abc", "%c", true),
            ("abc", "%b%", true),
            ("abc", "a_c", true),
            ("abc", "a_", false),
            ("aXbXc", "a%b%c", true),
            ("abab", "%ab", true),
            ("mississippi", "%iss%pi", true),
            ("mississippi", "%iss%pa", false),
            ("größe", "gr__e", true),
            ("a.c", "a.c", true),
            ("abc", "a.c", false),
            ("ABC", "abc", false),
        ] {
            assert_eq!(matches(text, pattern, None), expected, "{text:?} LIKE {pattern:?}");
        }
        assert!(matches("50%", "50!%", Some('!')));
        assert!(!matches("505", "50!%", Some('!')));
        assert!(matches("a_b", "a!_b", Some('!')));
        assert!(!matches("axb", "a!_b", Some('!')));
        assert!(matches("a!", "a!!", Some('!')));
        assert!(matches("100%", "100%%", Some('%')));
        assert!(matches("a!", "a!", Some('!')));
    }

    #[test]
    fn hostile_patterns_end() {
        let text = "a".repeat(2_000);
        assert!(!matches(&text, &"%a".repeat(500).replace("%a%a", "%a%_"), Some('a')));
        assert!(!matches(&text, &format!("{}b", "%a".repeat(200)), None));
    }
}
