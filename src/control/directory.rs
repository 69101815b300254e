//! A directory of rule files, such as a mounted ConfigMap: each file is a set, named by its stem.
//!
//! The directory is read whole and compared by content: events of a file system do not tell of a
//! ConfigMap, whose files are swapped by a symbolic link. No text is kept to be compared: it may be large.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::model::ruleset::ContentHash;

/// A rule file larger than this is not read.
const MAX_FILE: u64 = 16 << 20;

/// How many bytes of a file are looked at together.
const PIECE: usize = 16 << 10;

/// What the directory holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// What is told of each file, by set name.
    pub files: BTreeMap<Arc<str>, RuleFile>,
    /// Files that could not be read, with the reason.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// One rule file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFile {
    /// Where it lies.
    pub path: PathBuf,
    /// The SHA-256 of what it says.
    pub hash: ContentHash,
}

impl RuleFile {
    /// What it says by now.
    ///
    /// # Errors
    /// A sentence, where it cannot be read any more.
    pub fn text(&self) -> Result<String, String> {
        open(&self.path)?;
        std::fs::read_to_string(&self.path).map_err(|e| e.to_string())
    }
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
        match digest(&path) {
            Ok(hash) => {
                let file = RuleFile { path, hash };
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

fn open(path: &Path) -> Result<File, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    let size = file.metadata().map_err(|e| e.to_string())?.len();
    if size > MAX_FILE {
        return Err(format!("it has {size} bytes; a rule file may have {MAX_FILE}"));
    }
    Ok(file)
}

/// The SHA-256 of a file, which must be text.
fn digest(path: &Path) -> Result<ContentHash, String> {
    let mut file = open(path)?.take(MAX_FILE);
    let mut sha = Sha256::new();
    let mut piece = vec![0; PIECE];
    // A character may begin in one piece and end in the next.
    let mut begun = 0;
    loop {
        let read = file.read(&mut piece[begun..]).map_err(|e| e.to_string())?;
        sha.update(&piece[begun..begun + read]);
        let end = begun + read;
        let whole = match std::str::from_utf8(&piece[..end]) {
            Ok(_) => end,
            Err(e) if e.error_len().is_none() && read > 0 => e.valid_up_to(),
            Err(_) => return Err("it is no UTF-8 text".to_owned()),
        };
        if read == 0 {
            return Ok(ContentHash(sha.finalize().into()));
        }
        piece.copy_within(whole..end, 0);
        begun = end - whole;
    }
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
        std::fs::write(dir.path().join("cut.yml"), &"é".as_bytes()[..1]).unwrap();
        let long = format!("# {}", "é".repeat(PIECE));
        std::fs::write(dir.path().join("long.yml"), &long).unwrap();
        let listing = read(dir.path()).unwrap();
        assert_eq!(listing.files.keys().map(|k| &**k).collect::<Vec<_>>(), ["a", "b", "long"]);
        assert_eq!(listing.unreadable.len(), 2);
        let file = &listing.files["long"];
        assert_eq!(file.text().unwrap(), long);
        assert_eq!(file.hash, ContentHash(Sha256::digest(&long).into()));
    }
}
