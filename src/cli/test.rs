//! `weir test`.
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Test {}

impl Test {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        anyhow::bail!("not built yet")
    }
}
