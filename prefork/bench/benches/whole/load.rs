//! A client that asks one thing after the other, a connection each, from several threads.

use std::{
    env,
    io::{Read, Write},
    net::TcpStream,
    process::ExitCode,
    thread,
};

/// Sends `requests` from each of `clients` threads to the address given, in this order, for `path`.
pub(crate) fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let [address, clients, requests, path] = &args[..] else { panic!("four arguments") };
    let clients: usize = clients.parse().expect("a number of clients");
    let requests: usize = requests.parse().expect("a number of requests");
    let failed: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|_| scope.spawn(|| (0..requests).filter(|_| !ask(address, path)).count()))
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a client")).sum()
    });
    if failed > 0 {
        eprintln!("{failed} requests failed");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Asks once; returns whether the answer was right.
fn ask(address: &str, path: &str) -> bool {
    let answer = || -> std::io::Result<Vec<u8>> {
        let mut connection = TcpStream::connect(address)?;
        // In one write: the bare loop reads but once.
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        connection.write_all(request.as_bytes())?;
        let mut answer = Vec::with_capacity(256);
        connection.read_to_end(&mut answer)?;
        Ok(answer)
    };
    answer().is_ok_and(|answer| answer.ends_with(b"hello\n"))
}
