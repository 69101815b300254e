//! "Did you mean": the name among those that exist which a wrong one most resembles.

/// The nearest of `names`, if one is near: equal but for case, or at most two slips away (one for
/// short names). A slip is a character too many, missing, wrong, or two that changed places.
pub(super) fn nearest<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    // Names longer than this are compared with none: the work grows with the square.
    const LONGEST: usize = 64;
    // A set may have as many mistakes as names: each mistake is compared with so many of them.
    const MOST: usize = 1_000;
    let wrong: Vec<char> = wrong.chars().take(LONGEST + 1).flat_map(char::to_lowercase).collect();
    if wrong.len() > LONGEST {
        return None;
    }
    let bound = match wrong.len() {
        0..=2 => 0,
        3..=4 => 1,
        _ => 2,
    };
    names
        .into_iter()
        .take(MOST)
        .filter(|name| name.len() <= LONGEST * 4)
        .map(|name| {
            (slips(&wrong, &name.chars().flat_map(char::to_lowercase).collect::<Vec<_>>(), bound), name)
        })
        .filter(|(slips, _)| *slips <= bound)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, name)| name)
}

/// The optimal string alignment distance, or something above `bound`.
fn slips(a: &[char], b: &[char], bound: usize) -> usize {
    if a.len().abs_diff(b.len()) > bound {
        return bound + 1;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, cb) in b.iter().enumerate() {
            let mut least = (above[j] + usize::from(ca != cb)).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *ca == b[j - 1] && a[i - 1] == *cb {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let names = ["temperature", "humidity", "co", "ts"];
        for (wrong, meant) in [
            ("temprature", Some("temperature")),
            ("Temperature", Some("temperature")),
            ("humdiity", Some("humidity")),
            ("CO", Some("co")),
            ("cx", None),
            ("pressure", None),
        ] {
            assert_eq!(nearest(wrong, names), meant, "{wrong}");
        }
    }
}
