//! The yardstick: the least that a preforking server can do.

use std::{
    env,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::ExitCode,
    thread,
    time::Duration,
};

use crate::sys::fork_tied_to_parent;

/// The bytes that `hello` answers with, so that both send as much.
pub const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\
    Content-Length: 6\r\nConnection: close\r\n\r\nhello\n";

/// Serves at the address in the first argument with as many children as the second one says.
///
/// # Panics
///
/// Where these are missing, or it cannot start.
pub fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let address = args.next().expect("an address");
    let children: usize = args.next().and_then(|n| n.parse().ok()).expect("a number of children");
    let listener = TcpListener::bind(address).expect("a free address");
    for _ in 0..children {
        if fork_tied_to_parent() {
            serve(&listener);
        }
    }
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

fn serve(listener: &TcpListener) -> ! {
    let mut buffer = buffer();
    loop {
        let Ok((connection, _)) = listener.accept() else { continue };
        answer(connection, &mut buffer);
    }
}

/// Returns the memory that requests are read into.
pub const fn buffer() -> [u8; 8192] {
    [0; 8192]
}

/// Answers and closes, whatever was asked.
pub fn answer(mut connection: TcpStream, buffer: &mut [u8]) {
    if connection.read(buffer).is_ok() {
        let _ = connection.write_all(RESPONSE);
    }
}
