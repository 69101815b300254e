//! The running agent's socket: one question, one answer.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use crate::config::{AgentConfig, DEFAULT_PATH};

/// Where the running agent answers.
#[derive(Debug, clap::Args)]
pub(super) struct Agent {
    /// The agent's configuration file, which tells where its socket is
    #[arg(long, short, default_value = DEFAULT_PATH, value_name = "FILE")]
    config: PathBuf,
    /// The agent's socket itself
    #[arg(long, conflicts_with = "config", value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl Agent {
    /// The path of the socket.
    ///
    /// # Errors
    /// A configuration that cannot be read.
    pub(super) fn path(&self) -> anyhow::Result<PathBuf> {
        match &self.socket {
            Some(socket) => Ok(socket.clone()),
            None => Ok(AgentConfig::load(&self.config)?.socket_path()),
        }
    }
}

/// Asks, and gives the answer as it came.
///
/// # Errors
/// An agent that does not run, or does not answer.
pub(super) fn ask(socket: &Path, question: &str) -> anyhow::Result<String> {
    let mut stream = UnixStream::connect(socket).with_context(|| {
        format!(
            "reach the agent at {}; is it running, and may you read its state directory?",
            socket.display()
        )
    })?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    // An agent of another version may answer before it has heard the question.
    drop(writeln!(stream, "{question}"));
    drop(stream.shutdown(Shutdown::Write));
    let mut text = String::new();
    stream.read_to_string(&mut text).context("read the agent's answer")?;
    Ok(text)
}
