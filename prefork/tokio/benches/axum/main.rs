//! The same axum in children of a daemon, and in processes of its own that share a port, to be measured by a load generator.
//!
//! ```text
//! cargo bench -p prefork-tokio --bench axum -- children 4 127.0.0.1:8081
//! cargo bench -p prefork-tokio --bench axum -- processes 4 127.0.0.1:8082
//! wrk -t2 -c200 -d10 http://127.0.0.1:8081/
//! ```
//!
//! For HTTP/2 there are clients here, which count what they lose while the daemon is sent `SIGHUP` and `SIGUSR2`:
//!
//! ```text
//! cargo bench -p prefork-tokio --bench axum -- load 50 10 127.0.0.1:8081
//! ```
//!
//! The CPU time of each is in `/proc/PID/stat` of its processes.

mod load;

use std::{
    env,
    net::SocketAddr,
    process::{Child, Command},
    time::Duration,
};

use axum::{Router, routing::get};
use prefork::{Args, BoxError, Prefork};
use tokio::{net::TcpSocket, runtime};

fn main() -> Result<(), BoxError> {
    // Cargo adds one of its own.
    let words: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["children", count, address] => children(count.parse()?, address.to_owned()),
        ["processes", count, address] => processes(count.parse()?, address),
        ["load", connections, seconds, address] => {
            let time = Duration::from_secs(seconds.parse()?);
            let seen = runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(load::ask(connections.parse()?, time, address.parse()?));
            println!("{seen:?}");
            Ok(())
        }
        ["process", address] => process(address.parse()?),
        _ => {
            println!(
                "nothing is measured without: children COUNT ADDRESS, processes COUNT ADDRESS, or load CONNECTIONS SECONDS ADDRESS"
            );
            Ok(())
        }
    }
}

fn router() -> Router {
    Router::new().route("/", get(async || "hello\n"))
}

fn children(count: u32, address: String) -> Result<(), BoxError> {
    let args = Args::new()
        .name("bench-axum")
        .daemonize(false)
        .prefork(count)
        .max_children(count)
        .concurrency(1000)
        .scoreboard_in_memory(env::var_os("BOARD").is_some())
        .after_init(move |init| Ok(init.listen(address.as_str())?))
        .main_loop(|child, listener| prefork_tokio::serve(child, listener, router()));
    Prefork::new(args)?.run()?;
    Ok(())
}

fn processes(count: u32, address: &str) -> Result<(), BoxError> {
    let start = |_| Command::new(env::current_exe()?).args(["process", address]).spawn();
    let all: Vec<Child> = (0..count).map(start).collect::<Result<_, _>>()?;
    for mut process in all {
        process.wait()?;
    }
    Ok(())
}

/// One of those that share the port (`SO_REUSEPORT` in `socket(7)`).
fn process(address: SocketAddr) -> Result<(), BoxError> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseport(true)?;
        socket.bind(address)?;
        Ok(axum::serve(socket.listen(4096)?, router()).await?)
    })
}
