//! Runs what strangers send, each in a process that has served nobody before and can harm nobody else.
//!
//! ```text
//! cargo run --release --example runner --features landlock
//! curl --data 'print(6 * 7)' http://127.0.0.1:8080/python
//! curl -i --data 'echo $HOME; while :; do :; done' http://127.0.0.1:8080/sh
//! ```
//!
//! An answer is what the program has printed, with how it has ended in `Exit-Status`, and which limit it has hit in `Limit`:
//! `time`, `output`, `cpu time` or `file size`. As root, all of it runs as `nobody`.
//!
//! Children wait for clients before these come, serve one and end, with all that the program has started
//! (`one_shot`). What a program may do is decided by `isolate`: no signal to a sibling, no network, a `/tmp` of its own, so much
//! memory, so many processes. What is possible here stands in the first line of the log. That is no wall against a fault in
//! the kernel, and the files that the user can read can be read. One that signals all that it can ends the child that has started
//! it, and has no answer. Where each child can have a control group of its own, as root, a program that starts processes
//! without end takes them from nobody else; elsewhere all share the number of their user's, and while one uses that up, for as
//! long as it may run, others cannot start any.

mod http;
mod snippet;

use std::{
    env,
    io::{self, Write},
    net::TcpStream,
    process::ExitCode,
    time::Duration,
};

use prefork::{Args, BoxError, Child, Isolation, Lines, Prefork, exit_code};

use snippet::{Language, Limits};

/// What each program may use.
const LIMITS: Limits = Limits { time: Duration::from_secs(3), output: 64 << 10 };

/// How many programs may run at a time.
const CHILDREN: u32 = 32;

/// How many processes each may have.
const PROCESSES: u64 = 32;

/// How long a client may take to send its program.
const PATIENCE: Duration = Duration::from_secs(3);

pub(crate) fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "runner: {}", Lines(&*error));
            exit_code(&*error)
        }
    }
}

fn serve() -> Result<(), BoxError> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let isolation = Isolation::new()
        .siblings_apart()
        .no_network()
        .private_tmp(64 << 20)
        // Of the user: all that the children may have together, and a few.
        .max_processes(u64::from(CHILDREN) * PROCESSES + 64)
        .max_open_files(64)
        .max_file_size(16 << 20)
        .max_core_size(0)
        .max_data(512 << 20)
        .max_cpu_time(5)
        .nice(10);
    let mut args = Args::new();
    if rustix::process::geteuid().is_root() {
        args = args.user("nobody");
    }
    let args = args
        .name("runner")
        .daemonize(false)
        .scoreboard_in_memory(true)
        .one_shot(true)
        .prefork(4)
        .max_children(CHILDREN)
        .child_process_limit(PROCESSES)
        .isolate(isolation)
        // Whatever happens to the limits below.
        .request_timeout(PATIENCE + LIMITS.time + Duration::from_secs(2))
        .after_init(move |init| Ok(init.listen(address.as_str())?))
        .main_loop(|child, listener| {
            // One client.
            while let Some((connection, _)) = child.accept(listener)? {
                // One that has gone is no reason to end in disorder.
                let _ = answer(child, connection);
            }
            Ok(())
        });
    Prefork::new(args)?.run()?;
    Ok(())
}

fn answer(child: &mut Child, mut connection: TcpStream) -> io::Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    let request = match http::read(&mut connection) {
        Ok(request) => request,
        Err(error) => return http::refuse(&mut connection, "400 Bad Request", &error.to_string()),
    };
    child.busy(&request.path);
    let language = match &*request.path {
        "/sh" => Language::Shell,
        "/python" => Language::Python,
        _ => return http::refuse(&mut connection, "404 Not Found", "there are /sh and /python"),
    };
    match snippet::run(language, &request.body, LIMITS) {
        Ok(ended) => http::send(&mut connection, &ended),
        Err(error) => {
            http::refuse(&mut connection, "500 Internal Server Error", &error.to_string())
        }
    }
}
