//! What is known of the terminal: its size, and what it shows.

use std::io::{self, IsTerminal};

/// Lines and columns where standard output is no terminal, or one that does not tell.
const PLAIN: (usize, usize) = (usize::MAX, 120);

/// The terminal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    /// Whether it is one; else nothing is drawn again, and there are no colours.
    pub(super) is_terminal: bool,
    /// Its lines.
    pub(super) lines: usize,
    /// Its columns.
    pub(super) columns: usize,
    /// Whether it takes colours.
    pub(super) color: bool,
    /// Whether it shows more than ASCII.
    pub(super) unicode: bool,
}

impl Screen {
    /// That of standard output.
    pub(super) fn of_output() -> Self {
        let is_terminal = io::stdout().is_terminal();
        let size =
            rustix::termios::tcgetwinsize(io::stdout()).ok().filter(|size| is_terminal && size.ws_col > 0);
        let (lines, columns) =
            size.map_or(PLAIN, |size| (usize::from(size.ws_row).max(4), usize::from(size.ws_col).max(40)));
        let color = is_terminal && std::env::var_os("NO_COLOR").is_none();
        let unicode = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
            // Where nothing is said, what reads a file or a pipe reads UTF-8.
            .is_none_or(|locale| !matches!(&*locale, "C" | "POSIX") || !is_terminal);
        Self { is_terminal, lines, columns, color, unicode }
    }

    /// A text in a colour, where it takes colours. Blank around it stays as it is.
    pub(super) fn paint(self, text: &str, code: &str) -> String {
        if self.color && !code.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Rows of cells under a heading, no wider than so many columns: the last column is cut first, then the one before
/// it that is widest. A row may have a colour for its first two cells.
pub(super) fn table(heading: &[&str], rows: &[(Vec<String>, &str)], screen: Screen) -> String {
    let width = |text: &str| text.chars().count();
    let mut widths: Vec<usize> = heading.iter().map(|h| width(h)).collect();
    for (row, _) in rows {
        for (most, cell) in widths.iter_mut().zip(row) {
            *most = (*most).max(width(cell));
        }
    }
    let room = screen.columns.saturating_sub(2 * widths.len());
    while widths.iter().sum::<usize>() > room {
        let last = widths.len() - 1;
        let least = |at: usize| width(heading[at]).max(8);
        let at = if widths[last] > 16 {
            last
        } else {
            let wide = (0..widths.len()).filter(|at| widths[*at] > least(*at));
            match wide.max_by_key(|at| widths[*at]) {
                Some(at) => at,
                None => break,
            }
        };
        widths[at] -= 1;
    }
    let cut = |text: &str, most: usize| match width(text) > most {
        true => text
            .chars()
            .take(most.saturating_sub(1))
            .chain([if screen.unicode { '…' } else { '~' }])
            .collect(),
        false => text.to_owned(),
    };
    let line = |cells: &[String], color: &str| {
        let mut text = String::new();
        for (at, (cell, most)) in cells.iter().zip(&widths).enumerate() {
            let cell = cut(cell, *most);
            let pad = " ".repeat(most - width(&cell).min(*most));
            let shown = if at < 2 { screen.paint(&cell, color) } else { cell };
            text.push_str(&format!("{}{shown}{pad}", if at == 0 { "" } else { "  " }));
        }
        text.truncate(text.trim_end().len());
        text + "\n"
    };
    let heads: Vec<String> = heading.iter().map(|h| (*h).to_owned()).collect();
    let mut text = line(&heads, "1");
    rows.iter().for_each(|(row, color)| text.push_str(&line(row, color)));
    text
}

/// The colour of a severity.
pub(super) fn color_of(severity: &str) -> &'static str {
    match rank(severity) {
        0 => "31",
        1 => "33",
        _ => "",
    }
}

/// How severe it is, the worst first. A word that nobody knows stands beside `warning`: it must not sink.
pub(super) fn rank(severity: &str) -> usize {
    match &*severity.to_ascii_lowercase() {
        "page" | "critical" | "emergency" | "fatal" | "disaster" | "error" | "high" | "alert" => 0,
        "info" | "notice" | "information" | "informational" | "none" | "low" | "debug" => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_no_wider_than_the_screen() {
        let row = |values: &str| {
            (vec!["firing".to_owned(), "critical".to_owned(), "hot".to_owned(), values.to_owned()], "31")
        };
        let screen = Screen { is_terminal: true, lines: 9, columns: 44, color: false, unicode: true };
        let rows = [row("t=61 of a text that goes on and on"), row("t=7")];
        assert_eq!(
            table(&["STATE", "SEVERITY", "RULE", "VALUES"], &rows, screen),
            "STATE   SEVERITY  RULE  VALUES\n\
             firing  critical  hot   t=61 of a text th…\n\
             firing  critical  hot   t=7\n"
        );
    }
}
