//! Feeds the parser of `/proc/net/tcp` and `/proc/net/tcp6` any text.
//!
//! Beyond not panicking, what is parsed must be parsed the same once it is printed as the kernel
//! does.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prefork_netwatch::{Connection, Endpoint, Proto, State, fuzzing::parse_proc_net};
use std::net::IpAddr;

fuzz_target!(|text: &[u8]| {
    for proto in [Proto::Tcp, Proto::Tcp6] {
        for row in parse_proc_net(proto, text) {
            let printed = print(&row);
            let again: Vec<_> = parse_proc_net(proto, printed.as_bytes()).collect();
            assert_eq!(again, [row], "{printed}");
        }
    }
});

fn print(row: &Connection) -> String {
    let state = match row.state {
        State::Established => 1,
        State::SynSent => 2,
        State::SynRecv => 3,
        State::FinWait1 => 4,
        State::FinWait2 => 5,
        State::TimeWait => 6,
        State::Close => 7,
        State::CloseWait => 8,
        State::LastAck => 9,
        State::Listen => 10,
        State::Closing => 11,
    };
    format!(
        "   0: {} {} {state:02X} 00000000:00000000 00:00000000 00000000     0        0 {} 1\n",
        address(row.proto, &row.local),
        address(row.proto, &row.foreign),
        row.inode,
    )
}

fn address(proto: Proto, endpoint: &Endpoint) -> String {
    let Endpoint::Ip(address) = endpoint else { panic!("{endpoint} in /proc/net/tcp") };
    let bytes = match (proto, address.ip()) {
        (Proto::Tcp6, IpAddr::V4(ip)) => ip.to_ipv6_mapped().octets().to_vec(),
        (_, IpAddr::V4(ip)) => ip.octets().to_vec(),
        (_, IpAddr::V6(ip)) => ip.octets().to_vec(),
    };
    let word = |word: &[u8]| u32::from_ne_bytes(word.try_into().expect("four bytes"));
    let words: String = bytes.chunks(4).map(|bytes| format!("{:08X}", word(bytes))).collect();
    format!("{words}:{:04X}", address.port())
}
