//! Clients of UNIX stream sockets that hang up.
mod common;

use common::{Server, alone, check, events, filter_for, no_event, reset};
use prefork_netwatch::{Endpoint, Proto, Seen, Watch};
use std::io::Read;
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

fn one_event(watch: &mut Watch, server: &Server, listener: &UnixListener, seen: Seen) {
    let pids = [server.pid()];
    let events = events(watch, &pids, 1);
    assert_eq!(events.len(), 1, "{events:?}");
    let event = &events[0];
    assert_eq!((event.pid, event.proto, event.seen), (server.pid(), Proto::Unix, seen));
    assert_eq!(event.local, Endpoint::of_socket(listener).expect("an address"));
    assert_eq!((event.local_port(), event.foreign_port()), (None, None));
    assert_eq!((event.foreign.clone(), event.foreign_host()), (Endpoint::Unnamed, String::new()));
    no_event(watch, &pids);
}

/// Runs `body` with a listener at a path and with one at an abstract name.
fn with_each(name: &str, body: impl Fn(&UnixListener, &dyn Fn() -> UnixStream)) {
    alone(name, || {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a socket");
        let listener = UnixListener::bind(&path).expect("a socket");
        body(&listener, &|| UnixStream::connect(&path).expect("a connection"));
        let unique = format!("netwatch-{}-{name}", std::process::id());
        let address = SocketAddr::from_abstract_name(unique).expect("a name");
        let listener = UnixListener::bind_addr(&address).expect("a socket");
        body(&listener, &|| UnixStream::connect_addr(&address).expect("a connection"));
    });
}

#[test]
fn a_client_of_a_unix_socket_that_leaves_is_reported_once() {
    with_each("a_client_of_a_unix_socket_that_leaves_is_reported_once", |listener, connect| {
        let mut watch = Watch::new(filter_for(listener));
        let mut server = Server::new(listener);
        let (_stays, leaves, unread) = (connect(), connect(), connect());
        for _ in 0..3 {
            server.order("accept");
        }
        no_event(&mut watch, &[server.pid()]);
        drop(leaves);
        one_event(&mut watch, &server, listener, Seen::Gone);
        // With an answer that it did not read.
        server.order("write 2");
        reset(unread);
        one_event(&mut watch, &server, listener, Seen::Gone);
    });
}

/// N2.
#[test]
fn a_half_close_of_a_unix_socket_is_reported_as_what_it_is() {
    with_each("a_half_close_of_a_unix_socket_is_reported_as_what_it_is", |listener, connect| {
        let mut watch = Watch::new(filter_for(listener));
        let mut server = Server::new(listener);
        let mut client = connect();
        server.order("accept");
        client.shutdown(Shutdown::Write).expect("an open connection");
        one_event(&mut watch, &server, listener, Seen::PeerClosed);
        server.order("write 0");
        let mut answer = [0; 6];
        client.read_exact(&mut answer).expect("the answer still arrives");
        drop(client);
        no_event(&mut watch, &[server.pid()]);
    });
}

#[test]
fn an_orderly_close_of_our_own_unix_socket_is_not_reported() {
    with_each("an_orderly_close_of_our_own_unix_socket_is_not_reported", |listener, connect| {
        let mut watch = Watch::new(filter_for(listener));
        let mut server = Server::new(listener);
        let (shut, closed) = (connect(), connect());
        server.order("accept");
        server.order("accept");
        no_event(&mut watch, &[server.pid()]);
        server.order("shutdown 0");
        server.order("close 1");
        no_event(&mut watch, &[server.pid()]);
        drop((shut, closed));
        no_event(&mut watch, &[server.pid()]);
    });
}

/// N4.
#[test]
fn unix_connections_that_wait_to_be_accepted_are_not_reported() {
    with_each("unix_connections_that_wait_to_be_accepted_are_not_reported", |listener, connect| {
        let mut watch = Watch::new(filter_for(listener));
        let mut server = Server::new(listener);
        let clients = [connect(), connect()];
        no_event(&mut watch, &[server.pid()]);
        drop(clients);
        no_event(&mut watch, &[server.pid()]);
        server.order("accept");
        one_event(&mut watch, &server, listener, Seen::Gone);
    });
}

#[test]
fn the_client_of_another_unix_socket_is_not_reported() {
    with_each("the_client_of_another_unix_socket_is_not_reported", |listener, connect| {
        let other = Endpoint::from(std::path::Path::new("/nowhere"));
        let mut watch = Watch::new(prefork_netwatch::Filter::listening([other]));
        let mut server = Server::new(listener);
        let client = connect();
        server.order("accept");
        assert_eq!(check(&mut watch, &[server.pid()]), []);
        drop(client);
        no_event(&mut watch, &[server.pid()]);
    });
}
