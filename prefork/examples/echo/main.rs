//! An echo server on a TCP port and a UNIX socket at once.
//!
//! ```text
//! cargo run --example echo -- 127.0.0.1:7007 /tmp/echo.socket
//! ```
//!
//! Then `nc 127.0.0.1 7007`, or `nc -U /tmp/echo.socket`, in another terminal.
//!
//! [`Child::accept`] takes sockets of one kind. A loop that waits for several kinds of things waits by
//! itself, and for [`Child::stop_fd`] besides. Where many children wait in `poll(2)` for one socket, a
//! connection wakes them all, and one gets it; `accept` wakes one alone.

use std::{
    env,
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process::ExitCode,
};

use prefork::{Args, BoxError, Child, Prefork, Report};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::{Errno, ioctl_fionbio},
    net::{SocketFlags, accept_with},
};

pub(crate) fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo: {}", Report(&*error));
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), BoxError> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:7007".to_owned());
    let path = arguments.next().unwrap_or_else(|| "/tmp/echo.socket".to_owned());
    let args = Args::new()
        .name("echo")
        .daemonize(false)
        .scoreboard_in_memory(true)
        .after_init(move |init| {
            let sockets: [OwnedFd; 2] =
                [init.listen(address.as_str())?.into(), init.listen_unix(path)?.into()];
            for socket in &sockets {
                // A child that was told of a connection may find that another has taken it.
                ioctl_fionbio(socket, true)?;
            }
            Ok(sockets)
        })
        .main_loop(|child, sockets| {
            while let Some(ready) = wait(child, sockets)? {
                match accept_with(ready, SocketFlags::CLOEXEC) {
                    Ok(connection) => {
                        child.busy("echoing");
                        // A client that has gone is no reason to end the child.
                        let _ = echo(child, connection.into());
                        child.idle();
                    }
                    Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(())
        });
    Prefork::new(args)?.run()?;
    Ok(())
}

/// Sends all that comes back, until the client has finished or the child is asked to leave.
fn echo(child: &mut Child, mut connection: File) -> io::Result<()> {
    let mut buffer = [0; 4096];
    while wait(child, std::slice::from_ref(&connection))?.is_some() {
        let length = connection.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        connection.write_all(&buffer[..length])?;
    }
    Ok(())
}

/// Waits until one of these can be read; `None` when the child is asked to leave.
fn wait<'a>(child: &mut Child, of: &'a [impl AsFd]) -> io::Result<Option<BorrowedFd<'a>>> {
    let stop = child.stop_fd();
    loop {
        let mut fds: Vec<PollFd<'_>> = of.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        fds.push(PollFd::from_borrowed_fd(stop, PollFlags::IN));
        match poll(&mut fds, None) {
            // The SIGTERM that asks a child interrupts; the descriptor then says so.
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
        let is_ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        if fds.last().is_some_and(is_ready) {
            return Ok(None);
        }
        if let Some(place) = fds.iter().position(is_ready) {
            return Ok(Some(of[place].as_fd()));
        }
    }
}
