//! Any program, in four children at one address.
//!
//! ```text
//! cargo run -p prefork-exec --example any -- 127.0.0.1:8080 PROGRAM [ARGUMENT...]
//! ```

use std::env;

use prefork::{Args, BoxError, Prefork};
use prefork_exec::{Listen, Program};

fn main() -> Result<(), BoxError> {
    let mut words = env::args_os().skip(1);
    let address = words.next().ok_or("usage: any ADDRESS PROGRAM [ARGUMENT...]")?;
    let mut program = Program::new(words);
    program.listen.push(Listen::at(address.to_string_lossy()));
    let args = Args::new().name("any").daemonize(false).prefork(2).scoreboard_in_memory(true);
    Prefork::new(prefork_exec::attach(program, args))?.run()?;
    Ok(())
}
