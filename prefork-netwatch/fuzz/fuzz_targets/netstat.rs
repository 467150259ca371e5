//! Feeds the parser of netstat's text any text.
//!
//! Beyond not panicking, what is parsed must be what the text says: at most one connection a line,
//! TCP with addresses of TCP, and the same again when the lines come with an end of their own.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prefork_netwatch::{Endpoint, Proto, fuzzing::parse_netstat};

fuzz_target!(|text: &[u8]| {
    let rows: Vec<_> = parse_netstat(text).collect();
    assert!(rows.len() <= text.split(|&byte| byte == b'\n').count());
    for row in &rows {
        let is_ip = matches!((&row.local, &row.foreign), (Endpoint::Ip(_), Endpoint::Ip(_)));
        assert_eq!(is_ip, row.proto != Proto::Unix);
    }
    let again: Vec<_> = parse_netstat(&[text, b"\n"].concat()).collect();
    assert_eq!(rows, again);
});
