//! All sources show the same situation alike, and a process that may not be looked at is named.
mod common;

use common::{
    Forked, PATIENCE, Server, alone, endurance, filter_for, no_event, one_event, sources,
};
use common::{check, tcp, wait_for};
use prefork_netwatch::{Connection, Endpoint, Filter, Proto, Seen, SockDiag, Source, Watch};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Instant;

/// Connections in every state that can be brought about, on both families.
fn situation(listener: &TcpListener) -> Vec<TcpStream> {
    let port = listener.local_addr().expect("an address").port();
    let mut held = Vec::new();
    for host in ["127.0.0.1", "::1"] {
        for case in 0..6 {
            let client = TcpStream::connect((host, port)).expect("a connection");
            let (served, _) = listener.accept().expect("a connection");
            match case {
                0 => {}
                1 => client.shutdown(Shutdown::Write).expect("an open connection"),
                2 => served.shutdown(Shutdown::Write).expect("an open connection"),
                3 => {
                    client.shutdown(Shutdown::Both).expect("an open connection");
                    served.shutdown(Shutdown::Write).expect("an open connection");
                }
                4 => {
                    held.push(client);
                    continue;
                }
                _ => {
                    held.push(served);
                    continue;
                }
            }
            held.extend([client, served]);
        }
        // And one that waits.
        held.push(TcpStream::connect((host, port)).expect("a connection"));
    }
    held
}

#[test]
fn all_sources_show_the_same() {
    alone("all_sources_show_the_same", || {
        let (listener, _) = tcp("[::]:0");
        let _held = situation(&listener);
        let filter = filter_for(&listener);
        let rows = |source: &mut dyn Source, filter: &Filter| {
            let mut rows = Vec::new();
            source.read(filter, &mut rows).expect("connections");
            let row = |row: Connection| {
                // What is left of a connection that this side closed is of no process.
                (row.inode != 0).then(|| {
                    (
                        row.inode,
                        row.proto.as_str(),
                        row.local.to_string(),
                        row.foreign.to_string(),
                        format!("{:?}", row.state),
                    )
                })
            };
            let mut rows: Vec<_> = rows.into_iter().filter_map(row).collect();
            rows.sort_unstable();
            rows
        };
        let mut sources = sources();
        wait_for("the connections to settle", || {
            let found: Vec<_> =
                sources.iter_mut().map(|(_, source)| rows(source, &filter)).collect();
            found[0].len() >= 8 && found.windows(2).all(|two| two[0] == two[1])
        });
        let (_, sock_diag) = &mut sources[0];
        let expected = rows(sock_diag, &filter);
        for (name, source) in &mut sources {
            assert_eq!(rows(source, &filter), expected, "through {name}");
        }
        // Each finds each, and only what is there.
        let mut all = Vec::new();
        SockDiag::new().read(&filter, &mut all).expect("connections");
        all.retain(|row| row.inode != 0);
        for (name, source) in &mut sources {
            for row in &all {
                let found = source.find(row).expect("connections").expect("it is there");
                assert_eq!((found.inode, found.state), (row.inode, row.state), "through {name}");
                let mut other = row.clone();
                other.foreign = Endpoint::Ip(([127, 99, 9, 9], 9).into());
                assert_eq!(source.find(&other).expect("connections"), None, "through {name}");
            }
        }
        assert!(all.iter().all(|row| row.proto == Proto::Tcp6));
    });
}

/// N3. The server always closes first, in two ways, so nothing is to be reported, however readings
/// and the coming and going of connections interleave.
#[test]
fn thousands_of_connections_that_come_and_go_make_no_false_event() {
    alone("thousands_of_connections_that_come_and_go_make_no_false_event", || {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let room = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, room).expect("a limit");
        let (listener, address) = tcp("127.0.0.1:0");
        let servers: Vec<_> = (0..4).map(|_| Forked::new(|| serve_for_ever(&listener))).collect();
        let clients: Vec<_> = (0..2)
            .map(|_| {
                Forked::new(|| {
                    loop {
                        let mut client = TcpStream::connect(address).expect("a connection");
                        let _ = client.write_all(b"?");
                        let _ = client.read_to_end(&mut Vec::new());
                    }
                })
            })
            .collect();
        // After forking, so that nobody else holds an end of them.
        let (idle_listener, idle_address) = tcp("127.0.0.1:0");
        let mut idle = Vec::new();
        let many = usize::try_from(limit.maximum.unwrap_or(1 << 20) / 3).expect("it fits");
        for _ in 0..many.min(2000) {
            let client = TcpStream::connect(idle_address).expect("a connection");
            idle.push((client, idle_listener.accept().expect("a connection").0));
        }
        let mut pids: Vec<_> = servers.iter().map(Forked::pid).collect();
        pids.push(std::process::id());
        let mut watch = Watch::new(Filter::listening([address, idle_address]));
        let begun = Instant::now();
        let mut checks = 0_u32;
        while begun.elapsed() < endurance() || checks < 20 {
            assert_eq!(check(&mut watch, &pids), [], "after {checks} checks");
            assert!(begun.elapsed() < endurance() + PATIENCE, "only {checks} checks");
            checks += 1;
        }
        println!("{checks} checks");
        // And it has not become blind.
        let (client, _served) = idle.swap_remove(1000.min(idle.len() - 1));
        let address = client.local_addr().expect("an address");
        drop(client);
        drop(clients);
        one_event(&mut watch, &pids, std::process::id(), address, Seen::PeerClosed);
    });
}

/// Closes first: at once, or by shutting down and waiting for the client to close too.
fn serve_for_ever(listener: &TcpListener) -> u8 {
    let mut patient = false;
    loop {
        let Ok((mut connection, _)) = listener.accept() else { continue };
        let _ = connection.read_exact(&mut [0]);
        patient = !patient;
        if patient {
            let _ = connection.shutdown(Shutdown::Write);
            let _ = connection.read(&mut [0]);
        }
    }
}

#[test]
fn a_process_that_is_gone_is_no_error() {
    alone("a_process_that_is_gone_is_no_error", || {
        let (listener, address) = tcp("127.0.0.1:0");
        let mut server = Server::new(&listener);
        let mut watch = Watch::new(filter_for(&listener));
        let client = TcpStream::connect(address).expect("a connection");
        server.order("accept");
        let pids = [server.pid(), 0, u32::MAX];
        no_event(&mut watch, &pids);
        drop((client, server));
        no_event(&mut watch, &pids);
    });
}

#[test]
fn a_process_that_may_not_be_looked_at_is_named_and_the_others_are_watched() {
    alone("a_process_that_may_not_be_looked_at_is_named_and_the_others_are_watched", || {
        if !rustix::process::geteuid().is_root() {
            return println!("skipped: only root has processes that another user may not look at");
        }
        let (listener, address) = tcp("127.0.0.1:0");
        let root = std::process::id();
        // The child gives up being root, and so must its server have, to be looked at by it.
        let child = common::sys::fork(|| {
            let nobody = nix::unistd::Uid::from_raw(65534);
            nix::unistd::setuid(nobody).expect("root may");
            let dumpable = rustix::process::DumpableBehavior::Dumpable;
            rustix::process::set_dumpable_behavior(dumpable).expect("own attributes");
            let mut server = Server::new(&listener);
            let mut watch = Watch::new(filter_for(&listener));
            let client = TcpStream::connect(address).expect("a connection");
            server.order("accept");
            assert!(watch.check([root, server.pid()]).expect("connections").events.is_empty());
            drop(client);
            let begun = Instant::now();
            loop {
                let report = watch.check([root, server.pid()]).expect("connections");
                if report.events.is_empty() {
                    assert!(begun.elapsed() < PATIENCE, "the server's client hung up");
                    continue;
                }
                assert_eq!(report.events[0].pid, server.pid());
                let named: Vec<_> = report.unreadable.iter().map(|error| error.pid).collect();
                assert_eq!(named, [root]);
                return 0;
            }
        });
        let status = nix::sys::wait::waitpid(child, None).expect("the child is ours");
        assert_eq!(status, nix::sys::wait::WaitStatus::Exited(child, 0));
    });
}
