//! Programs that are started for a client, whose connection they have as standard input and output, as `inetd(8)` starts them.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd},
    time::Instant,
};

use prefork::{AnyListener, AnyStream, Child, EndAs, Exit, LogLevel, Result};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Signal, WaitOptions, waitpid},
};

use crate::{
    Program, Sockets,
    lifeline::Lifeline,
    look::Tree,
    output::Relay,
    spawn::{Handed, Running, name_of},
};

/// Starts the program for one client after the other, until the child is asked to leave.
pub(crate) fn serve(program: &Program, child: &mut Child, sockets: &Sockets) -> Result {
    let lifeline = Lifeline::tie()?;
    let listeners: Vec<&AnyListener> = sockets.0.iter().map(|socket| &socket.listener).collect();
    while let Some((connection, client)) = child.accept(&listeners[..])? {
        let serving = Serving::start(program, child, &connection, client.as_tcp())?;
        // It is the program's alone, and ends with that.
        drop(connection);
        serving.until_end(child, &lifeline)?;
    }
    Ok(())
}

/// A program that serves a client.
struct Serving {
    name: String,
    process: Running,
    pid: u32,
    relay: Relay,
    /// Whom it serves, as the end of a sentence.
    client: String,
}

impl Serving {
    /// Starts it.
    fn start(
        program: &Program,
        child: &mut Child,
        connection: &AnyStream,
        client: Option<SocketAddr>,
    ) -> Result<Self> {
        let (relay, ends) = Relay::open(&program.output)?;
        let handed = Handed {
            stdin: Some(connection.as_fd()),
            stdout: connection.as_fd(),
            stderr: ends.stderr.as_fd(),
            notify_socket: None,
            slot: child.slot(),
            generation: child.generation(),
            client,
        };
        let process = Running::start(program, &Sockets(Vec::new()), &handed)?;
        let pid = process.pid.as_raw_nonzero().get().unsigned_abs();
        let name = name_of(program);
        child.busy(&format!("{name}[{pid}]"));
        let client = match client {
            Some(client) => format!(", serving {client}"),
            None => ", serving a client of a UNIX socket".to_owned(),
        };
        Ok(Self { name, process, pid, relay, client })
    }

    /// Waits for its end, and passes on what it prints meanwhile. A stop does not disturb it.
    fn until_end(mut self, child: &mut Child, lifeline: &Lifeline) -> Result {
        loop {
            let [end, cut, output] = self.wait(lifeline)?;
            if cut && lifeline.is_cut() {
                let mut tree = Tree::of(self.process.pid)?;
                tree.refresh();
                tree.signal(Signal::KILL)?;
                let killed = Exit::Signal { number: Signal::KILL.as_raw(), core_dumped: false };
                return Err(self.ended(killed).when(" with the daemon, which has ended").into());
            }
            if output {
                self.relay.pass_on(child, self.pid, Instant::now());
            }
            if end && let Some((_, status)) = waitpid(Some(self.process.pid), WaitOptions::NOHANG)?
            {
                self.relay.finish(child, self.pid, Instant::now());
                match (status.terminating_signal(), status.exit_status()) {
                    (Some(number), _) => {
                        let exit = Exit::Signal { number, core_dumped: false };
                        child.log(LogLevel::Error, self.ended(exit).when(&self.client));
                    }
                    (None, None | Some(0)) => {}
                    (None, Some(code)) => {
                        child.log(LogLevel::Info, self.ended(Exit::Code(code)).when(&self.client));
                    }
                }
                return Ok(());
            }
        }
    }

    fn ended(&self, exit: Exit) -> EndAs {
        EndAs::new(exit, format!("{} (pid {})", self.name, self.pid))
    }

    /// Waits for its end, that of the daemon, and what it prints; returns which of these has come.
    fn wait(&self, lifeline: &Lifeline) -> io::Result<[bool; 3]> {
        let now = Instant::now();
        let fds: Vec<BorrowedFd<'_>> =
            [self.process.fd(), lifeline.fd()].into_iter().chain(self.relay.fds(now)).collect();
        let mut fds: Vec<_> =
            fds.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        let timeout = self.relay.due(now).map(|due| {
            let left = due.saturating_duration_since(now);
            Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 })
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok([false; 3]),
            Err(errno) => return Err(errno.into()),
        }
        let has_come = |fd: &PollFd<'_>| !fd.revents().is_empty();
        Ok([has_come(&fds[0]), has_come(&fds[1]), fds[2..].iter().any(has_come)])
    }
}
