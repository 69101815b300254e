//! The tree as indented text.

use super::Step;

/// What a terminal is told to show in another way.
const BOLD: &str = "\u{1b}[1m";
const DIM: &str = "\u{1b}[2m";
const PLAIN: &str = "\u{1b}[0m";

/// Writes a tree, one step below the other; `color` adds terminal colours. Control characters of what the
/// plan holds are written out, so that no text of a rule can reach into the terminal.
pub fn text(step: &Step, color: bool) -> String {
    let mut out = Out { text: String::new(), color };
    out.step(step, 0);
    out.text
}

struct Out {
    text: String,
    color: bool,
}

impl Out {
    fn step(&mut self, step: &Step, depth: usize) {
        let indent = "   ".repeat(depth.saturating_sub(1));
        let arrow = if depth == 0 { "" } else { "-> " };
        self.text.push_str(&format!("{indent}{arrow}"));
        self.styled(BOLD, step.operator);
        self.text.push_str(&format!("  {}\n", shown(&step.about)));
        let inside = "   ".repeat(depth);
        let widest = step.details.iter().map(|detail| detail.name.len()).max().unwrap_or(0);
        for detail in &step.details {
            let name = format!("{:widest$}", detail.name);
            for (n, line) in detail.lines.iter().enumerate() {
                self.text.push_str(&inside);
                self.text.push_str("   ");
                match n {
                    0 => self.styled(DIM, &name),
                    _ => self.text.push_str(&" ".repeat(widest)),
                }
                self.text.push_str(&format!("  {}\n", shown(line)));
            }
        }
        for input in &step.inputs {
            self.step(input, depth + 1);
        }
    }

    fn styled(&mut self, style: &str, text: &str) {
        match self.color {
            true => self.text.push_str(&format!("{style}{text}{PLAIN}")),
            false => self.text.push_str(text),
        }
    }
}

/// A text with its control characters written out: what comes from a payload or a rule must not reach into
/// a terminal.
pub fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    out
}
