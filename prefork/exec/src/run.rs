//! The life of a child that runs a program: start it, wait until it is ready, watch it, end with it.

use std::{
    cell::RefCell,
    io,
    os::fd::{AsFd, BorrowedFd},
    rc::Rc,
    time::{Duration, Instant},
};

use prefork::{Args, Child, EndAs, Exit, LogLevel, Result};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Signal, WaitOptions, waitpid},
};

use crate::{
    Identity, Program, ProgramFault, Sockets, Stdin, demand, inetd,
    leave::Leaving,
    lifeline::Lifeline,
    look::Tree,
    notify::NotifySocket,
    observe::{Observation, Woken},
    output::Relay,
    ready::Readiness,
    spawn::{Handed, Running, name_of},
};

/// Has each child run `program`: sets [`after_init`](Args::after_init), [`child_init`](Args::child_init) and
/// [`main_loop`](Args::main_loop).
///
/// All other arguments mean what they mean for any daemon. What is wrong with the program ([`Program::check`]) is reported by
/// [`Prefork::new`](prefork::Prefork::new), with all that is wrong besides. A reload of a daemon that reads its settings applies
/// all of the program but where it listens, which takes an upgrade.
///
/// # Examples
///
/// ```no_run
/// use prefork::{Args, Prefork};
/// use prefork_exec::{Listen, Program};
///
/// let mut program = Program::new(["uvicorn", "app:app", "--fd", "{fd}"]);
/// program.listen.push(Listen::at("127.0.0.1:8000"));
/// let args = Args::new().name("app").daemonize(false).scoreboard_in_memory(true);
/// Prefork::new(prefork_exec::attach(program, args))?.run()?;
/// # Ok::<(), prefork::BoxError>(())
/// ```
pub fn attach(program: Program, mut args: Args) -> Args<Sockets> {
    for ProgramFault { argument, problem } in program.check(&Identity::of(args.given())) {
        let place = program.origins.get(argument).cloned();
        args = args.refuse(place.unwrap_or_else(|| argument.to_owned()), problem);
    }
    let is_inetd = program.stdin == Stdin::Connection;
    let given = args.given();
    if given.one_shot == Some(true) && !is_inetd {
        let problem = "cannot be kept by a program that accepts its clients itself; with inetd it is started for each";
        args = args.refuse("one_shot", problem);
    } else if is_inetd && given.concurrency.is_some_and(|many| many > 1) {
        let problem = "must be 1 with inetd: a child has one client at a time";
        args = args.refuse("concurrency", problem);
    }
    let (file, _) = program.preview(&Identity::of(args.given()));
    args = demand::attach(&program, program.declare(args.runs(file)));
    let given = args.given();
    let graceful = given.graceful_timeout.unwrap_or(GRACEFUL_TIMEOUT);
    let limit = given.reload_timeout.map_or(graceful, |limit| limit.min(graceful));
    let programs = given.max_children.unwrap_or(MAX_CHILDREN);
    let listen = program.listen.clone();
    let args = args.after_init(move |init| Ok(Sockets::open(init, &listen)?));
    if is_inetd {
        return args.main_loop(move |child, sockets| {
            inetd::serve(&program.of_child(child), child, sockets)
        });
    }
    let shared = Rc::new(Shared { program, programs, patience: limit / 2 });
    let run: Rc<RefCell<Option<Run>>> = Rc::default();
    let started = Rc::clone(&run);
    args.child_init(move |child, sockets| {
        // As the last reload has read it.
        let program = shared.program.of_child(child);
        let shared = Rc::new(Shared { program, ..*shared });
        let run = Run::start(shared, child, sockets)?;
        *started.borrow_mut() = Some(run.until_ready(child, sockets)?);
        Ok(())
    })
    .main_loop(move |child, sockets| match run.borrow_mut().take() {
        Some(run) => run.watch(child, sockets),
        None => Ok(()),
    })
}

/// The defaults of the library.
const GRACEFUL_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_CHILDREN: u32 = 150;

/// After so long, it is logged what a program that is not ready is waited for.
const LATE: Duration = Duration::from_secs(5);

/// What a program has reported of itself and was not taken in yet.
#[derive(Debug, Default)]
struct Said {
    ready: bool,
    status: Option<String>,
    in_hand: Option<u32>,
}

/// What has come while it was waited for.
#[derive(Debug, Default)]
struct Came {
    /// The end of the program.
    end: bool,
    /// That of the daemon.
    cut: bool,
    /// What the program reports.
    report: bool,
    /// What it prints.
    output: bool,
    /// The last of the other descriptors.
    last: bool,
}

/// What all children know.
#[derive(Debug)]
struct Shared {
    program: Program,
    /// How many there may be.
    programs: u32,
    /// For how long a program that is to end is not disturbed in what it has in hand.
    patience: Duration,
}

/// A program that runs, and all that the child knows of it.
struct Run {
    shared: Rc<Shared>,
    name: String,
    process: Running,
    pid: u32,
    /// Its processes.
    tree: Tree,
    lifeline: Lifeline,
    relay: Relay,
    notify: NotifySocket,
    said: Said,
    /// How it has ended, once it has.
    exit: Option<Exit>,
}

impl Run {
    fn start(shared: Rc<Shared>, child: &Child, sockets: &Sockets) -> Result<Self> {
        let lifeline = Lifeline::tie()?;
        let notify = NotifySocket::open()?;
        let (relay, ends) = Relay::open(&shared.program.output)?;
        let handed = Handed {
            stdin: None,
            stdout: ends.stdout.as_fd(),
            stderr: ends.stderr.as_fd(),
            notify_socket: Some(notify.name()),
            slot: child.slot(),
            generation: child.generation(),
            client: None,
        };
        let process = Running::start(&shared.program, sockets, &handed)?;
        drop(ends);
        let pid = process.pid.as_raw_nonzero().get().unsigned_abs();
        let name = name_of(&shared.program);
        let tree = Tree::of(process.pid)?;
        Ok(Self {
            shared,
            name,
            process,
            pid,
            tree,
            lifeline,
            relay,
            notify,
            said: Said::default(),
            exit: None,
        })
    }

    /// Waits until it is ready to serve.
    fn until_ready(mut self, child: &mut Child, sockets: &Sockets) -> Result<Self> {
        let mut readiness = Readiness::new(&self.shared.program, sockets, child.slot(), self.pid)?;
        let stop = child.stop_fd().try_clone_to_owned()?;
        let mut late = Some(Instant::now() + LATE);
        loop {
            let now = Instant::now();
            if late.take_if(|late| now >= *late).is_some() {
                let waits_for = readiness.waits_for();
                child.log(
                    LogLevel::Warn,
                    format_args!(
                        "{} (pid {}) is not ready after {} s: {waits_for}",
                        self.name,
                        self.pid,
                        LATE.as_secs(),
                    ),
                );
            }
            // One that is to leave before it is ready may have requests in hand: it is stopped as any other.
            if child.should_stop()
                || readiness.is_ready(now, self.said.ready, &mut self.tree, child)?
            {
                return Ok(self);
            }
            let due = [readiness.due(), self.relay.due(now), late].into_iter().flatten().min();
            let came = self.wait(due, [stop.as_fd()].into_iter().chain(readiness.fd()))?;
            self.take_in(child, &came)?;
            if let Some(exit) = self.exit {
                // One that goes to the background by itself ends so.
                let when = match exit {
                    Exit::Code(0) => " before it was ready: is it to stay in the foreground?",
                    Exit::Code(_) | Exit::Signal { .. } => " before it was ready",
                };
                return Err(self.ended(exit, when).into());
            }
        }
    }

    /// Reports for it until it ends, or the child is asked to leave.
    fn watch(mut self, child: &mut Child, sockets: &Sockets) -> Result {
        let label = format!("{}[{}]", self.name, self.pid);
        let shared = Rc::clone(&self.shared);
        let program = &shared.program;
        let mut seen =
            Observation::new(child, sockets, shared.programs, program.max_memory, label)?;
        let stop = child.stop_fd().try_clone_to_owned()?;
        let mut leaving: Option<Leaving> = None;
        let mut woken = Woken::ByOther;
        loop {
            if leaving.is_none() && child.should_stop() {
                let patience = self.shared.patience;
                leaving = Some(Leaving::begin(program, &self.process, sockets, patience)?);
            }
            if let Some(leaving) = &mut leaving {
                leaving.step(child, program, &self.process, sockets, seen.in_hand())?;
            }
            let now = Instant::now();
            seen.see(now, woken, child, &mut self.tree);
            if let Some(status) = self.said.status.take() {
                seen.set_label(&status);
            }
            if let Some(in_hand) = self.said.in_hand.take() {
                seen.reported(now, Some(in_hand));
            }
            let leaves = leaving.as_ref().and_then(Leaving::due);
            let due = [self.relay.due(now), seen.due(), leaves].into_iter().flatten().min();
            let asks = leaving.is_none().then(|| stop.as_fd());
            let connections = seen.fd();
            let came = self.wait(due, asks.into_iter().chain(connections))?;
            woken = match connections {
                Some(_) if came.last => Woken::ByConnection,
                Some(_) | None => Woken::ByOther,
            };
            self.take_in(child, &came)?;
            let Some(exit) = self.exit else { continue };
            let is_expected = leaving.as_ref().is_some_and(Leaving::is_ending);
            if let Some(leaving) = leaving.take() {
                leaving.finish(child, program, &format!("{} (pid {})", self.name, self.pid));
            }
            return if is_expected { Ok(()) } else { Err(self.ended(exit, "").into()) };
        }
    }

    /// Waits for the program, what it prints and reports, other descriptors, or until then.
    fn wait<'a>(
        &'a self,
        due: Option<Instant>,
        others: impl Iterator<Item = BorrowedFd<'a>>,
    ) -> io::Result<Came> {
        let now = Instant::now();
        let own = [self.process.fd(), self.lifeline.fd(), self.notify.fd()];
        let mut fds: Vec<_> = own.into_iter().chain(self.relay.fds(now)).collect();
        let before_others = fds.len();
        fds.extend(others);
        let mut fds: Vec<_> =
            fds.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        let timeout = due.map(|due| round_up(due.saturating_duration_since(now)));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Came::default()),
            Err(errno) => return Err(errno.into()),
        }
        let has_come = |fd: &PollFd<'_>| !fd.revents().is_empty();
        Ok(Came {
            end: has_come(&fds[0]),
            cut: has_come(&fds[1]),
            report: has_come(&fds[2]),
            output: fds[own.len()..before_others].iter().any(has_come),
            last: fds.last().is_some_and(has_come),
        })
    }

    /// Takes in what has happened. Asks nothing of what is known to be as it was, as this child wakes for little else.
    fn take_in(&mut self, child: &mut Child, came: &Came) -> Result {
        if came.cut && self.lifeline.is_cut() {
            self.tree.refresh();
            self.tree.signal(Signal::KILL)?;
            let killed = Exit::Signal { number: Signal::KILL.as_raw(), core_dumped: false };
            return Err(self.ended(killed, " with the daemon, which has ended").into());
        }
        let now = Instant::now();
        if came.output {
            self.relay.pass_on(child, self.pid, now);
        }
        while came.report
            && let Some(report) = self.notify.read()?
        {
            self.said.ready |= report.ready;
            self.said.status = report.status.or(self.said.status.take());
            self.said.in_hand = report.in_hand.or(self.said.in_hand);
        }
        // One that is traced is waited for by others too.
        if came.end
            && let Some((_, status)) = waitpid(Some(self.process.pid), WaitOptions::NOHANG)?
        {
            self.relay.finish(child, self.pid, now);
            let number = status.terminating_signal();
            self.exit = Some(match number {
                Some(number) => Exit::Signal { number, core_dumped: false },
                None => Exit::Code(status.exit_status().unwrap_or(1)),
            });
        }
        Ok(())
    }

    fn ended(&self, exit: Exit, when: &str) -> EndAs {
        EndAs::new(exit, format!("{} (pid {})", self.name, self.pid)).when(when)
    }
}

/// As a timeout, which is not to end before the time has come.
fn round_up(time: Duration) -> Timespec {
    Timespec::try_from(time).unwrap_or(Timespec { tv_sec: 3600, tv_nsec: 0 })
}
