//! Tables on a terminal, columns as wide as their widest cell; and counts in words.

/// Rows under a heading, as text. Numbers stand right, the rest left.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let width = |i: usize| {
        let cells = rows.iter().filter_map(|row| row.get(i)).map(|cell| cell.chars().count());
        cells.chain(heading.get(i).map(|h| h.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let right: Vec<bool> = (0..heading.len())
        .map(|i| !rows.is_empty() && rows.iter().filter_map(|r| r.get(i)).all(|cell| is_number(cell)))
        .collect();
    let mut text = line(&heading.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>(), &widths, &right);
    for row in rows {
        text.push_str(&line(row, &widths, &right));
    }
    text
}

/// `1 rule`, `3 rules`.
pub(crate) fn count(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// A number, with its unit perhaps: `3`, `3.5 kB`.
fn is_number(cell: &str) -> bool {
    let (number, unit) = cell.split_once(' ').unwrap_or((cell, ""));
    number.parse::<f64>().is_ok() && unit.len() <= 3
}

fn line(cells: &[String], widths: &[usize], right: &[bool]) -> String {
    let mut text = String::from("  ");
    for ((cell, width), right) in cells.iter().zip(widths).zip(right) {
        let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
        match right {
            true => text.push_str(&format!("{pad}{cell}  ")),
            false => text.push_str(&format!("{cell}{pad}  ")),
        }
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}
