//! `weir prepare`: the state directory is made by root and handed to the user that the agent runs as. For containers
//! whose state lies in a directory of the node: the agent is not root, and its image has no shell.

use std::fs::{self, DirBuilder, Metadata};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, bail};

#[derive(Debug, clap::Args)]
pub(super) struct Prepare {
    /// The user and group, as numbers
    #[arg(long, value_name = "UID:GID")]
    owner: Owner,
    /// The state directory; made if it is missing
    directory: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    user: u32,
    group: u32,
}

impl FromStr for Owner {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (user, group) = text.split_once(':').ok_or("write it as in 65532:65532")?;
        let number = |text: &str| text.parse().map_err(|_| format!("`{text}` is no number"));
        Ok(Self { user: number(user)?, group: number(group)? })
    }
}

impl Prepare {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let done = prepare(&self.directory, self.owner)?;
        // The work is done, whether somebody reads this or not.
        drop(writeln!(std::io::stdout(), "{}: {done}", self.directory.display()));
        Ok(ExitCode::SUCCESS)
    }
}

/// Takes a directory from nobody but root, and from root only an empty one: a path that is not meant must not be given
/// away, and what lies in the directory is never touched. So it needs one capability, to change an owner.
fn prepare(directory: &Path, owner: Owner) -> anyhow::Result<&'static str> {
    let shown = directory.display();
    if !directory.try_exists().with_context(|| format!("look at {shown}"))? {
        DirBuilder::new().mode(0o700).create(directory).with_context(|| format!("make {shown}"))?;
    }
    let is = fs::symlink_metadata(directory).with_context(|| format!("look at {shown}"))?;
    if !is.is_dir() {
        bail!("{shown} is no directory");
    }
    if belongs(&is, owner) {
        return Ok("belongs to the agent already");
    }
    if is.uid() != 0 {
        bail!("{shown} belongs to user {}; move it away, or give it to {} yourself", is.uid(), owner.user);
    }
    if fs::read_dir(directory).with_context(|| format!("look into {shown}"))?.next().is_some() {
        bail!("{shown} belongs to root and is not empty; name a directory that is the agent's alone");
    }
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))
        .with_context(|| format!("close {shown} to others"))?;
    lchown(directory, Some(owner.user), Some(owner.group))
        .with_context(|| format!("give {shown} to user {}; are you root?", owner.user))?;
    Ok("is the agent's now")
}

fn belongs(is: &Metadata, owner: Owner) -> bool {
    (is.uid(), is.gid()) == (owner.user, owner.group)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Owner {
        let dir = tempfile::tempdir().unwrap();
        let is = fs::metadata(dir.path()).unwrap();
        Owner { user: is.uid(), group: is.gid() }
    }

    #[test]
    fn an_owner_is_two_numbers() {
        assert_eq!("65532:0".parse(), Ok(Owner { user: 65_532, group: 0 }));
        for wrong in ["65532", "weir:weir", "1:-1", ""] {
            wrong.parse::<Owner>().unwrap_err();
        }
    }

    #[test]
    fn a_directory_is_made_once_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        prepare(&state, ours()).unwrap();
        assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
        fs::write(state.join("spool.db"), "").unwrap();
        assert_eq!(prepare(&state, ours()).unwrap(), "belongs to the agent already");
    }

    #[test]
    fn what_is_not_the_agents_is_not_given_away() {
        let other = Owner { user: 4_242, group: 4_242 };
        let dir = tempfile::tempdir().unwrap();
        let (full, file, link) = (dir.path().join("full"), dir.path().join("file"), dir.path().join("link"));
        fs::create_dir_all(full.join("x")).unwrap();
        fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&full, &link).unwrap();
        for wrong in [&full, &file, &link] {
            prepare(wrong, other).unwrap_err();
            assert_eq!(fs::metadata(wrong).unwrap().uid(), ours().user);
        }
    }
}
