//! The place of a server's listening socket, and who waits at it.

use std::{
    fs, io,
    net::{SocketAddr, TcpStream},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    thread,
    time::Duration,
};

use nix::sys::signal::Signal;
use prefork_netwatch::Endpoint;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::{disconnect::sockets, sys, sys::refused::Refusable};

/// Does nothing but interrupt. It is ignored by default, so that nobody means anything by it to a process that does not ask
/// for it.
const SIGNAL: Signal = Signal::SIGURG;

/// How often the server is made to look at what has its number, and for how long each time.
const ATTEMPTS: u32 = 200;
const ATTEMPT: Duration = Duration::from_millis(5);

/// The numbers by which a server knows its listening socket.
#[derive(Debug)]
pub(super) struct Place {
    numbers: Vec<RawFd>,
    address: SocketAddr,
    /// What ends a thread that accepts from it: a socket that does not listen.
    dead: OwnedFd,
}

impl Place {
    /// Finds the socket that listens at this address.
    pub(super) fn of(address: SocketAddr) -> io::Result<Self> {
        let is_it = |fd: &BorrowedFd<'_>| {
            Endpoint::of_socket(fd).is_ok_and(|endpoint| endpoint == Endpoint::Ip(address))
        };
        let found = sockets()?.listening.into_iter().filter(is_it);
        let numbers: Vec<_> = found.map(|fd| fd.as_raw_fd()).collect();
        if numbers.is_empty() {
            let problem = format!("no socket of this process listens at {address}");
            return Err(io::Error::new(io::ErrorKind::NotFound, problem));
        }
        let (domain, kind) = (AddressFamily::INET, SocketType::STREAM);
        let dead = socket_with(domain, kind, SocketFlags::CLOEXEC, None).of_call("socket(2)")?;
        Ok(Self { numbers, address, dead })
    }

    /// Puts a socket there, and waits until the server has no other.
    ///
    /// Who waits at the old one is given a connection: it takes that, and finds the new one then. When nobody waits at it any
    /// more it is closed, and refuses the next.
    ///
    /// # Errors
    ///
    /// Fails if the old one stays open, as another process has it too.
    pub(super) fn fill(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.replace(socket)?;
        for _ in 0..ATTEMPTS {
            match TcpStream::connect_timeout(&self.address, ATTEMPT) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(()),
                Ok(_) | Err(_) => thread::sleep(ATTEMPT),
            }
        }
        let address = self.address;
        let problem =
            format!("another process listens at {address} too: listen there after the fork");
        Err(io::Error::other(problem))
    }

    /// Has every further accept fail.
    pub(super) fn empty(&self) -> io::Result<()> {
        // The default, to ignore it, would interrupt nothing.
        sys::notice_only(SIGNAL)?;
        self.replace(self.dead.as_fd())?;
        others_are_at_work().map(drop)
    }

    fn replace(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let replace = |number: &RawFd| sys::replace_descriptor(*number, socket);
        self.numbers.iter().try_for_each(replace).of_call("dup3(2)")
    }
}

/// Returns whether any other thread of this process does anything, and interrupts those that wait for connections.
///
/// The handler restarts what it interrupts (`SA_RESTART`), and a call that is restarted finds its descriptor by the number
/// once more: at a server that was lent a socket it fails then. What cannot be restarted, such as a read with a time
/// limit, would fail in its place; so threads that wait for anything else are left alone.
///
/// A thread that has taken a connection, and not come to return it, is at work too.
pub(super) fn others_are_at_work() -> io::Result<bool> {
    // As it is numbered there: `PID/task/NUMBER`.
    let this = fs::read_link("/proc/thread-self")?;
    let mut some = false;
    for entry in fs::read_dir("/proc/self/task")? {
        let name = entry?.file_name();
        if this.file_name() == Some(&name) {
            continue;
        }
        let Some(thread) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let read = |name| fs::read_to_string(format!("/proc/self/task/{thread}/{name}"));
        // Nothing is there of one that has ended.
        let Ok(stat) = read("stat") else { continue };
        let is_asleep = stat.rsplit(") ").next().is_some_and(|it| it.starts_with(['S', 'Z', 'X']));
        // The function of the kernel in which it sleeps, `inet_csk_accept`; 0 if it does not, or that is not known.
        let sleeps_in = read("wchan").unwrap_or_default();
        let accepts = sleeps_in.contains("accept");
        if accepts || matches!(&*sleeps_in, "" | "0") {
            sys::threads::signal(thread, SIGNAL);
        }
        some |= accepts || !is_asleep;
    }
    Ok(some)
}

#[cfg(test)]
mod tests {
    use std::{io::Read, net::TcpListener, sync::mpsc};

    use super::*;

    fn listener() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").expect("bound")
    }

    fn address(listener: &TcpListener) -> SocketAddr {
        listener.local_addr().expect("bound")
    }

    #[test]
    fn a_thread_goes_over_to_another_socket_and_ends_with_one_that_does_not_listen() {
        let (own, shared) = (listener(), listener());
        let place = Place::of(address(&own)).expect("it is there");
        let (give, take) = mpsc::channel();
        let server = thread::spawn(move || {
            loop {
                match own.accept() {
                    Ok((connection, _)) => give.send(connection).expect("the test takes them"),
                    Err(error) => break error,
                }
            }
        });
        place.fill(shared.as_fd()).expect("it goes over");
        let client = TcpStream::connect(address(&shared)).expect("it listens");
        let mut connections = std::iter::from_fn(|| take.recv().ok());
        let this = Some(client.local_addr().expect("bound"));
        assert!(connections.any(|connection| connection.peer_addr().ok() == this));
        // That nobody waits yet is not sure; who does not, finds the other one by itself.
        place.empty().expect("it is replaced");
        while !server.is_finished() {
            others_are_at_work().expect("the threads can be read");
            thread::sleep(Duration::from_millis(1));
        }
        let end = server.join().expect("no panic");
        assert_eq!(end.kind(), io::ErrorKind::InvalidInput);
        // The shared one is what it was.
        let _client = TcpStream::connect(address(&shared)).expect("it listens");
        shared.accept().expect("it waits");
    }

    #[test]
    fn who_listens_elsewhere_is_not_found() {
        let gone = address(&listener());
        let error = Place::of(gone).expect_err("nobody is there");
        assert_eq!(error.to_string(), format!("no socket of this process listens at {gone}"));
    }

    #[test]
    fn what_waits_for_anything_else_is_not_interrupted() {
        let (here, there) = (listener(), listener());
        let mut client = TcpStream::connect(address(&here)).expect("it listens");
        let (_server, _) = here.accept().expect("it waits");
        let limit = Duration::from_millis(300);
        client.set_read_timeout(Some(limit)).expect("set");
        let reader = thread::spawn(move || client.read(&mut [0]).expect_err("nothing comes"));
        let place = Place::of(address(&there)).expect("it is there");
        thread::sleep(limit / 3);
        place.empty().expect("it is replaced");
        let end = reader.join().expect("no panic");
        assert_eq!(end.kind(), io::ErrorKind::WouldBlock, "and not that it was interrupted");
    }
}
