//! A WSGI application in children: loaded once before the fork, and shared by all of them.
//!
//! ```text
//! cd prefork/examples/python
//! cargo run -- app:application 127.0.0.1:8083
//! ```
//!
//! Then `curl http://127.0.0.1:8083/`, `/random`, `/loaded`, `/sleep`, `/crash`. `prefork/docs/python.md` says why each step
//! is where it is.

mod application;
mod request;
mod sys;

use std::{
    env,
    io::{self, Write},
    net::{SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

use application::Application;
use prefork::{Args, BoxError, Child, Lines, Prefork, exit_code};
use pyo3::Python;
use request::Request;

/// How long a client may take to send its request, or to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "python: {}", Lines(&*error));
            exit_code(&*error)
        }
    }
}

fn serve() -> Result<(), BoxError> {
    let mut arguments = env::args().skip(1);
    let application = arguments.next().unwrap_or_else(|| "app:application".to_owned());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8083".to_owned());
    let args = Args::new()
        .name("python")
        .daemonize(false)
        .prefork(4)
        .max_children(4)
        // Against hanging: the board shows who is at one request for too long.
        .scoreboard_in_memory(true)
        .request_timeout(Duration::from_secs(30))
        // Against leaking: replaced between two requests.
        .max_requests(10_000)
        .after_init(move |init| {
            let listener = init.listen(address.as_str())?;
            // Without handlers for signals: those are the daemon's.
            Python::initialize();
            let application = Python::attach(|python| {
                let application = Application::load(python, &application)?;
                sys::before_forks(python);
                Ok::<_, pyo3::PyErr>(application)
            })?;
            Ok((listener, application))
        })
        .after_fork_in_child(|_| {
            Python::attach(sys::after_fork);
            Ok(())
        })
        .main_loop(|child, (listener, application)| {
            while let Some((connection, client)) = child.accept(listener)? {
                // A client that has gone is no reason to end the child.
                let _ = answer(child, application, &connection, client);
            }
            Ok(())
        });
    Prefork::new(args)?.run()?;
    Ok(())
}

/// Answers one request.
fn answer(
    child: &mut Child,
    application: &Application,
    mut connection: &TcpStream,
    client: SocketAddr,
) -> io::Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    let Some(request) = Request::read(connection)? else {
        return connection.write_all(
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        );
    };
    child.busy(&request.line());
    let server = connection.local_addr()?;
    let answer = Python::attach(|python| application.call(python, &request, server, client));
    connection.write_all(&answer)
}
