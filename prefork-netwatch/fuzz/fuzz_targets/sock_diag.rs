//! Feeds the decoder of netlink messages any bytes.
//!
//! Beyond not panicking, a message takes at least the 16 bytes of its header, and what is decoded
//! from an answer must be decoded from its first part and its second part too, if it is cut
//! between two messages.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prefork_netwatch::{Endpoint, Proto, fuzzing::parse_sock_diag};

fuzz_target!(|bytes: &[u8]| {
    let rows: Vec<_> = parse_sock_diag(bytes).collect();
    assert!(rows.len() <= bytes.len() / 16);
    for row in &rows {
        let is_ip = matches!((&row.local, &row.foreign), (Endpoint::Ip(_), Endpoint::Ip(_)));
        assert_eq!(is_ip, row.proto != Proto::Unix);
    }
    let Some(length) = bytes.first_chunk::<4>().map(|length| u32::from_ne_bytes(*length)) else {
        return;
    };
    let cut = usize::try_from(length).unwrap_or(usize::MAX).checked_next_multiple_of(4);
    if let Some((first, second)) = cut.and_then(|cut| bytes.split_at_checked(cut))
        && length >= 16
    {
        let parts: Vec<_> = parse_sock_diag(first).chain(parse_sock_diag(second)).collect();
        // A first message that makes no sense is the end of the whole, but not of its second part.
        assert!(parts.ends_with(&rows));
    }
});
