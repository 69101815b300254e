//! The least that taking rules from their text takes: each rule's address, its constants read where they
//! stand, and its place in an index.

use sha2::{Digest, Sha256};

use super::index::Index;
use crate::workload::Rule;

/// Reads a rule file of [`crate::workload`] into an index. It knows the form of its lines and checks
/// nothing.
pub(crate) fn load(text: &str) -> (Index, Vec<[u8; 32]>) {
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("  - {id:")).collect();
    let rules: Vec<Rule> = lines.iter().map(|line| rule(line)).collect();
    let addresses = lines.iter().map(|line| Sha256::digest(line.as_bytes()).into()).collect();
    (Index::new(&rules), addresses)
}

fn rule(line: &str) -> Rule {
    let number = |name: &str, end: char| {
        let (_, rest) = line.split_once(name)?;
        rest.split(end).next()
    };
    let limit = |name: &str| number(name, ' ').and_then(|text| text.trim_end_matches("\"}").parse().ok());
    Rule {
        device: number("device = 'd", '\'').and_then(|text| text.parse().ok()),
        site: number("site = 's", '\'').and_then(|text| text.parse().ok()),
        above: limit("temperature > "),
        humid: limit("humidity > "),
        measure: crate::workload::Measure::Now,
    }
}
