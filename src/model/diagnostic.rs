//! What is wrong with a rule set, and where: made by `plan`, shown by the command line and the
//! hub, reported by the agent.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Whether the set can run in spite of it.
    pub level: Level,
    /// A stable name for the kind of finding, such as `unknown-column`.
    pub code: Arc<str>,
    /// The stream, table or rule it is in, as `rule freezer-too-warm`; empty for the whole file.
    pub item: String,
    /// Which text of the item, as in `sql`, `when`, `annotations.summary`; empty where the place
    /// counts in the whole file.
    #[serde(default)]
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Where it is: in the file, where the text came from one; else in the item's `field`.
    pub place: Place,
}

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Place {
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// Length in characters, at least 1.
    pub length: usize,
}

impl Place {
    /// The first character of a text.
    pub const START: Self = Self { line: 1, column: 1, length: 1 };
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The set is refused.
    Error,
    /// The set runs, but probably not as meant.
    Warning,
}

/// One line: `12:7: error[unknown-column]: rule x: message (hint)`.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        write!(f, "{}:{}: {level}[{}]: ", self.place.line, self.place.column, self.code)?;
        if !self.item.is_empty() {
            write!(f, "{}: ", self.item)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}
