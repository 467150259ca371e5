//! An echo server on TCP ports and UNIX sockets at once, and for clients that stay as long as they like.
//!
//! ```text
//! cargo run --example echo -- 127.0.0.1:7007 /tmp/echo.socket
//! ```
//!
//! Then `nc 127.0.0.1 7007`, or `nc -U /tmp/echo.socket`, in another terminal.
//!
//! A client that is silent keeps its child, and must not keep a daemon that is to stop: while the child waits
//! for more to echo, it waits by itself, and for [`Child::stop_fd`] besides. Connections it need not wait for
//! so: [`Child::accept`] is asked to leave, and wakes one child alone, where `poll(2)` would wake them all.

use std::{
    env,
    io::{self, Read, Write},
    process::ExitCode,
};

use prefork::{AnyListener, AnyStream, Args, BoxError, Child, Lines, Prefork, exit_code};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};

pub(crate) fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "echo: {}", Lines(&*error));
            exit_code(&*error)
        }
    }
}

fn serve() -> Result<(), BoxError> {
    let mut addresses: Vec<String> = env::args().skip(1).collect();
    if addresses.is_empty() {
        addresses = ["127.0.0.1:7007", "/tmp/echo.socket"].map(str::to_owned).into();
    }
    let args = Args::new()
        .name("echo")
        .daemonize(false)
        .scoreboard_in_memory(true)
        .after_init(move |init| {
            let sockets = addresses.iter().map(|address| init.listen_any(address));
            Ok(sockets.collect::<io::Result<Vec<AnyListener>>>()?)
        })
        .main_loop(|child, sockets| {
            while let Some((connection, _peer)) = child.accept(sockets)? {
                child.busy("echoing");
                // A client that has gone is no reason to end the child.
                let _ = echo(child, connection);
            }
            Ok(())
        });
    Prefork::new(args)?.run()?;
    Ok(())
}

/// Sends back all that comes, until the client has finished or the child is asked to leave.
fn echo(child: &mut Child, mut connection: AnyStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    while has_more(child, &connection)? {
        let length = connection.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        connection.write_all(&buffer[..length])?;
    }
    Ok(())
}

/// Waits until there is something to read, or the end; `false` when the child is asked to leave.
fn has_more(child: &mut Child, connection: &AnyStream) -> io::Result<bool> {
    let stop = PollFd::from_borrowed_fd(child.stop_fd(), PollFlags::IN);
    let mut fds = [PollFd::new(connection, PollFlags::IN), stop];
    loop {
        match poll(&mut fds, None) {
            // The SIGTERM that asks a child interrupts; the descriptor then says so.
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(fds[1].revents().is_empty()),
        }
    }
}
