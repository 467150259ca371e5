//! A preforked HTTP server.
//!
//! ```text
//! cargo run --release --example hello
//! ```

mod access;
mod cli;
mod http;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::SystemTime,
};

use prefork::{
    AnyAddr, AnyStream, Args, BoxError, Child, Inspect, Lines, Prefork, Returned, exit_code,
};

use access::Line;
use cli::Cli;

pub(crate) fn main() -> ExitCode {
    match serve(Cli::read()) {
        Ok(ended) => {
            if let Some(Returned::Launched { pid, .. }) = ended {
                // The reader may have gone: no reason to end by a panic, as println! would.
                let _ = writeln!(io::stdout(), "hello: serving as pid {pid}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "hello: {}", Lines(&*error));
            exit_code(&*error)
        }
    }
}

fn serve(cli: Cli) -> Result<Option<Returned>, BoxError> {
    let config = cli.config()?;
    let ((addresses, origin), inspect) = (cli.addresses(&config), cli.inspect());
    if inspect.is_some() {
        cli::check_addresses(&addresses, &origin)?;
    }
    if inspect == Some(Inspect::Print) {
        cli::print_own(&addresses, &origin);
    }
    let args = cli
        .apply(Args::new().name("hello").version(env!("CARGO_PKG_VERSION")), config)
        // Once, in the parent: what this returns is handed to every child.
        .after_init(move |init| {
            let mut listeners = Vec::new();
            for address in addresses {
                let listener = init.listen_any(address)?;
                http::limit_patience(&listener)?;
                listeners.push(listener);
            }
            if !init.is_daemon() {
                for listener in &listeners {
                    cli::print_what_to_try(&listener.local_addr()?);
                }
            }
            Ok(listeners)
        })
        // In each child: one connection at a time, until asked to leave.
        .main_loop(|child, listeners| {
            // With a limit of the queue, clients that have waited too long are told so.
            while let Some((connection, peer)) =
                child.accept_or_refuse(listeners, |child, (connection, peer)| {
                    log(child, &peer, http::refuse(connection).map(str::to_owned), "503");
                })?
            {
                // A client that misbehaves or has gone is no reason to end the child, and neither is
                // a full disk.
                let exchange = answer(child, connection);
                log(child, &peer, exchange, "408");
            }
            Ok(())
        });
    match inspect {
        Some(inspect) => {
            args.inspect(inspect)?;
            Ok(None)
        }
        None => Ok(Some(Prefork::new(args)?.run()?)),
    }
}

/// Writes to the access log what was asked for and answered, or why nothing could be.
fn log(child: &mut Child, client: &AnyAddr, exchange: io::Result<String>, failed: &str) {
    let exchange = exchange.unwrap_or_else(|error| format!("\"-\" {failed} 0 \"{error}\""));
    let line = Line { client, ended: SystemTime::now(), exchange: &exchange };
    let _ = child.access_log().line(format_args!("{line}"));
}

/// Serves one connection, and returns for the access log what was asked for and answered.
fn answer(child: &mut Child, mut connection: AnyStream) -> io::Result<String> {
    if child.is_overloaded() {
        http::shorten_patience(&connection)?;
    }
    let request = http::read(&mut connection)?;
    child.busy(request.line());
    let response = http::respond(&request, child.pid());
    http::send(connection, child, &request, &response)?;
    Ok(format!("\"{request}\" {response}"))
}
