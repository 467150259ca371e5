//! A daemon whose children serve axum.
//!
//! ```text
//! cargo run -p prefork-tokio --example axum -- 127.0.0.1:8081
//! ```
//!
//! Then `curl http://127.0.0.1:8081/`, or `/sleep?ms=2000`, and stop it with Ctrl-C or `kill`, or have it reload with
//! `kill -HUP`: requests in hand are answered.

use std::{
    env,
    io::{self, Write},
    process::{self, ExitCode},
    time::Duration,
};

use axum::{Router, extract::RawQuery, routing::get};
use prefork::{Args, BoxError, Lines, Prefork, exit_code};
use tokio::time::sleep;

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "axum: {}", Lines(&*error));
            exit_code(&*error)
        }
    }
}

fn serve() -> Result<(), BoxError> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8081".to_owned());
    let router = Router::new()
        .route("/", get(async || "hello\n"))
        .route("/pid", get(async || format!("{}\n", process::id())))
        .route("/sleep", get(doze));
    let args = Args::new()
        .name("axum")
        .daemonize(false)
        .prefork(2)
        // Requests that wait for something cost little; the default is one at a time.
        .concurrency(1000)
        .after_init(move |init| Ok(init.listen(address.as_str())?))
        .main_loop(move |child, listener| prefork_tokio::serve(child, listener, router.clone()));
    Prefork::new(args)?.run()?;
    Ok(())
}

async fn doze(RawQuery(query): RawQuery) -> &'static str {
    let ms = query.as_deref().and_then(|query| query.strip_prefix("ms=")?.parse().ok());
    sleep(Duration::from_millis(ms.unwrap_or(1000))).await;
    "hello\n"
}
