//! Tables of figures: for the terminal, and for `docs/performance.md`.

use std::fmt;
use std::path::Path;

/// One table, under the name that the page has for it.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    name: &'static str,
    title: String,
    rows: Vec<Vec<String>>,
}

impl Figures {
    /// A table with a title and its columns' heads; the first column is text.
    pub(crate) fn new(name: &'static str, title: impl Into<String>, heads: &[&str]) -> Self {
        Self { name, title: title.into(), rows: vec![heads.iter().map(|head| (*head).to_owned()).collect()] }
    }

    /// Appends a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    fn markdown(&self) -> String {
        let mut text = String::new();
        for (i, row) in self.rows.iter().enumerate() {
            text.push_str(&format!("| {} |\n", row.join(" | ")));
            if i == 0 {
                text.push_str(&format!("|---|{}\n", "--:|".repeat(row.len() - 1)));
            }
        }
        text
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        let width = |column: usize| {
            let widths = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            widths.max().unwrap_or(0)
        };
        for row in &self.rows {
            write!(f, "  {:<w$}", row[0], w = width(0))?;
            for (column, cell) in row.iter().enumerate().skip(1) {
                write!(f, "  {cell:>w$}", w = width(column))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// Writes the tables into the page, each where it stood.
///
/// # Errors
/// Where the page cannot be read or written, or has no place for a table.
pub(crate) fn write_page(tables: &[Figures]) -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance.md");
    let mut page = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    for table in tables {
        let begin = format!("<!-- figures: {} -->\n", table.name);
        let (before, rest) =
            page.split_once(&begin).ok_or_else(|| format!("the page has no place for {}", table.name))?;
        let (_, after) = rest.split_once("<!-- end -->").ok_or("a place on the page has no end")?;
        // An HTML comment directly above a table would swallow it.
        page = format!("{before}{begin}\n{}\n<!-- end -->{after}", table.markdown());
    }
    std::fs::write(&path, page).map_err(|error| format!("{}: {error}", path.display()))
}
