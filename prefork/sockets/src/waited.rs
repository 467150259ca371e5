//! How long a client has waited until its connection was accepted, and whether it still waits.
//!
//! Of TCP the kernel knows when the last data came, or where none has come when the connection was made, in units of its clock
//! (a jiffy, 1 to 10 ms). So it is asked right after `accept(2)`, in one call, before anything else can come. Of a UNIX socket
//! it keeps no time.

use std::os::fd::AsFd;

use prefork_core::{ClientSide, Waited};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::retry_on_intr,
};

use crate::sys;

/// Returns how long the client of a TCP connection has waited that was accepted this moment, and what it has done with its
/// side; `None` if the kernel does not say, as for other sockets.
///
/// A client that has sent its request in parts has waited since the last one.
#[must_use]
pub fn waited(connection: impl AsFd) -> Option<Waited> {
    /// States of `include/net/tcp_states.h`, in which a connection can be before its server has done anything with it.
    const CLOSE: u8 = 7;
    const CLOSE_WAIT: u8 = 8;
    let (state, time) = sys::tcp_arrival(connection.as_fd())?;
    let side = match state {
        CLOSE => ClientSide::Gone,
        CLOSE_WAIT => ClientSide::Finished,
        _ => ClientSide::Open,
    };
    Some(Waited { time: Some(time), side })
}

/// Returns what the peer of any connection has done with its side.
#[must_use]
pub fn side(connection: impl AsFd) -> ClientSide {
    let mut fds = [PollFd::new(&connection, PollFlags::RDHUP)];
    // Nothing is waited for, and what cannot be asked is not known to have gone.
    let asked = retry_on_intr(|| poll(&mut fds, Some(&Timespec::default())));
    let seen = asked.map_or(PollFlags::empty(), |_| fds[0].revents());
    if seen.intersects(PollFlags::HUP | PollFlags::ERR) {
        ClientSide::Gone
    } else if seen.contains(PollFlags::RDHUP) {
        ClientSide::Finished
    } else {
        ClientSide::Open
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        net::{Shutdown, TcpListener, TcpStream},
        os::unix::net::{UnixListener, UnixStream},
        thread,
        time::{Duration, Instant},
    };

    use rustix::net::sockopt::set_socket_linger;

    use super::*;

    /// The longest that a jiffy can be, and what a machine at work adds.
    const JIFFY: Duration = Duration::from_millis(10);

    fn tcp() -> (TcpListener, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        (listener, client)
    }

    fn time(waited: Option<Waited>) -> Duration {
        waited.and_then(|it| it.time).expect("the kernel says so")
    }

    #[test]
    fn a_client_has_waited_since_it_has_asked() {
        let (listener, mut client) = tcp();
        thread::sleep(Duration::from_millis(150));
        let before = Instant::now();
        client.write_all(b"GET").expect("sent");
        let after = Instant::now();
        thread::sleep(Duration::from_millis(100));
        let (server, _) = listener.accept().expect("one waits");
        let least = after.elapsed();
        let found = waited(&server);
        let most = before.elapsed();
        assert!(time(found) + JIFFY >= least && time(found) <= most + JIFFY, "{found:?}");
        assert_eq!(found.map(|it| it.side), Some(ClientSide::Open));
    }

    #[test]
    fn one_that_has_asked_nothing_has_waited_since_it_has_connected() {
        let before = Instant::now();
        let (listener, _client) = tcp();
        let after = Instant::now();
        thread::sleep(Duration::from_millis(50));
        let (server, _) = listener.accept().expect("one waits");
        let least = after.elapsed();
        let found = time(waited(&server));
        assert!(found + JIFFY >= least && found <= before.elapsed() + JIFFY, "{found:?}");
    }

    #[test]
    fn clients_that_have_closed_their_side_or_gone_are_seen() {
        let accepted = |end: fn(&mut Option<TcpStream>)| {
            let (listener, mut client) = tcp();
            client.write_all(b"GET").expect("sent");
            let mut client = Some(client);
            end(&mut client);
            let (server, _) = listener.accept().expect("accepted all the same");
            (waited(&server).map(|it| it.side), side(&server))
        };
        let finished = (Some(ClientSide::Finished), ClientSide::Finished);
        assert_eq!(
            accepted(|client| *client = None),
            finished,
            "the kernel sees no more than that"
        );
        let half = accepted(|client| {
            let client = client.as_ref().expect("it is there");
            client.shutdown(Shutdown::Write).expect("possible");
        });
        assert_eq!(half, finished);
        let reset = accepted(|client| {
            let client = client.take().expect("it is there");
            set_socket_linger(&client, Some(Duration::ZERO)).expect("possible");
        });
        assert_eq!(reset, (Some(ClientSide::Gone), ClientSide::Gone));
    }

    #[test]
    fn of_a_unix_socket_it_is_seen_who_has_gone() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).expect("bound");
        let accepted = |end: fn(&mut Option<UnixStream>)| {
            let mut client = Some(UnixStream::connect(&path).expect("room"));
            end(&mut client);
            let (server, _) = listener.accept().expect("one waits");
            assert_eq!(waited(&server), None);
            side(&server)
        };
        assert_eq!(accepted(|_| {}), ClientSide::Open);
        let half = accepted(|client| {
            let client = client.as_ref().expect("it is there");
            client.shutdown(Shutdown::Write).expect("possible");
        });
        assert_eq!(half, ClientSide::Finished);
        assert_eq!(accepted(|client| *client = None), ClientSide::Gone);
    }
}
