//! A library written in C, in children: where it crashes, one request is lost.
//!
//! ```text
//! cd prefork/examples/c_library
//! cargo run -- 127.0.0.1:8084
//! ```
//!
//! Then `curl http://127.0.0.1:8084/one/two` prints `2 words`. `/crash` gets no answer, all others do, and the log says which
//! child has died at which request.

mod sys;

use std::{
    env,
    ffi::CString,
    io::{self, BufRead, BufReader, Write},
    net::TcpStream,
    process::ExitCode,
    time::Duration,
};

use prefork::{Args, BoxError, Child, Lines, Prefork, exit_code};

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "c_library: {}", Lines(&*error));
            exit_code(&*error)
        }
    }
}

fn serve() -> Result<(), BoxError> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8084".to_owned());
    let args = Args::new()
        .name("c_library")
        .daemonize(false)
        .prefork(2)
        .max_children(4)
        // Against hanging: it is the board that shows who is at one request for too long.
        .scoreboard_in_memory(true)
        .request_timeout(Duration::from_secs(10))
        .after_init(move |init| Ok(init.listen(address.as_str())?))
        .main_loop(|child, listener| {
            while let Some((connection, _peer)) = child.accept(listener)? {
                // A client that has gone is no reason to end the child.
                let _ = answer(child, connection);
            }
            Ok(())
        });
    Prefork::new(args)?.run()?;
    Ok(())
}

/// Answers one request.
fn answer(child: &mut Child, mut connection: TcpStream) -> io::Result<()> {
    // A client that sends nothing is not to keep a child.
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut header = BufReader::new(&connection).lines();
    let line = header.next().transpose()?.unwrap_or_default();
    while header.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = line.split(' ').nth(1).unwrap_or_default();
    child.busy(path);
    // There is no NUL in a line that is none.
    let words = CString::new(path).map_or(0, |path| sys::count(&path));
    let body = format!("{words} words\n");
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
    connection.write_all(answer.as_bytes())
}
