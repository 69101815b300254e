//! Readings as a small plot of characters: dots at their times, lines where the rule's limits are.

use super::thresholds::Threshold;

/// Rows of a plot.
const HEIGHT: usize = 9;

/// A plot, no wider than so many columns, of `(seconds, value)`. Times ascend. Empty where there are fewer than two
/// values.
pub(super) fn plot(points: &[(f64, f64)], limits: &[&Threshold], columns: usize, unicode: bool) -> String {
    if points.len() < 2 {
        return String::new();
    }
    let all = points.iter().map(|(_, y)| *y).chain(limits.iter().map(|limit| limit.at));
    let (low, high) =
        all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| (low.min(y), high.max(y)));
    let spread = if high > low { high - low } else { 1.0 };
    let names: Vec<String> =
        limits.iter().map(|limit| format!(" {} {}", limit.of, number(limit.at))).collect();
    let right = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let scale = [high, low].map(number);
    let left = scale.iter().map(|text| text.chars().count()).max().unwrap_or(0);
    let width = columns.saturating_sub(left + right + 3).clamp(10, 60);
    let (first, last) = (points[0].0, points[points.len() - 1].0);
    let time = if last > first { last - first } else { 1.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the edge")]
    #[expect(clippy::cast_precision_loss, reason = "at most 60")]
    let place = |share: f64, edge: usize| (share.clamp(0.0, 1.0) * (edge - 1) as f64).round() as usize;
    let row_of = |y: f64| HEIGHT - 1 - place((y - low) / spread, HEIGHT);
    let (dot, bar, axis, corner, floor) =
        if unicode { ('●', '┄', '│', '└', '─') } else { ('*', '-', '|', '+', '-') };
    let mut rows = vec![vec![' '; width]; HEIGHT];
    for limit in limits {
        rows[row_of(limit.at)].fill(bar);
    }
    for (x, y) in points {
        rows[row_of(*y)][place((x - first) / time, width)] = dot;
    }
    let mut text = String::new();
    for (at, row) in rows.into_iter().enumerate() {
        let label = if at == 0 {
            &*scale[0]
        } else if at == HEIGHT - 1 {
            &*scale[1]
        } else {
            ""
        };
        let said: Vec<&str> = limits
            .iter()
            .zip(&names)
            .filter(|(limit, _)| row_of(limit.at) == at)
            .map(|(_, name)| &**name)
            .collect();
        let line = format!("{label:>left$} {axis}{}{}", row.into_iter().collect::<String>(), said.join(","));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push_str(&format!("{:>left$} {corner}{}\n", "", floor.to_string().repeat(width)));
    text
}

fn number(x: f64) -> String {
    let text = format!("{x:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_stand_at_their_times_and_limits_are_lines() {
        let limit =
            Threshold { column: "t".to_owned(), output: "t".to_owned(), at: 60.0, of: "when".to_owned() };
        let points: Vec<(f64, f64)> =
            [58.0, 58.5, 59.0, 61.0, 62.0].into_iter().zip(0..).map(|(y, x)| (f64::from(x), y)).collect();
        let told = plot(&points, &[&limit], 40, false);
        let expected = "
62 |                          *
   |
   |                    *
   |
   |--------------------------- when 60
   |
   |             *
   |       *
58 |*
   +---------------------------
";
        assert_eq!(format!("\n{told}"), expected);
        assert_eq!(plot(&points[..1], &[], 40, true), "");
        assert!(plot(&[(0.0, 1.0), (0.0, 1.0)], &[], 40, true).contains('●'), "all at once, all alike");
    }
}
