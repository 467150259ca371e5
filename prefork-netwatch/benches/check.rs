//! What a check costs, by the number of connections, and what its parts cost.

use divan::{Bencher, black_box};
use prefork_netwatch::{Connection, Endpoint, Filter, History, ProcNet, SockDiag, Source, Watch};
use std::net::{TcpListener, TcpStream};

fn main() {
    divan::main();
}

/// Connections of which this process holds both ends.
struct Pairs {
    listener: TcpListener,
    _held: Vec<(TcpStream, TcpStream)>,
}

fn pairs(count: usize) -> Pairs {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let pair = || {
        let client = TcpStream::connect(address).expect("a connection");
        (client, listener.accept().expect("a connection").0)
    };
    let held = (0..count).map(|_| pair()).collect();
    Pairs { listener, _held: held }
}

fn filter(pairs: &Pairs) -> Filter {
    Filter::listening([Endpoint::of_socket(&pairs.listener).expect("an address")])
}

/// A check when nothing has happened.
#[divan::bench(args = [1, 50, 400])]
fn quiet_check(bencher: Bencher<'_, '_>, connections: usize) {
    let pairs = pairs(connections);
    let mut watch = Watch::new(filter(&pairs));
    bencher.bench_local(|| watch.check([std::process::id()]).expect("connections"));
}

/// A check that finds a client gone, and so looks at all descriptors of this process.
#[divan::bench(args = [1, 50, 400])]
fn check_with_a_hang_up(bencher: Bencher<'_, '_>, connections: usize) {
    let pairs = pairs(connections);
    let mut watch = Watch::new(filter(&pairs));
    bencher
        .with_inputs(|| {
            let client = TcpStream::connect(pairs.listener.local_addr().expect("an address"));
            let (served, _) = pairs.listener.accept().expect("a connection");
            drop(client);
            served
        })
        .bench_local_values(|served| {
            let report = watch.check([std::process::id()]).expect("connections");
            assert_eq!(report.events.len(), 1, "each round has one hang-up");
            served
        });
}

fn rows(pairs: &Pairs) -> Vec<Connection> {
    let mut rows = Vec::new();
    SockDiag::new().read(&filter(pairs), &mut rows).expect("connections");
    rows
}

#[divan::bench(args = [1, 50, 400])]
fn reading_sock_diag(bencher: Bencher<'_, '_>, connections: usize) {
    let (pairs, mut source) = (pairs(connections), SockDiag::new());
    let (filter, mut rows) = (filter(&pairs), Vec::new());
    bencher.bench_local(|| {
        rows.clear();
        source.read(&filter, &mut rows).expect("connections");
    });
}

#[divan::bench(args = [1, 50, 400])]
fn reading_proc_net(bencher: Bencher<'_, '_>, connections: usize) {
    let (pairs, mut source) = (pairs(connections), ProcNet::new());
    let (filter, mut rows) = (filter(&pairs), Vec::new());
    bencher.bench_local(|| {
        rows.clear();
        source.read(&filter, &mut rows).expect("connections");
    });
}

#[divan::bench(args = [1, 50, 400])]
fn taking_in(bencher: Bencher<'_, '_>, connections: usize) {
    let (rows, mut history) = (rows(&pairs(connections)), History::new());
    bencher.bench_local(|| history.take_in(black_box(&rows)));
}
