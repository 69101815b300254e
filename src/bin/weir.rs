//! `weir`: the agent and its command line.
#![expect(clippy::print_stderr, reason = "the last words of a command line")]

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match weir::cli::Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("weir: {}", weir::cli::explain(&error));
            ExitCode::FAILURE
        }
    }
}
