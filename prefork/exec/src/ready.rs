//! When a program is ready to serve.

use std::{
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use prefork::{Child, LogLevel};

use crate::{
    Program, Ready, Sockets,
    look::{Held, Listeners, Tree},
    template::Values,
};

/// How long a program without a socket has to run before it counts as ready, where it does not say so.
const RUNS_FOR: Duration = Duration::from_millis(100);

/// How long after an attempt the next one is made.
const BETWEEN: Duration = Duration::from_millis(50);

/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long after its start the first look is, and how far two of them are apart at most. In between they are further apart the
/// longer it takes: the program is starting, which takes a processor, and it is seen late by a part of that.
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LAST_LOOK: Duration = Duration::from_millis(500);
const PART: u32 = 16;

/// What is waited for.
pub(crate) struct Readiness {
    ready: Ready,
    since: Instant,
    /// Looks for the program at its sockets, where it has any and that counts.
    looks: Option<Looks>,
    check: Option<Check>,
}

/// Looks whether the program waits at its sockets, or has accepted.
struct Looks {
    listeners: Listeners,
    held: Held,
    since: Instant,
    next: Instant,
}

/// A thread that asks until it is answered.
struct Check {
    /// Becomes readable when it has been.
    near: UnixStream,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Readiness {
    pub(crate) fn new(
        program: &Program,
        sockets: &Sockets,
        slot: u32,
        pid: u32,
    ) -> io::Result<Self> {
        let values = Values { pid, slot, sockets };
        let fill_in = |text: &str| values.fill_in(text.as_ref()).to_string_lossy().into_owned();
        let check = match &program.ready {
            Ready::Tcp(address) => Some(Check::start(fill_in(address), None)?),
            Ready::Http(url) => {
                let url = fill_in(url);
                let rest = url.strip_prefix("http://").unwrap_or(&url);
                let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
                Some(Check::start(address.to_owned(), Some(format!("/{path}")))?)
            }
            Ready::Auto | Ready::Notify | Ready::Accept | Ready::After(_) => None,
        };
        let since = Instant::now();
        let looks = match program.ready {
            Ready::Auto | Ready::Accept if !sockets.0.is_empty() => Some(Looks {
                listeners: sockets.listeners()?,
                held: Held::default(),
                since,
                next: since + FIRST_LOOK,
            }),
            _ => None,
        };
        Ok(Self { ready: program.ready.clone(), since, looks, check })
    }

    /// What becomes readable when it may be ready.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.check.as_ref().map(|check| check.near.as_fd())
    }

    /// When to ask again.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.ready {
            Ready::Auto | Ready::Accept => {
                Some(self.looks.as_ref().map_or(self.since + RUNS_FOR, |looks| looks.next))
            }
            Ready::After(time) => Some(self.since + time),
            Ready::Notify | Ready::Tcp(_) | Ready::Http(_) => None,
        }
    }

    /// What it has not done yet, in words.
    pub(crate) fn waits_for(&self) -> String {
        match &self.ready {
            Ready::Auto if self.looks.is_some() => "it has not waited at its socket (descriptor 3) yet, and not \
                 reported READY=1; is it to listen there, as by {fd} in its arguments?"
                .into(),
            Ready::Accept => "it has not waited at its socket (descriptor 3) yet; is it to listen there, as by {fd} \
                 in its arguments?"
                .into(),
            Ready::Auto | Ready::Notify => "it has not reported READY=1 to NOTIFY_SOCKET".into(),
            Ready::Tcp(address) => format!("it has not taken a connection at {address}"),
            Ready::Http(url) => format!("it has not answered {url} with a status below 400"),
            Ready::After(time) => format!("it is to run for {} s", time.as_secs()),
        }
    }

    /// Whether it is ready.
    ///
    /// # Errors
    ///
    /// If it is forbidden to look at the program.
    pub(crate) fn is_ready(
        &mut self,
        now: Instant,
        said_ready: bool,
        tree: &mut Tree,
        child: &mut Child,
    ) -> io::Result<bool> {
        let runs_for = now.saturating_duration_since(self.since);
        Ok(match (&self.ready, &mut self.looks) {
            (Ready::Auto, _) if said_ready => true,
            (Ready::Accept, Some(looks)) => looks.see(now, tree)?,
            (Ready::Auto, Some(looks)) => match looks.see(now, tree) {
                Ok(waits) => waits,
                Err(error) => {
                    child.log(LogLevel::Warn, format_args!(
                        "cannot look whether the program waits at its sockets: {error}; it counts as ready \
                         after {} ms: choose another way by `ready`",
                        RUNS_FOR.as_millis(),
                    ));
                    self.looks = None;
                    false
                }
            },
            (Ready::Auto | Ready::Accept, None) => runs_for >= RUNS_FOR,
            (Ready::Notify, _) => said_ready,
            (Ready::After(time), _) => runs_for >= *time,
            (Ready::Tcp(_) | Ready::Http(_), _) => {
                self.check.as_ref().is_some_and(Check::is_answered)
            }
        })
    }
}

impl Looks {
    /// Looks, if it is time to.
    fn see(&mut self, now: Instant, tree: &mut Tree) -> io::Result<bool> {
        if now < self.next {
            return Ok(false);
        }
        tree.refresh();
        // One that has accepted already may be busy with that for long.
        let serves = !tree.waits_at(&self.listeners)?.is_empty()
            || !self.held.look(tree, &self.listeners)?.is_empty();
        self.next = now + ((now - self.since) / PART).clamp(FIRST_LOOK, LAST_LOOK);
        Ok(serves)
    }
}

impl Check {
    fn start(address: String, path: Option<String>) -> io::Result<Self> {
        let (near, mut far) = UnixStream::pair()?;
        near.set_nonblocking(true)?;
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let attempt = move || match &path {
            None => connect(&address).map(drop),
            Some(path) => request(&address, path),
        };
        let thread = thread::Builder::new().name("ready".to_owned()).spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                if attempt().is_ok() {
                    let _ = far.write_all(b"1");
                    return;
                }
                thread::sleep(BETWEEN);
            }
        })?;
        Ok(Self { near, over, thread: Some(thread) })
    }

    fn is_answered(&self) -> bool {
        matches!((&self.near).read(&mut [0]), Ok(1))
    }
}

impl Drop for Check {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // This process is to have one thread again, for whatever it forks.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let mut addresses = address.to_socket_addrs()?;
    let address = addresses.next().ok_or(io::ErrorKind::NotFound)?;
    TcpStream::connect_timeout(&address, PATIENCE)
}

fn request(address: &str, path: &str) -> io::Result<()> {
    let mut connection = connect(address)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    write!(connection, "GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut begun = [0; 12];
    connection.read_exact(&mut begun)?;
    match begun.strip_prefix(b"HTTP/1.").map(|rest| rest.get(2)) {
        Some(Some(b'2' | b'3')) => Ok(()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
