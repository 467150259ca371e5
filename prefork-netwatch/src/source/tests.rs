//! What tables say, on captured ones: one situation, as every source showed it at that moment.

use super::{
    netstat::parse as parse_netstat, proc_net::parse as parse_proc_net,
    sock_diag::parse as parse_sock_diag,
};
use crate::{Connection, Endpoint, Filter, Proto, State, UnixName};
use std::path::Path;

const NETSTAT: &[u8] = include_bytes!("../../tests/data/netstat_anp.txt");
const NETSTAT_WIDE: &[u8] = include_bytes!("../../tests/data/netstat_anpeW.txt");
const NETSTAT_AS_RUN: &[u8] = include_bytes!("../../tests/data/netstat_antxeW.txt");
const PROC_TCP: &[u8] = include_bytes!("../../tests/data/proc_net_tcp.txt");
const PROC_TCP6: &[u8] = include_bytes!("../../tests/data/proc_net_tcp6.txt");
const DIAG_TCP: &[u8] = include_bytes!("../../tests/data/sock_diag_tcp.bin");
const DIAG_TCP6: &[u8] = include_bytes!("../../tests/data/sock_diag_tcp6.bin");
const DIAG_UNIX: &[u8] = include_bytes!("../../tests/data/sock_diag_unix.bin");

/// One line a connection, in order, so that rows can be compared with a list.
fn lines(rows: impl IntoIterator<Item = Connection>) -> Vec<String> {
    let line = |row: Connection| {
        let Connection { proto, local, foreign, state, inode, .. } = row;
        format!("{proto} {local} {foreign} {state:?} {inode}")
    };
    let mut lines: Vec<_> = rows.into_iter().map(line).collect();
    lines.sort_unstable();
    lines
}

const TCP: [&str; 12] = [
    "tcp 127.0.0.1:36238 127.0.0.1:45802 Established 592682",
    "tcp 127.0.0.1:36246 127.0.0.1:45802 FinWait2 0",
    "tcp 127.0.0.1:43900 127.0.0.1:45801 Established 592674",
    "tcp 127.0.0.1:43902 127.0.0.1:45801 FinWait2 592676",
    "tcp 127.0.0.1:43912 127.0.0.1:45801 CloseWait 592678",
    "tcp 127.0.0.1:43926 127.0.0.1:45801 Established 592688",
    "tcp 127.0.0.1:45801 0.0.0.0:0 Listen 592663",
    "tcp 127.0.0.1:45801 127.0.0.1:43900 Established 592675",
    "tcp 127.0.0.1:45801 127.0.0.1:43902 CloseWait 592677",
    "tcp 127.0.0.1:45801 127.0.0.1:43912 FinWait2 592679",
    "tcp 127.0.0.1:45801 127.0.0.1:43922 TimeWait 0",
    "tcp 127.0.0.1:45801 127.0.0.1:43926 Established 0",
];

const TCP6: [&str; 8] = [
    "tcp6 127.0.0.1:45802 127.0.0.1:36238 Established 592683",
    "tcp6 127.0.0.1:45802 127.0.0.1:36246 CloseWait 592687",
    "tcp6 [2001:db8:1111:2222:3333:4444:5555:6666]:44936 \
     [2001:db8:1111:2222:3333:4444:5555:6666]:45803 Established 592690",
    "tcp6 [2001:db8:1111:2222:3333:4444:5555:6666]:45803 \
     [2001:db8:1111:2222:3333:4444:5555:6666]:44936 Established 592691",
    "tcp6 [2001:db8:1111:2222:3333:4444:5555:6666]:45803 [::]:0 Listen 592689",
    "tcp6 [::1]:45802 [::1]:57082 Established 592685",
    "tcp6 [::1]:57082 [::1]:45802 Established 592684",
    "tcp6 [::]:45802 [::]:0 Listen 592664",
];

#[test]
fn proc_net_is_read_as_it_is() {
    assert_eq!(lines(parse_proc_net(Proto::Tcp, PROC_TCP)), TCP);
    assert_eq!(lines(parse_proc_net(Proto::Tcp6, PROC_TCP6)), TCP6);
}

#[test]
fn sock_diag_is_read_as_it_is() {
    assert_eq!(lines(parse_sock_diag(DIAG_TCP)), TCP);
    assert_eq!(lines(parse_sock_diag(DIAG_TCP6)), TCP6);
}

#[test]
fn netstat_is_read_as_it_is() {
    for text in [NETSTAT_WIDE, NETSTAT_AS_RUN] {
        let (tcp, rest): (Vec<_>, Vec<_>) =
            parse_netstat(text).partition(|row| row.proto == Proto::Tcp);
        assert_eq!(lines(tcp), TCP);
        assert_eq!(lines(rest.into_iter().filter(|row| row.proto == Proto::Tcp6)), TCP6);
    }
}

/// It does not print the inodes, and cuts long addresses off.
#[test]
fn netstat_without_further_columns_is_read_with_pids() {
    let rows: Vec<_> = parse_netstat(NETSTAT).collect();
    let count = |proto| rows.iter().filter(|row| row.proto == proto).count();
    assert_eq!((count(Proto::Tcp), count(Proto::Tcp6)), (TCP.len(), TCP6.len() - 3));
    for row in rows.iter().filter(|row| row.proto != Proto::Unix) {
        assert_eq!(row.inode, 0);
        let orphan = row.pid.is_none();
        let waits = row.local.port() == Some(45801) && row.foreign.port() == Some(43926);
        assert_eq!(
            orphan,
            row.state == State::TimeWait
                || waits
                || row.foreign.port() == Some(45802) && row.state == State::FinWait2,
            "{row:?}"
        );
    }
}

#[test]
fn unix_sockets_are_shown_in_the_state_of_tcp_that_means_the_same() {
    let rows: Vec<_> = parse_sock_diag(DIAG_UNIX).collect();
    let name = Endpoint::Unix(UnixName::of_abstract(b"gone"));
    let mut named: Vec<_> = rows.iter().filter(|row| row.local == name).cloned().collect();
    named.sort_unstable_by_key(|row| row.inode);
    assert_eq!(
        lines(named),
        [
            "unix @gone - Close 592694",
            "unix @gone - CloseWait 592696",
            "unix @gone - FinWait2 592698",
        ]
    );
    let paths = rows.iter().filter_map(|row| row.local.name()?.path());
    let mut paths: Vec<_> = paths.collect();
    paths.sort_unstable();
    assert_eq!(paths, [Path::new("/srv/web/a b"), Path::new("/srv/web/plain")]);
}

/// Netstat does not show whether there is a peer, and cuts names off at blanks.
#[test]
fn unix_sockets_of_netstat_are_connected() {
    let rows: Vec<_> = parse_netstat(NETSTAT).filter(|row| row.proto == Proto::Unix).collect();
    assert!(rows.iter().all(|row| row.state == State::Established && row.inode != 0));
    let mut names: Vec<_> = rows.iter().map(|row| row.local.to_string()).collect();
    names.retain(|name| name != "-");
    names.sort_unstable();
    assert_eq!(names, ["/run/a", "/run/plain", "@abs", "@gone", "@gone", "@gone"]);
    assert!(rows.iter().all(|row| row.pid == Some(9471)));
}

#[test]
fn lines_of_netstat_that_are_odd_are_read_or_left_out() {
    let heading = "Proto Recv-Q Send-Q Local Address Foreign Address State PID/Program name\n";
    let extended =
        "Proto Recv-Q Send-Q Local Address Foreign Address State User Inode PID/Program name\n";
    for (heading, line, expected) in [
        (heading, "tcp 0 0 1.2.3.4:5 6.7.8.9:10 ESTABLISHED 7/a b: c", Some((0, Some(7)))),
        (heading, "tcp 0 0 1.2.3.4:5 6.7.8.9:10 ESTABLISHED -", Some((0, None))),
        (heading, "tcp 0 0 1.2.3.4:5 6.7.8.9:10 ESTABLISHED", Some((0, None))),
        (heading, "tcp 0 0 1.2.3.4:5 6.7.8.9:10 ESTABLISHED 99999999999/x", Some((0, None))),
        (heading, "tcp 0 0 1.2.3.4:http 6.7.8.9:10 ESTABLISHED -", None),
        (heading, "tcp 0 0 1.2.3.4:99999 6.7.8.9:10 ESTABLISHED -", None),
        (heading, "tcp 0 0 1.2.3:5 6.7.8.9:10 ESTABLISHED -", None),
        (heading, "tcp 0 0 1.2.3.4:5 6.7.8.9:10 NOVEL -", None),
        (heading, "tcp 0 0 1.2.3.4:5", None),
        (heading, "tcp6 0 0 2001:db8:1111:222:5 2001:db8::1:6 ESTABLISHED -", None),
        (heading, "tcp6 0 0 fe80::1:5 fe80::2:6 ESTABLISHED 7/a", Some((0, Some(7)))),
        (heading, "udp 0 0 1.2.3.4:5 6.7.8.9:10 ESTABLISHED -", None),
        (extended, "tcp 0 0 1.2.3.4:5 6.7.8.9:10 ESTABLISHED 0 4711 7/a", Some((4711, Some(7)))),
        (extended, "tcp 0 0 1.2.3.4:5 6.7.8.9:10 ESTABLISHED root 4711", Some((4711, None))),
        (extended, "tcp 0 0 1.2.3.4:5 6.7.8.9:10 ESTABLISHED 0", None),
        (heading, "unix 3 [ ] STREAM CONNECTED 12 7/a                  /x", Some((12, Some(7)))),
        (heading, "unix 3 [ ACC W ] STREAM CONNECTED 12 -", Some((12, None))),
        (heading, "unix 3 [ ] DGRAM CONNECTED 12 -", None),
        (heading, "unix 3 [ ] DGRAM 12 -", None),
        (heading, "unix 3 [ ", None),
        (heading, "", None),
    ] {
        let text = format!("{heading}{line}\n");
        let rows: Vec<_> = parse_netstat(text.as_bytes()).map(|row| (row.inode, row.pid)).collect();
        assert_eq!(rows, expected.into_iter().collect::<Vec<_>>(), "{line:?}");
    }
}

#[test]
fn lines_of_proc_net_that_are_odd_are_left_out() {
    let good = "0: 0100007F:0050 0100007F:C350 01 0:0 0:0 0 0 0 42";
    let count = |line: &str| parse_proc_net(Proto::Tcp, line.as_bytes()).count();
    assert_eq!(count(good), 1);
    for end in (0..good.len()).filter(|end| !good[..*end].ends_with('4')) {
        assert_eq!(count(&good[..end]), 0, "{:?}", &good[..end]);
    }
    for (from, to) in [
        ("0100007F", "0100007"),
        ("0100007F", "0100007G"),
        ("0100007F", "+100007F"),
        (":0050", ":10050"),
        (" 01 ", " 0C "),
        (" 01 ", " 00 "),
        (" 42", " -1"),
        (":0050", ""),
    ] {
        assert_eq!(count(&good.replacen(from, to, 1)), 0, "{from} replaced by {to}");
    }
}

#[test]
fn an_answer_of_sock_diag_that_is_cut_off_ends_there() {
    for answer in [DIAG_TCP, DIAG_TCP6, DIAG_UNIX] {
        let whole: Vec<_> = parse_sock_diag(answer).collect();
        for end in 0..answer.len() {
            let part: Vec<_> = parse_sock_diag(&answer[..end]).collect();
            assert!(whole.starts_with(&part), "cut off at byte {end}");
        }
    }
}

#[test]
fn a_filter_lets_pass_what_its_listeners_accepted() {
    let rows: Vec<_> = parse_proc_net(Proto::Tcp, PROC_TCP)
        .chain(parse_proc_net(Proto::Tcp6, PROC_TCP6))
        .collect();
    let passing = |address: &str| {
        let address: std::net::SocketAddr = address.parse().expect("an address");
        let filter = Filter::listening([address]);
        rows.iter().filter(|row| filter.matches(row)).count()
    };
    for (address, expected) in [
        ("127.0.0.1:45801", 6),
        ("0.0.0.0:45801", 6),
        ("127.0.0.2:45801", 0),
        ("127.0.0.1:45802", 0),
        ("[::]:45801", 0),
        ("[::]:45802", 4),
        ("[::1]:45802", 1),
        ("[::ffff:127.0.0.1]:45802", 2),
        ("0.0.0.0:45802", 0),
        ("[2001:db8:1111:2222:3333:4444:5555:6666]:45803", 2),
        ("[::1]:45803", 0),
    ] {
        assert_eq!(passing(address), expected, "{address}");
    }
    assert!(rows.iter().all(|row| Filter::all().matches(row)));
}
