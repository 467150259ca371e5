//! The parsers, for the fuzz targets alone.

use crate::{Connection, Proto, source};

/// Parses what `netstat` prints.
pub fn parse_netstat(text: &[u8]) -> impl Iterator<Item = Connection> {
    source::netstat::parse(text)
}

/// Parses the text of `/proc/net/tcp` or `/proc/net/tcp6`.
pub fn parse_proc_net(proto: Proto, text: &[u8]) -> impl Iterator<Item = Connection> {
    source::proc_net::parse(proto, text)
}

/// Parses messages of sock_diag.
pub fn parse_sock_diag(bytes: &[u8]) -> impl Iterator<Item = Connection> {
    source::sock_diag::parse(bytes)
}
