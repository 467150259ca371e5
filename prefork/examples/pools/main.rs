//! A daemon of several pools: web children, a report pool that sleeps while nobody asks, and a scheduler of which there is one.
//!
//!     cargo run --release -p prefork --example pools
//!     curl localhost:8000; curl localhost:8001
//!
//! `ps f` shows the arbiter and, below it, a parent for each pool that is awake.

use std::{
    env,
    io::{Read, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use prefork::{AnyListener, Args, Child, ErrorChain, Pools, Waited, exit_code};

/// Answers each client with the name and the pid of who serves it.
fn serve(child: &mut Child, listener: &AnyListener, name: &str) -> prefork::Result {
    while let Some((mut connection, _peer)) = child.accept(listener)? {
        let mut request = [0; 4096];
        let _ = connection.read(&mut request)?;
        let body = format!("{name}, process {}\n", std::process::id());
        write!(
            connection,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )?;
    }
    Ok(())
}

/// Does what is due every ten seconds, in one process and never in two.
fn schedule(child: &mut Child) -> prefork::Result {
    while child.wait(Duration::from_secs(10))? == Waited::TimedOut {
        println!("scheduler: process {}", std::process::id());
    }
    Ok(())
}

fn main() -> ExitCode {
    let web = Args::new().listen("127.0.0.1:8000").prefork(2).max_children(16);
    let reports = Args::new().listen("127.0.0.1:8001").prefork(0).max_children(4);
    // That of systemd, where it runs under systemd.
    let folder = env::var_os("RUNTIME_DIRECTORY").map_or_else(env::temp_dir, PathBuf::from);
    let common = Args::new()
        .name("app")
        .daemonize(false)
        .pid_path(folder.join("prefork-example-pools.pid"))
        .scoreboard_in_memory(true);
    let pools = Pools::new(common)
        .pool("web", web.main_loop(|child, listener| serve(child, listener, "web")))
        .pool("reports", reports.main_loop(|child, listener| serve(child, listener, "reports")))
        .role("scheduler", schedule);
    match pools.run() {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", ErrorChain(&error));
            exit_code(&error)
        }
    }
}
