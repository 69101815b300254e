//! The hub's program: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    weir::cli::hub::main()
}
