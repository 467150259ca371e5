//! The servers, each in a process of its own.

use std::{
    env,
    io::{Read, Write, stdin, stdout},
    net::{TcpListener, TcpStream},
    process::ExitCode,
    sync::Mutex,
    thread,
    time::Duration,
};

use prefork::{Args, BoxError, Prefork};
use prefork_bench::{bare, fork};
use rustix::{
    process::{WaitOptions, setsid, waitpid},
    thread::set_name,
};

/// The name of a process that a client has left behind, as in `/proc/PID/comm`.
pub(crate) const LEFTOVER: &std::ffi::CStr = c"leftover";

/// What a client has left in memory.
static SECRET: Mutex<Option<Vec<u8>>> = Mutex::new(None);

fn address() -> String {
    env::args().nth(1).expect("an address")
}

/// Serves with this library: `one-shot`, `pool`, or one of both with so many MB of state, in pages of which size:
/// `one-shot 200 huge`.
pub(crate) fn prefork(role: &str) -> ExitCode {
    let mut words = role.split(' ');
    let is_one_shot = words.next() == Some("one-shot");
    let state_mb: usize = words.next().map_or(0, |mb| mb.parse().expect("a number of MB"));
    let is_huge = words.next() == Some("huge");
    let args = Args::new()
        .name("bench")
        .daemonize(false)
        .prefork(4)
        .max_children(60)
        .scoreboard_in_memory(true)
        .one_shot(is_one_shot)
        .after_init(move |init| {
            let listener = init.listen(address().as_str())?;
            let state = vec![1_u8; state_mb << 20];
            if is_huge {
                init.use_huge_pages()?;
            }
            Ok((listener, state))
        })
        .main_loop(|child, (listener, _state)| {
            let mut buffer = bare::buffer();
            while let Some((connection, _)) = child.accept(listener)? {
                serve(connection, &mut buffer);
            }
            Ok(())
        });
    match Prefork::new(args).map_err(BoxError::from).and_then(|it| Ok(it.run()?)) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{role}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(mut connection: TcpStream, buffer: &mut [u8]) {
    let Ok(length) = connection.read(buffer) else { return };
    let request = &buffer[..length];
    if request.starts_with(b"GET /secret") {
        let before = SECRET.lock().expect("one thread").replace(request.to_vec());
        let answer: &[u8] = if before.is_some() { b"found\n" } else { b"nothing\n" };
        let _ = connection.write_all(answer);
        return;
    }
    if request.starts_with(b"GET /leave") {
        // One in the group of the child, and one that gets away from it.
        for gets_away in [false, true] {
            if fork() {
                if gets_away {
                    let _ = setsid();
                }
                let _ = set_name(LEFTOVER);
                drop(connection);
                thread::sleep(Duration::from_secs(1000));
                std::process::exit(0);
            }
        }
    }
    let _ = connection.write_all(bare::RESPONSE);
}

/// Forks at each connection, as the least that can do that.
pub(crate) fn forking() -> ExitCode {
    let listener = TcpListener::bind(address()).expect("a free address");
    let mut buffer = bare::buffer();
    loop {
        let Ok((connection, _)) = listener.accept() else { continue };
        if fork() {
            bare::answer(connection, &mut buffer);
            prefork_bench::exit_now();
        }
        drop(connection);
        while let Ok(Some(_)) = waitpid(None, WaitOptions::NOHANG) {}
    }
}

/// Answers at standard output what was asked at standard input.
pub(crate) fn answer_once() -> ExitCode {
    if stdin().read(&mut bare::buffer()).is_ok() {
        let _ = stdout().write_all(bare::RESPONSE).and_then(|()| stdout().flush());
    }
    ExitCode::SUCCESS
}
