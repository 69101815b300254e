//! A directory of rule files, such as a mounted ConfigMap: each file is a set, named by its stem.
//!
//! The directory is read whole and compared by content: events of a file system do not tell of a
//! ConfigMap, whose files are swapped by a symbolic link.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A rule file larger than this is not read.
const MAX_FILE: u64 = 16 << 20;

/// What the directory holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The text of each file, by set name.
    pub files: BTreeMap<Arc<str>, RuleFile>,
    /// Files that could not be read, with the reason.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// One rule file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFile {
    /// Where it lies.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

/// Reads the directory: `*.yaml`, `*.yml` and `*.json`, without hidden files and test files
/// (`*.test.yaml`).
///
/// # Errors
/// Where the directory itself cannot be read.
pub fn read(directory: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    let mut paths = std::fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<PathBuf>>>()?;
    paths.sort();
    for path in paths {
        let Some(name) = set_name(&path) else { continue };
        match read_file(&path) {
            Ok(text) => {
                let file = RuleFile { path, text };
                match listing.files.entry(name) {
                    Entry::Vacant(free) => drop(free.insert(file)),
                    Entry::Occupied(first) => {
                        let why =
                            format!("{} is named `{}` as well", first.get().path.display(), first.key());
                        listing.unreadable.push((file.path, why));
                    }
                }
            }
            Err(why) => listing.unreadable.push((path, why)),
        }
    }
    Ok(listing)
}

/// The set that a file of this name holds; `None` where it is no rule file.
pub fn set_name(path: &Path) -> Option<Arc<str>> {
    let name = path.file_name()?.to_str()?;
    let stem = ["yaml", "yml", "json"].iter().find_map(|ext| name.strip_suffix(&format!(".{ext}")))?;
    (!stem.is_empty() && !stem.starts_with('.') && !stem.ends_with(".test")).then(|| stem.into())
}

fn read_file(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|e| e.to_string())?.len();
    if size > MAX_FILE {
        return Err(format!("it has {size} bytes; a rule file may have {MAX_FILE}"));
    }
    std::fs::read_to_string(path).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_rule_files_and_leaves_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.yaml", "b.json", "a.test.yaml", ".hidden.yaml", "notes.txt"] {
            std::fs::write(dir.path().join(name), "rules: []").unwrap();
        }
        std::fs::write(dir.path().join("latin.yml"), [0xff]).unwrap();
        let listing = read(dir.path()).unwrap();
        assert_eq!(listing.files.keys().map(|k| &**k).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(listing.unreadable.len(), 1);
    }
}
