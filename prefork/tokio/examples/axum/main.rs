//! A daemon whose children serve axum.
//!
//! ```text
//! cargo run -p prefork-tokio --example axum -- 127.0.0.1:8081
//! ```
//!
//! Then `curl http://127.0.0.1:8081/`, or `/sleep?ms=2000`, and stop it with Ctrl-C or `kill`, or have it reload with
//! `kill -HUP`: requests in hand are answered. With a second argument, `127.0.0.1:9081` say, what it counts with the crate
//! `metrics` in all children is at `http://127.0.0.1:9081/metrics`.

use std::{
    env,
    io::{self, Write},
    process::{self, ExitCode},
    time::Duration,
};

use axum::{Router, extract::RawQuery, routing::get};
use metrics::{counter, describe_counter, describe_histogram, histogram};
use prefork::{Args, BoxError, Lines, Metrics, Prefork, exit_code};
use tokio::time::{Instant, sleep};

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
    // First of all: then what libraries count is there too.
    let mut metrics = Metrics::new();
    metrics.install_recorder()?;
    describe_counter!("example_greetings_total", "Greetings, by who was greeted");
    describe_histogram!("example_sleep_seconds", "Time slept");
    let router = Router::new()
        .route("/", get(greet))
        .route("/pid", get(async || format!("{}\n", process::id())))
        .route("/sleep", get(doze));
    let args = Args::new()
        .name("axum")
        .daemonize(false)
        .metrics(metrics)
        .prefork(2)
        // Requests that wait for something cost little; the default is one at a time.
        .concurrency(1000)
        .after_init(move |init| Ok(init.listen(address.as_str())?))
        .main_loop(move |child, listener| prefork_tokio::serve(child, listener, router.clone()));
    let args = match env::args().nth(2) {
        Some(status) => args.status_listen(status),
        None => args,
    };
    Prefork::new(args)?.run()?;
    Ok(())
}

async fn greet() -> &'static str {
    counter!("example_greetings_total", "whom" => "world").increment(1);
    "hello\n"
}

async fn doze(RawQuery(query): RawQuery) -> &'static str {
    let ms = query.as_deref().and_then(|query| query.strip_prefix("ms=")?.parse().ok());
    let begun = Instant::now();
    sleep(Duration::from_millis(ms.unwrap_or(1000))).await;
    histogram!("example_sleep_seconds").record(begun.elapsed().as_secs_f64());
    "hello\n"
}
