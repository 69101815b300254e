//! Cases of kind `error`: a rule file, a line `----`, and its diagnostics, one a line.

use std::path::Path;

use libtest_mimic::Failed;
use weir::plan::{Limits, compile_text};

/// The file with the diagnostics that the compiler gives.
pub(crate) fn run(_path: &Path, written: &str) -> Result<String, Failed> {
    let yaml = match written.find("\n----\n") {
        Some(end) => &written[..=end],
        None => written,
    };
    let compiled = compile_text("case", yaml, &Limits::default());
    let mut right = format!("{}\n----\n", yaml.trim_end());
    for diagnostic in &compiled.diagnostics {
        right.push_str(&format!("{diagnostic}\n"));
    }
    Ok(right)
}
