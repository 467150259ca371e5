//! The command `prefork`, as it is measured.

use std::process::ExitCode;

fn main() -> ExitCode {
    prefork_cli::main()
}
