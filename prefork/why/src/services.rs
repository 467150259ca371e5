//! The names of ports, as `/etc/services` has them: see `services(5)`.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
};

use prefork_netwatch::Transport;

use crate::{descriptor::transport as word, proc::shown};

/// No more of the file is read.
const MOST: u64 = 1024 * 1024;

pub(crate) fn service(port: u16, transport: Transport) -> Option<String> {
    let file = BufReader::new(File::open("/etc/services").ok()?.take(MOST));
    file.split(b'\n').map_while(Result::ok).find_map(|line| parse(&line, port, transport))
}

/// Reads a line such as `postgresql 5432/tcp postgres # comment`, if it is about this port.
fn parse(line: &[u8], port: u16, transport: Transport) -> Option<String> {
    let line = std::str::from_utf8(line.split(|&byte| byte == b'#').next()?).ok()?;
    let mut words = line.split_ascii_whitespace();
    let name = words.next()?;
    let (number, protocol) = words.next()?.split_once('/')?;
    (number.parse() == Ok(port) && protocol == word(transport)).then(|| shown(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_services_has_them() {
        for (line, expected) in [
            ("postgresql\t5432/tcp\tpostgres # PostgreSQL", Some("postgresql")),
            ("postgresql 5432/udp", None),
            ("postgresql 54321/tcp", None),
            ("# postgresql 5432/tcp", None),
            ("postgresql 5432", None),
            ("postgresql", None),
            ("", None),
        ] {
            assert_eq!(parse(line.as_bytes(), 5432, Transport::Tcp).as_deref(), expected, "{line}");
        }
        assert_eq!(parse(b"\xff 5432/tcp", 5432, Transport::Tcp), None);
    }
}
