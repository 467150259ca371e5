//! Children with code in them that crashes, leaks, hangs and eats memory; the service does not care.
//!
//! ```text
//! cargo run --example crashy -- 127.0.0.1:8082
//! ```
//!
//! Then, with `curl http://127.0.0.1:8082/` between them, ask for `/abort`, `/overflow`, `/memory`,
//! `/leak` and `/hang`. A client that asks for one of these gets no answer, or none in time; no other
//! notices anything, and the log says what happened to which child.

use std::{
    env, hint,
    io::{self, BufRead, BufReader, Write},
    net::TcpStream,
    process::{self, ExitCode},
    thread,
    time::Duration,
};

use prefork::{Args, BoxError, Child, Lines, Prefork, exit_code};
use rustix::process::{Resource, Rlimit, setrlimit};

const MIB: usize = 1 << 20;

/// The most memory that the kernel gives a child, in bytes; asking for more fails.
const LIMIT: u64 = 512 << 20;

/// The memory above which a child is replaced between two requests, in bytes.
const TOO_MUCH: u64 = 64 << 20;

pub(crate) fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "crashy: {}", Lines(&*error));
            exit_code(&*error)
        }
    }
}

fn serve() -> Result<(), BoxError> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8082".to_owned());
    let args = Args::new()
        .name("crashy")
        .daemonize(false)
        .prefork(4)
        // Against hanging: a child that is at one request for 3 s is ended; the scoreboard shows which.
        .scoreboard_in_memory(true)
        .request_timeout(Duration::from_secs(3))
        // Against leaking: replaced when it has grown too large, once its successor serves.
        .max_memory(TOO_MUCH)
        .after_init(move |init| Ok(init.listen(address.as_str())?))
        // Against eating all memory at once: then it is this child that fails, and not the machine.
        .child_init(|_child, _listener| {
            let at_most = |bytes| Rlimit { current: Some(bytes), maximum: Some(bytes) };
            setrlimit(Resource::As, at_most(LIMIT))?;
            // Crashing is nothing new here: no core dumps.
            setrlimit(Resource::Core, at_most(0))?;
            Ok(())
        })
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
    // A client that says nothing is not to keep a child.
    connection.set_read_timeout(Some(Duration::from_millis(500)))?;
    let mut header = BufReader::new(&connection).lines();
    let line = header.next().transpose()?.unwrap_or_default();
    while header.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = line.split(' ').nth(1).unwrap_or_default();
    child.busy(path);
    let body = match path {
        "/pid" => format!("{}\n", child.pid()),
        path => {
            misbehave(path);
            "hello\n".to_owned()
        }
    };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
    connection.write_all(answer.as_bytes())
}

/// The code that nobody dares to touch.
fn misbehave(path: &str) {
    match path {
        "/abort" => process::abort(),
        "/overflow" => {
            hint::black_box(overflow(0));
        }
        // Aborts when the kernel refuses.
        "/memory" => drop(hint::black_box(vec![1u8; 4096 * MIB])),
        "/leak" => {
            hint::black_box(vec![1u8; 20 * MIB].leak());
        }
        "/hang" => loop {
            thread::sleep(Duration::from_secs(3600));
        },
        _ => {}
    }
}

/// Calls itself until the stack is used up.
fn overflow(depth: usize) -> usize {
    let frame = hint::black_box([depth; 512]);
    if depth == usize::MAX { 0 } else { overflow(depth + 1) + frame[depth % 512] }
}
