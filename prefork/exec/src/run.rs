//! The life of a child that runs a program: start it, wait until it is ready, watch it, end with it.

use std::{
    cell::RefCell,
    os::fd::{AsFd, BorrowedFd},
    rc::Rc,
    time::{Duration, Instant},
};

use prefork::{Args, Child, Exit, LogLevel, Result};

use crate::{
    Identity, Program, ProgramFault, Sockets, Stdin, demand, inetd,
    leave::Leaving,
    lifeline::Lifeline,
    look::Tree,
    notify::NotifySocket,
    observe::{Observation, Woken},
    output::Relay,
    ready::Readiness,
    spawn::Handed,
    started::Started,
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
    if args.given().watch_processors == Some(true) {
        let problem = "is for children that do the work themselves; here programs do it that they have started";
        args = args.refuse("watch_processors", problem);
    }
    let given = args.given();
    let about_queue = [
        ("queue_limit", given.queue_limit.is_some()),
        ("queue_time", given.queue_time == Some(true)),
        ("queue_target", given.queue_target.is_some()),
    ];
    for (name, _) in about_queue.into_iter().filter(|(_, is_given)| *is_given && !is_inetd) {
        let problem =
            "cannot be kept by a program that accepts its clients itself; with inetd it can";
        args = args.refuse(name, problem);
    }
    let (file, _) = program.preview(&Identity::of(args.given()));
    args = demand::attach(&program, program.declare(args.runs(file)));
    let given = args.given();
    let graceful = given.graceful_timeout.unwrap_or(GRACEFUL_TIMEOUT);
    let limit = given.reload_timeout.map_or(graceful, |limit| limit.min(graceful));
    let programs = given.max_children.unwrap_or(MAX_CHILDREN);
    let listen = program.listen.clone();
    let is_counted = program.max_output.is_some();
    let args = args.after_init(move |init| {
        let sockets = Sockets::open(init, &listen)?;
        if is_counted {
            sockets.require_tcp()?;
        }
        Ok(sockets)
    });
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
    started: Started,
    /// Its processes.
    tree: Tree,
    lifeline: Lifeline,
    notify: NotifySocket,
    said: Said,
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
        let started = Started::start(&shared.program, sockets, &handed, relay)?;
        drop(ends);
        let tree = Tree::of(started.process.pid)?;
        Ok(Self { shared, started, tree, lifeline, notify, said: Said::default() })
    }

    /// Waits until it is ready to serve.
    fn until_ready(mut self, child: &mut Child, sockets: &Sockets) -> Result<Self> {
        let pid = self.started.pid;
        let mut readiness = Readiness::new(&self.shared.program, sockets, child.slot(), pid)?;
        let stop = child.stop_fd().try_clone_to_owned()?;
        let mut late = Some(Instant::now() + LATE);
        loop {
            let now = Instant::now();
            if late.take_if(|late| now >= *late).is_some() {
                let waits_for = readiness.waits_for();
                child.log(
                    LogLevel::Warn,
                    format_args!(
                        "{} (pid {pid}) is not ready after {} s: {waits_for}",
                        self.started.name,
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
            let due = readiness.due().into_iter().chain(late).min();
            let others: Vec<_> = [stop.as_fd()].into_iter().chain(readiness.fd()).collect();
            let (_, ended) = self.wait(child, due, &others)?;
            if let Some(exit) = ended {
                // One that goes to the background by itself ends so.
                let when = match exit {
                    Exit::Code(0) => " before it was ready: is it to stay in the foreground?",
                    Exit::Code(_) | Exit::Signal { .. } => " before it was ready",
                };
                return Err(self.started.ended(exit).when(when).into());
            }
        }
    }

    /// Reports for it until it ends, or the child is asked to leave.
    fn watch(mut self, child: &mut Child, sockets: &Sockets) -> Result {
        let label = format!("{}[{}]", self.started.name, self.started.pid);
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
                leaving = Some(Leaving::begin(program, &self.started.process, sockets, patience)?);
            }
            if let Some(leaving) = &mut leaving {
                leaving.step(child, program, &self.started.process, sockets, seen.in_hand())?;
            }
            let now = Instant::now();
            seen.see(now, woken, child, &mut self.tree);
            if let Some(status) = self.said.status.take() {
                seen.set_label(&status);
            }
            if let Some(in_hand) = self.said.in_hand.take() {
                seen.reported(now, Some(in_hand));
            }
            let due = seen.due().into_iter().chain(leaving.as_ref().and_then(Leaving::due)).min();
            let (asks, connections) = (leaving.is_none().then(|| stop.as_fd()), seen.fd());
            let others: Vec<_> = asks.into_iter().chain(connections).collect();
            let (is_last_ready, ended) = self.wait(child, due, &others)?;
            woken = match connections {
                Some(_) if is_last_ready => Woken::ByConnection,
                Some(_) | None => Woken::ByOther,
            };
            let Some(exit) = ended else { continue };
            let is_expected = leaving.as_ref().is_some_and(Leaving::is_ending);
            if let Some(leaving) = leaving.take() {
                leaving.finish(child, program, &self.started.to_string());
            }
            return if is_expected { Ok(()) } else { Err(self.started.ended(exit).into()) };
        }
    }

    /// Waits for the program, what it prints and reports, other descriptors, or until then, and takes in what has come.
    /// Returns whether the last of the others is readable, and how the program has ended, if it has.
    fn wait(
        &mut self,
        child: &mut Child,
        due: Option<Instant>,
        others: &[BorrowedFd<'_>],
    ) -> Result<(bool, Option<Exit>)> {
        let others = [&[self.notify.fd()], others].concat();
        let came = self.started.wait(&self.lifeline, due, &others)?;
        let (has_report, is_last_ready) =
            (came.others.first() == Some(&true), came.others.last() == Some(&true));
        while has_report && let Some(report) = self.notify.read()? {
            self.said.ready |= report.ready;
            self.said.status = report.status.or(self.said.status.take());
            self.said.in_hand = report.in_hand.or(self.said.in_hand);
        }
        let ended = self.started.take_in(child, &self.lifeline, &came)?;
        Ok((is_last_ready, ended))
    }
}
