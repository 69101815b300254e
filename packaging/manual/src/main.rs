//! Writes the man pages and the completions of both programs, from the definitions of their command lines.
//!
//!   cargo run --package manual OUT      OUT/weir/man1, OUT/weir/bash, OUT/weir/zsh, OUT/weir/fish, and those of weir-hub

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Command, CommandFactory};
use clap_complete::Shell;

fn main() -> anyhow::Result<()> {
    let out = std::env::args_os().nth(1).map(PathBuf::from).context("say where to write them")?;
    for command in [weir::cli::Cli::command(), weir::cli::hub::Cli::command()] {
        let dir = out.join(command.get_name());
        for part in ["man1", "bash", "zsh", "fish"] {
            let dir = dir.join(part);
            std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        }
        write(command, &dir).with_context(|| format!("write into {}", dir.display()))?;
    }
    Ok(())
}

fn write(mut command: Command, dir: &Path) -> anyhow::Result<()> {
    clap_mangen::generate_to(command.clone(), dir.join("man1"))?;
    let name = command.get_name().to_owned();
    for (shell, part) in [(Shell::Bash, "bash"), (Shell::Zsh, "zsh"), (Shell::Fish, "fish")] {
        clap_complete::generate_to(shell, &mut command, &name, dir.join(part))?;
    }
    Ok(())
}
