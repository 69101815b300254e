//! Diagnostics as a compiler shows them: the line of the source, a mark under the place, and help.

use std::fmt::Write;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level as Style, Renderer, Snippet};

use crate::model::diagnostic::{Diagnostic, Level};

/// Renders diagnostics whose places count in `source`. `color` adds terminal colours.
pub fn render(diagnostics: &[Diagnostic], file_name: &str, source: &str, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Ascii);
    let lines: Vec<&str> = source.lines().collect();
    let mut text = String::new();
    for diagnostic in diagnostics {
        let shown = one(diagnostic, file_name, &lines, &renderer);
        // Writing to a string cannot fail.
        writeln!(text, "{shown}\n").unwrap_or_default();
    }
    text
}

fn one(diagnostic: &Diagnostic, file_name: &str, lines: &[&str], renderer: &Renderer) -> String {
    let style = match diagnostic.level {
        Level::Error => Style::ERROR,
        Level::Warning => Style::WARNING,
    };
    let title = match diagnostic.item.as_str() {
        "" => diagnostic.message.clone(),
        item => format!("{item}: {}", diagnostic.message),
    };
    let number = diagnostic.place.line.clamp(1, lines.len().max(1));
    let line = lines.get(number - 1).copied().unwrap_or("");
    let from = byte(line, diagnostic.place.column.saturating_sub(1));
    let to = byte(line, diagnostic.place.column.saturating_sub(1) + diagnostic.place.length);
    let snippet = Snippet::source(line)
        .line_start(number)
        .path(file_name)
        .annotation(AnnotationKind::Primary.span(from..to.max(from)));
    let mut group = style.primary_title(title).id(diagnostic.code.as_ref()).element(snippet);
    if let Some(hint) = &diagnostic.hint {
        group = group.element(Style::HELP.message(hint.as_str()));
    }
    renderer.render(&[group])
}

/// The byte offset of a character, at most the end.
fn byte(line: &str, chars: usize) -> usize {
    line.char_indices().nth(chars).map_or(line.len(), |(i, _)| i)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::diagnostic::Place;

    #[test]
    fn shows_line_mark_and_help() {
        let diagnostic = Diagnostic {
            level: Level::Error,
            code: "unknown-column".into(),
            item: "rule hot".to_owned(),
            field: "sql".to_owned(),
            message: "no column `temprature` in stream `env`".to_owned(),
            hint: Some("did you mean `temperature`?".to_owned()),
            place: Place { line: 2, column: 8, length: 10 },
        };
        let shown = render(&[diagnostic], "rules.yaml", "é\nSELECT temprature FROM env\n", false);
        let expected = "\
error[unknown-column]: rule hot: no column `temprature` in stream `env`
 --> rules.yaml:2:8
  |
2 | SELECT temprature FROM env
  |        ^^^^^^^^^^
  |
  = help: did you mean `temperature`?

";
        assert_eq!(shown, expected);
    }
}
