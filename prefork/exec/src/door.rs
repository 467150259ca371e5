//! Keeping a program from accepting more, by taking its listening sockets from what it waits for.
//!
//! What an event loop waits for is in an epoll descriptor, of which a duplicate can be had like of any other descriptor. The
//! loop goes on with all that it has, and is not woken for those who come: they are left to others of the pool.

use std::{io, os::fd::BorrowedFd};

use prefork_core::program::Door;
use rustix::io::Errno;

use crate::{
    look::{How, Listeners, Tree},
    sys::private_table::unregister,
};

/// Closes the door of all processes of a program that wait for their listening sockets by `epoll(7)`; `sockets` are the
/// listeners'.
///
/// # Errors
///
/// If the kernel refuses to show what they wait for, or to change it.
pub(crate) fn close(
    tree: &Tree,
    listeners: &Listeners,
    sockets: &[BorrowedFd<'_>],
) -> io::Result<Door> {
    let mut door = Door::Open;
    for waiting in tree.waits_at(listeners)? {
        let How::Epoll { epoll, socket, listener } = waiting.how else { return Ok(Door::Open) };
        let Some(process) = tree.processes().iter().find(|it| it.pid() == waiting.pid) else {
            continue;
        };
        let done = process.duplicate(epoll).and_then(|epoll| {
            unregister(rustix::fd::AsFd::as_fd(&epoll), sockets[listener], socket)
        });
        match done {
            Ok(()) => door = Door::Closed,
            // It has taken it out itself, or a sibling that shares what it waits for was asked before.
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(door)
}

fn is_gone(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::BADF | Errno::NOENT | Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, os::fd::AsFd};

    use rustix::fs::fstat;

    use super::*;
    use crate::testing::{ECHO, Fixture, ask, wait_until};

    const EVENT_LOOP: &str = "
import asyncio, socket
async def serve(reader, writer):
    while byte := await reader.read(1): writer.write(byte)
async def main():
    await asyncio.start_server(serve, sock=socket.socket(fileno=0))
    await asyncio.Event().wait()
asyncio.run(main())
";

    fn close_door(fixture: &Fixture) -> Door {
        let sockets = [fixture.listener.as_fd()];
        close(&fixture.tree(), &fixture.listeners, &sockets).expect("allowed")
    }

    #[test]
    fn an_event_loop_goes_on_with_what_it_has_and_leaves_newcomers_to_others() {
        let fixture = Fixture::python(EVENT_LOOP).serving();
        let mut before = fixture.connect();
        ask(&mut before, b"a", b"a");
        // It is registered by a number that is in use here, for something else.
        let own = fstat(std::io::stdin()).expect("open").st_ino;
        assert_eq!(close_door(&fixture), Door::Closed);
        assert_eq!(fstat(std::io::stdin()).expect("open").st_ino, own);
        assert_eq!(fixture.tree().waits_at(&fixture.listeners).expect("allowed"), []);

        let newcomer = fixture.connect();
        for _ in 0..20 {
            ask(&mut before, b"b", b"b");
        }
        // Another one of the pool accepts it.
        let listener = TcpListener::from(fixture.listener.try_clone().expect("a descriptor"));
        let (_, client) = listener.accept().expect("it waits");
        assert_eq!(client, newcomer.local_addr().expect("connected"));
        // Closed once is closed.
        assert_eq!(close_door(&fixture), Door::Open);
    }

    #[test]
    fn of_a_program_that_accepts_there_is_no_door_to_close() {
        let fixture = Fixture::python(ECHO).serving();
        assert_eq!(close_door(&fixture), Door::Open);
        let mut client = fixture.connect();
        ask(&mut client, b"a", b"a");
        drop(client);
        wait_until("it serves on", || {
            !fixture.tree().waits_at(&fixture.listeners).expect("allowed").is_empty()
        });
    }
}
