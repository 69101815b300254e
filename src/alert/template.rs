//! Rendering of annotations. A template was checked with its rule, so rendering cannot fail.

use crate::model::alerting::{Piece, Template};
use crate::model::label::Labels;
use crate::model::value::Value;

/// The text, with each place filled. A NULL column shows as `NULL`; a label that is not there is
/// empty.
pub(super) fn render(template: &Template, values: &[Value], labels: &Labels) -> String {
    let mut text = String::new();
    for piece in &template.pieces {
        match piece {
            Piece::Text(part) => text.push_str(part),
            Piece::Column(i) => match values.get(*i) {
                Some(Value::Float(x)) => text.push_str(&short(*x)),
                Some(value) => text.push_str(&value.to_string()),
                None => {}
            },
            Piece::Label(name) => text.push_str(labels.get(name).map_or("", |value| value)),
        }
    }
    text
}

/// A measured number for people: four digits after the point at most, six significant ones below
/// that, never an exponent in the usual range.
fn short(x: f64) -> String {
    let size = x.abs();
    let digits: usize = if size == 0.0 || size >= 0.1 {
        4
    } else if size >= 1e-9 {
        // 0.0045 → 3 leading places + 4 significant.
        let leading = -size.log10().floor();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 9")]
        let places = leading as usize;
        places + 3
    } else {
        return format!("{x:e}");
    };
    let text = format!("{x:.digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        for (x, text) in [
            (27.0, "27"),
            (18.899_999_618_530_273, "18.9"),
            (0.0, "0"),
            (-12.25, "-12.25"),
            (0.004_532_068_199, "0.004532"),
            (1_234_567.891, "1234567.891"),
            (1e-12, "1e-12"),
        ] {
            assert_eq!(short(x), text);
        }
    }
}
