//! Clients of TCP that hang up, in every way and through every source.
mod common;

use common::{
    Server, alone, check, filter_for, no_event, one_event, reset, sources, tcp, wait_for,
};
use prefork_netwatch::{Connection, Filter, Seen, SockDiag, Source, SourceError, State, Watch};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::Read;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;

/// Runs `body` with a listener and each source, alone in a process.
fn with_each(name: &str, address: &str, body: impl Fn(TcpListener, Watch<Box<dyn Source>>)) {
    alone(name, || {
        for (source_name, source) in sources() {
            println!("through {source_name}");
            let (listener, _) = tcp(address);
            let filter = filter_for(&listener);
            body(listener, Watch::with_source(filter, source));
        }
    });
}

fn connect(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let address = listener.local_addr().expect("an address");
    let stream = TcpStream::connect(address).expect("a connection");
    let own = stream.local_addr().expect("an address");
    (stream, own)
}

/// N1.
#[test]
fn a_client_that_closes_is_reported_once_and_of_the_right_process() {
    let name = "a_client_that_closes_is_reported_once_and_of_the_right_process";
    with_each(name, "127.0.0.1:0", |listener, mut watch| {
        let (mut first, mut second) = (Server::new(&listener), Server::new(&listener));
        let pids = [first.pid(), second.pid()];
        let (_stays, _) = connect(&listener);
        first.order("accept");
        let (leaves, address) = connect(&listener);
        second.order("accept");
        no_event(&mut watch, &pids);
        drop(leaves);
        one_event(&mut watch, &pids, second.pid(), address, Seen::PeerClosed);
    });
}

/// N1.
#[test]
fn a_client_that_resets_is_reported_once_and_of_the_right_process() {
    let name = "a_client_that_resets_is_reported_once_and_of_the_right_process";
    with_each(name, "127.0.0.1:0", |listener, mut watch| {
        let (mut first, mut second) = (Server::new(&listener), Server::new(&listener));
        let pids = [first.pid(), second.pid()];
        let (_stays, _) = connect(&listener);
        first.order("accept");
        let (leaves, address) = connect(&listener);
        second.order("accept");
        no_event(&mut watch, &pids);
        reset(leaves);
        one_event(&mut watch, &pids, second.pid(), address, Seen::Gone);
    });
}

/// What this process has accepted, as the kernel shows it now.
fn accepted(listener: &TcpListener) -> (TcpStream, Connection) {
    let (server, client) = listener.accept().expect("a connection");
    let mut rows = Vec::new();
    SockDiag::new().read(&filter_for(listener), &mut rows).expect("connections");
    let is_it = |row: &Connection| row.inode != 0 && row.foreign == client.into();
    let row = rows.into_iter().find(is_it).expect("it is shown");
    (server, row)
}

/// N1: a client that has gone before anybody has looked, if its connection was expected.
#[test]
fn a_client_that_resets_before_the_first_check_is_reported_once() {
    let name = "a_client_that_resets_before_the_first_check_is_reported_once";
    with_each(name, "127.0.0.1:0", |listener, mut watch| {
        let me = std::process::id();
        let (client, address) = connect(&listener);
        let (_server, expected) = accepted(&listener);
        reset(client);
        wait_for("the reset", || {
            let mut rows = Vec::new();
            SockDiag::new().read(&filter_for(&listener), &mut rows).expect("connections");
            rows.iter().all(|row| row.inode != expected.inode)
        });
        let mut events = Vec::new();
        for _ in 0..6 {
            watch.expect(me, &expected);
            events.extend(check(&mut watch, &[me]));
        }
        let [event] = &events[..] else { panic!("one event: {events:?}") };
        assert_eq!((event.pid, event.seen), (me, Seen::Gone));
        assert_eq!(event.foreign, address.into());
    });
}

/// N3: a connection that was expected, and that this side has closed since, or has shut down first.
#[test]
fn what_this_side_has_closed_is_not_reported_though_it_was_expected() {
    let name = "what_this_side_has_closed_is_not_reported_though_it_was_expected";
    with_each(name, "127.0.0.1:0", |listener, mut watch| {
        let me = std::process::id();
        let (_stays, _) = connect(&listener);
        let (closed, first) = accepted(&listener);
        drop(closed);
        let (mut leaves, _) = connect(&listener);
        let (shut, second) = accepted(&listener);
        shut.shutdown(Shutdown::Write).expect("an open connection");
        assert_eq!(leaves.read(&mut [0]).expect("an end"), 0);
        drop(leaves);
        for _ in 0..6 {
            watch.expect(me, &first);
            watch.expect(me, &second);
            assert_eq!(check(&mut watch, &[me]), []);
        }
        drop(shut);
    });
}

/// N2.
#[test]
fn a_half_close_is_reported_as_what_it_is_and_its_end_not_again() {
    let name = "a_half_close_is_reported_as_what_it_is_and_its_end_not_again";
    with_each(name, "127.0.0.1:0", |listener, mut watch| {
        let mut server = Server::new(&listener);
        let (mut client, address) = connect(&listener);
        server.order("accept");
        client.shutdown(Shutdown::Write).expect("an open connection");
        one_event(&mut watch, &[server.pid()], server.pid(), address, Seen::PeerClosed);
        server.order("write 0");
        let mut answer = [0; 6];
        client.read_exact(&mut answer).expect("the answer still arrives");
        assert_eq!(&answer, b"answer");
        reset(client);
        no_event(&mut watch, &[server.pid()]);
    });
}

#[test]
fn an_orderly_close_of_our_own_is_not_reported() {
    let name = "an_orderly_close_of_our_own_is_not_reported";
    with_each(name, "127.0.0.1:0", |listener, mut watch| {
        let mut server = Server::new(&listener);
        let pids = [server.pid()];
        let (mut closed, _) = connect(&listener);
        server.order("accept");
        let (mut shut, _) = connect(&listener);
        server.order("accept");
        no_event(&mut watch, &pids);
        server.order("close 0");
        no_event(&mut watch, &pids);
        assert_eq!(closed.read(&mut [0]).expect("an end"), 0);
        drop(closed);
        no_event(&mut watch, &pids);
        // The process still holds the second one, though its socket is no more.
        server.order("shutdown 1");
        no_event(&mut watch, &pids);
        assert_eq!(shut.read(&mut [0]).expect("an end"), 0);
        drop(shut);
        no_event(&mut watch, &pids);
        server.order("close 1");
        no_event(&mut watch, &pids);
    });
}

/// Between two checks, so that no state on the way was seen.
#[test]
fn an_orderly_close_of_our_own_between_two_checks_is_not_reported() {
    let name = "an_orderly_close_of_our_own_between_two_checks_is_not_reported";
    with_each(name, "127.0.0.1:0", |listener, mut watch| {
        let mut server = Server::new(&listener);
        let (mut client, address) = connect(&listener);
        server.order("accept");
        assert_eq!(check(&mut watch, &[server.pid()]), []);
        server.order("shutdown 0");
        assert_eq!(client.read(&mut [0]).expect("an end"), 0);
        drop(client);
        let all = prefork_netwatch::Filter::all();
        wait_for("TIME_WAIT", || {
            let (mut rows, mut source) = (Vec::new(), prefork_netwatch::SockDiag::new());
            source.read(&all, &mut rows).expect("connections");
            rows.iter().all(|row| row.foreign.port() != Some(address.port()))
        });
        no_event(&mut watch, &[server.pid()]);
    });
}

/// The peer closes first, and the process answers by closing before anybody looked.
#[test]
fn a_client_that_leaves_before_the_check_and_is_let_go_is_not_reported() {
    let name = "a_client_that_leaves_before_the_check_and_is_let_go_is_not_reported";
    with_each(name, "127.0.0.1:0", |listener, mut watch| {
        let mut server = Server::new(&listener);
        let (client, _) = connect(&listener);
        server.order("accept");
        assert_eq!(check(&mut watch, &[server.pid()]), []);
        drop(client);
        server.order("close 0");
        no_event(&mut watch, &[server.pid()]);
    });
}

/// N4.
#[test]
fn connections_that_wait_to_be_accepted_are_not_reported() {
    let name = "connections_that_wait_to_be_accepted_are_not_reported";
    with_each(name, "127.0.0.1:0", |listener, mut watch| {
        let server = Server::new(&listener);
        let clients: Vec<_> = (0..5).map(|_| connect(&listener)).collect();
        no_event(&mut watch, &[server.pid()]);
        for (index, (client, _)) in clients.into_iter().enumerate() {
            if index % 2 == 0 { drop(client) } else { reset(client) }
        }
        no_event(&mut watch, &[server.pid()]);
    });
}

/// N4. It is in the queue with its end seen; once accepted it is somebody's.
#[test]
fn a_client_that_closed_before_it_was_accepted_is_reported_when_it_is() {
    let name = "a_client_that_closed_before_it_was_accepted_is_reported_when_it_is";
    with_each(name, "127.0.0.1:0", |listener, mut watch| {
        let mut server = Server::new(&listener);
        let (client, address) = connect(&listener);
        drop(client);
        no_event(&mut watch, &[server.pid()]);
        server.order("accept");
        one_event(&mut watch, &[server.pid()], server.pid(), address, Seen::PeerClosed);
    });
}

/// N4.
#[test]
fn ipv4_clients_of_an_ipv6_listener_are_shown_as_ipv4() {
    let name = "ipv4_clients_of_an_ipv6_listener_are_shown_as_ipv4";
    with_each(name, "[::]:0", |listener, mut watch| {
        let mut server = Server::new(&listener);
        let port = listener.local_addr().expect("an address").port();
        for (host, seen) in [("127.0.0.1", Seen::PeerClosed), ("::1", Seen::PeerClosed)] {
            let client = TcpStream::connect((host, port)).expect("a connection");
            let address = client.local_addr().expect("an address");
            server.order("accept");
            no_event(&mut watch, &[server.pid()]);
            drop(client);
            one_event(&mut watch, &[server.pid()], server.pid(), address, seen);
        }
        for host in ["127.0.0.1", "::1"] {
            let client = TcpStream::connect((host, port)).expect("a connection");
            let address = client.local_addr().expect("an address");
            server.order("accept");
            no_event(&mut watch, &[server.pid()]);
            reset(client);
            one_event(&mut watch, &[server.pid()], server.pid(), address, Seen::Gone);
        }
    });
}

#[test]
fn connections_that_the_process_opened_itself_are_not_its_clients() {
    let name = "connections_that_the_process_opened_itself_are_not_its_clients";
    with_each(name, "127.0.0.1:0", |listener, mut watch| {
        let (database, address) = tcp("127.0.0.1:0");
        let mut server = Server::new(&listener);
        server.order(&format!("connect {address}"));
        server.order(&format!("connect {address}"));
        let (closes, _) = database.accept().expect("a connection");
        let (resets, _) = database.accept().expect("a connection");
        no_event(&mut watch, &[server.pid()]);
        drop(closes);
        reset(resets);
        no_event(&mut watch, &[server.pid()]);
    });
}

/// A child is asked about only while it is busy; what it holds may end while it is not.
#[test]
fn an_end_while_the_process_was_idle_is_reported_when_it_is_busy_again() {
    let name = "an_end_while_the_process_was_idle_is_reported_when_it_is_busy_again";
    with_each(name, "127.0.0.1:0", |listener, mut watch| {
        let mut server = Server::new(&listener);
        let (closes, closed) = connect(&listener);
        server.order("accept");
        let (resets, was_reset) = connect(&listener);
        server.order("accept");
        no_event(&mut watch, &[server.pid()]);
        no_event(&mut watch, &[]);
        drop(closes);
        no_event(&mut watch, &[]);
        one_event(&mut watch, &[server.pid()], server.pid(), closed, Seen::PeerClosed);
        reset(resets);
        assert_eq!(check(&mut watch, &[]), []);
        one_event(&mut watch, &[server.pid()], server.pid(), was_reset, Seen::Gone);
    });
}

#[test]
fn a_descriptor_that_several_processes_hold_makes_one_event() {
    let name = "a_descriptor_that_several_processes_hold_makes_one_event";
    with_each(name, "127.0.0.1:0", |listener, mut watch| {
        let mut server = Server::new(&listener);
        let (closes, closed) = connect(&listener);
        server.order("accept");
        let (resets, was_reset) = connect(&listener);
        server.order("accept");
        let sharer: u32 = server.order("share").parse().expect("a pid");
        let both = [sharer, server.pid()];
        no_event(&mut watch, &both);
        drop(closes);
        one_event(&mut watch, &both, sharer, closed, Seen::PeerClosed);
        // It now lives in the other process alone.
        server.order("close 1");
        no_event(&mut watch, &both);
        reset(resets);
        one_event(&mut watch, &both, sharer, was_reset, Seen::Gone);
    });
}

#[test]
fn every_one_of_many_connections_of_a_process_is_reported_once() {
    let name = "every_one_of_many_connections_of_a_process_is_reported_once";
    with_each(name, "127.0.0.1:0", |listener, mut watch| {
        let mut server = Server::new(&listener);
        let mut clients = Vec::new();
        for _ in 0..100 {
            clients.push(connect(&listener));
            server.order("accept");
        }
        no_event(&mut watch, &[server.pid()]);
        let mut expected = Vec::new();
        for (index, (client, address)) in clients.into_iter().enumerate() {
            if index % 2 == 0 {
                drop(client);
                expected.push((address.port(), Seen::PeerClosed));
            } else {
                reset(client);
                expected.push((address.port(), Seen::Gone));
            }
        }
        let events = common::events(&mut watch, &[server.pid()], expected.len());
        let mut found: Vec<_> = events
            .iter()
            .map(|event| (event.foreign_port().expect("TCP has ports"), event.seen))
            .collect();
        expected.sort_unstable_by_key(|(port, _)| *port);
        found.sort_unstable_by_key(|(port, _)| *port);
        assert_eq!(found, expected);
        no_event(&mut watch, &[server.pid()]);
    });
}

/// Nothing was ever seen of it that could be named.
#[test]
fn a_client_that_resets_before_the_first_check_is_not_reported() {
    let name = "a_client_that_resets_before_the_first_check_is_not_reported";
    with_each(name, "127.0.0.1:0", |listener, mut watch| {
        let mut server = Server::new(&listener);
        let (client, _) = connect(&listener);
        server.order("accept");
        reset(client);
        no_event(&mut watch, &[server.pid()]);
    });
}

#[test]
fn the_ports_of_several_listeners_are_distinguished_from_others() {
    alone("the_ports_of_several_listeners_are_distinguished_from_others", || {
        for (name, mut source) in sources() {
            for count in [1, 2, 3, 7, 100] {
                let listeners: Vec<_> = (0..count).map(|_| tcp("127.0.0.1:0")).collect();
                let (other, _) = tcp("127.0.0.1:0");
                let mut held = vec![connect(&other), connect(&other)];
                held.extend(listeners.iter().map(|(listener, _)| connect(listener)));
                // Others may listen at the same ports of other addresses, where this network is everybody's.
                let ours: BTreeSet<_> = held.iter().map(|(_, own)| Some(own.port())).collect();
                let addresses = listeners.iter().map(|(_, address)| *address);
                let filter = prefork_netwatch::Filter::listening(addresses.clone());
                let mut rows = Vec::new();
                source.read(&filter, &mut rows).expect("connections");
                rows.retain(|row| ours.contains(&row.foreign.port()));
                let mut found: Vec<_> = rows.iter().filter_map(|row| row.local.port()).collect();
                let mut expected: Vec<_> = addresses.map(|address| address.port()).collect();
                found.sort_unstable();
                expected.sort_unstable();
                assert_eq!(found, expected, "{count} listeners, through {name}");
                assert!(rows.iter().all(|row| row.state == State::Established));
            }
        }
    });
}

/// Counts how often everything is read; finds nothing, if it is to.
struct Spy {
    source: SockDiag,
    reads: Rc<Cell<u32>>,
    finds: bool,
}

impl Source for Spy {
    fn read(&mut self, filter: &Filter, rows: &mut Vec<Connection>) -> Result<(), SourceError> {
        self.reads.set(self.reads.get() + 1);
        self.source.read(filter, rows)
    }

    fn find(&mut self, connection: &Connection) -> Result<Option<Connection>, SourceError> {
        if self.finds { self.source.find(connection) } else { Ok(None) }
    }

    fn finds_directly(&self) -> bool {
        true
    }

    fn find_all(
        &mut self,
        connections: &[Connection],
        rows: &mut Vec<Connection>,
    ) -> Result<bool, SourceError> {
        if self.finds { self.source.find_all(connections, rows) } else { Ok(false) }
    }
}

/// N1: clients that are expected are found one by one, and noticed when they go all the same; everything is read where a
/// process says nothing.
#[test]
fn connections_that_are_expected_are_found_without_reading_all() {
    let name = "connections_that_are_expected_are_found_without_reading_all";
    alone(name, || {
        let (listener, _) = tcp("127.0.0.1:0");
        let (me, reads) = (std::process::id(), Rc::new(Cell::new(0)));
        let spy = Spy { source: SockDiag::new(), reads: Rc::clone(&reads), finds: true };
        let mut watch = Watch::with_source(filter_for(&listener), spy);
        for leaves in [drop, reset] {
            let (client, address) = connect(&listener);
            let (_server, expected) = accepted(&listener);
            let before = reads.get();
            for _ in 0..5 {
                watch.expect(me, &expected);
                assert_eq!(check(&mut watch, &[me]), []);
            }
            leaves(client);
            let mut events = Vec::new();
            wait_for("the end", || {
                watch.expect(me, &expected);
                events.extend(check(&mut watch, &[me]));
                !events.is_empty()
            });
            assert_eq!((events[0].pid, events[0].foreign.clone()), (me, address.into()));
            assert_eq!(reads.get(), before, "nothing else is read");
        }
        let before = reads.get();
        let (_client, _) = connect(&listener);
        let _server = listener.accept().expect("a connection");
        assert_eq!(check(&mut watch, &[me]), []);
        assert_eq!(reads.get(), before + 1, "who says nothing is judged by what all have");
    });
}

/// N3: a source that finds nothing has nothing to say about who has gone.
#[test]
fn a_connection_that_is_not_found_though_it_is_there_is_not_reported() {
    let name = "a_connection_that_is_not_found_though_it_is_there_is_not_reported";
    alone(name, || {
        let (listener, _) = tcp("127.0.0.1:0");
        let spy = Spy { source: SockDiag::new(), reads: Rc::default(), finds: false };
        let mut watch = Watch::with_source(filter_for(&listener), spy);
        let (_client, _) = connect(&listener);
        let (_server, expected) = accepted(&listener);
        for _ in 0..5 {
            watch.expect(std::process::id(), &expected);
            assert_eq!(check(&mut watch, &[std::process::id()]), []);
        }
    });
}

/// Skips each row that it is to find the first time, as tables do whose rows move while they are read.
#[derive(Debug, Default)]
struct Skips {
    source: prefork_netwatch::ProcNet,
    skipped: Option<Connection>,
}

impl Source for Skips {
    fn read(&mut self, filter: &Filter, rows: &mut Vec<Connection>) -> Result<(), SourceError> {
        self.source.read(filter, rows)
    }

    fn find(&mut self, connection: &Connection) -> Result<Option<Connection>, SourceError> {
        if self.skipped.as_ref() != Some(connection) {
            self.skipped = Some(connection.clone());
            return Ok(None);
        }
        self.source.find(connection)
    }
}

/// N3: the row that would say so was skipped once.
#[test]
fn an_orderly_close_of_our_own_whose_row_is_skipped_is_not_reported() {
    let name = "an_orderly_close_of_our_own_whose_row_is_skipped_is_not_reported";
    alone(name, || {
        let (listener, _) = tcp("127.0.0.1:0");
        let mut watch = Watch::with_source(filter_for(&listener), Skips::default());
        let mut server = Server::new(&listener);
        let (mut client, _) = connect(&listener);
        server.order("accept");
        assert_eq!(check(&mut watch, &[server.pid()]), []);
        server.order("shutdown 0");
        assert_eq!(client.read(&mut [0]).expect("an end"), 0);
        drop(client);
        no_event(&mut watch, &[server.pid()]);
    });
}

/// What a process has in hand is what counts; what it holds besides may be nobody's request.
#[test]
fn what_a_process_holds_besides_is_not_reported() {
    let name = "what_a_process_holds_besides_is_not_reported";
    with_each(name, "127.0.0.1:0", |listener, mut watch| {
        let me = std::process::id();
        let (besides, _) = connect(&listener);
        let (_first, _) = accepted(&listener);
        let (_client, _) = connect(&listener);
        let (_second, in_hand) = accepted(&listener);
        assert_eq!(check(&mut watch, &[me]), []);
        reset(besides);
        for _ in 0..3 {
            watch.expect(me, &in_hand);
            assert_eq!(check(&mut watch, &[me]), []);
        }
    });
}
