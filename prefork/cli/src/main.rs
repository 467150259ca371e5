//! The command `prefork`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    prefork_cli::main()
}
