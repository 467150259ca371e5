//! How a child that is asked to leave has its program end.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    process::{self, Stdio},
    time::{Duration, Instant},
};

use prefork::{Child, ErrorChain, LogLevel};
use prefork_core::{Time, program::Treatment};
use rustix::{io::Errno, process::Signal};

use crate::{
    Program, Sockets,
    look::Tree,
    spawn::Running,
    stop::{Stopping, Wanted},
    template::Values,
};

/// A program that is asked to end.
pub(crate) struct Leaving {
    origin: Instant,
    way: Way,
    /// What was run to have it end.
    command: Option<process::Child>,
}

enum Way {
    /// It listens: no client is to lose its answer.
    Listening(Box<Stopping>),
    /// It takes its work from elsewhere: it is sent the signal once it has nothing in hand, as it says, or then.
    Elsewhere { signal_by: Instant },
    /// It was sent the signal.
    Signalled,
}

impl Leaving {
    /// Begins; `patience` is for how long a moment is waited for in which nothing is in hand.
    pub(crate) fn begin(
        program: &Program,
        process: &Running,
        sockets: &Sockets,
        patience: Duration,
    ) -> io::Result<Self> {
        let origin = Instant::now();
        let tree = Tree::of(process.pid)?;
        let treatment = match program.stop_command {
            Some(_) => Treatment::Handled,
            // If that cannot be known, it is what most do.
            None => tree.first().treats(program.stop_signal).unwrap_or(Treatment::Handled),
        };
        let way = if sockets.0.is_empty() {
            Way::Elsewhere { signal_by: origin + patience }
        } else {
            let listeners = sockets.listeners()?;
            let stopping = Stopping::begin(Time::ZERO, tree, listeners, treatment, patience);
            Way::Listening(Box::new(stopping))
        };
        Ok(Self { origin, way, command: None })
    }

    /// When to [`step`](Self::step) again, if not before.
    pub(crate) fn due(&self) -> Option<Instant> {
        match &self.way {
            Way::Listening(stopping) => stopping.due().map(|due| self.origin + due.since_origin()),
            Way::Elsewhere { signal_by } => Some(*signal_by),
            Way::Signalled => None,
        }
    }

    /// Returns whether its end is expected now.
    pub(crate) fn is_ending(&self) -> bool {
        match &self.way {
            Way::Listening(stopping) => stopping.is_ending(),
            Way::Elsewhere { .. } => false,
            Way::Signalled => true,
        }
    }

    /// Does what is due. `in_hand` is how many requests the program has in hand, as far as that is known.
    pub(crate) fn step(
        &mut self,
        child: &mut Child,
        program: &Program,
        process: &Running,
        sockets: &Sockets,
        in_hand: u32,
    ) -> io::Result<()> {
        let now = Instant::now();
        let time = Time::after_origin(now.saturating_duration_since(self.origin));
        let wanted = match &mut self.way {
            Way::Listening(stopping) => {
                let fds: Vec<BorrowedFd<'_>> =
                    sockets.0.iter().map(|socket| socket.listener.as_fd()).collect();
                stopping.step(time, &fds)
            }
            Way::Elsewhere { signal_by } if in_hand == 0 || now >= *signal_by => {
                self.way = Way::Signalled;
                Wanted::Signal
            }
            Way::Elsewhere { .. } | Way::Signalled => Wanted::Nothing,
        };
        match (wanted, &program.stop_command) {
            (Wanted::Nothing, _) => Ok(()),
            (Wanted::Signal, None) => process.signal(signal(program)?),
            (Wanted::Signal, Some(words)) => {
                let pid = process.pid.as_raw_nonzero().get().unsigned_abs();
                let values = Values { pid, slot: child.slot(), sockets };
                let mut words = words.iter().map(|word| values.fill_in(word));
                let mut command = process::Command::new(words.next().unwrap_or_default());
                command.args(words).stdin(Stdio::null()).env("PREFORK_PID", pid.to_string());
                match command.spawn() {
                    Ok(started) => self.command = Some(started),
                    Err(error) => {
                        let problem = ErrorChain(&error);
                        child.log(
                            LogLevel::Error,
                            format_args!("cannot run stop_command: {problem}; sending SIGTERM"),
                        );
                        process.signal(Signal::TERM)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Logs what there is to say of a program that has ended: `name` is what it is called.
    pub(crate) fn finish(mut self, child: &mut Child, program: &Program, name: &str) {
        // One that goes on ends with the child.
        if let Some(command) = &mut self.command
            && let Ok(Some(status)) = command.try_wait()
            && !status.success()
        {
            child.log(LogLevel::Warn, format_args!("stop_command of {name} has failed: {status}"));
        }
        let Way::Listening(stopping) = self.way else { return };
        let stopped = stopping.finish();
        if let Some(error) = &stopped.unseen {
            child.log(
                LogLevel::Warn,
                format_args!(
                    "cannot see what {name} had in hand when it was stopped: {}",
                    ErrorChain(error)
                ),
            );
        }
        if stopped.was_killed || stopped.cut_off.is_empty() {
            return;
        }
        let clients: Vec<String> = stopped.cut_off.iter().map(ToString::to_string).collect();
        let by = match program.stop_command {
            Some(_) => "stop_command".to_owned(),
            None => program.stop_signal.to_string(),
        };
        let requests = if clients.len() == 1 { "request" } else { "requests" };
        child.log(
            LogLevel::Warn,
            format_args!(
                "{name} has ended on {by} with {} {requests} in hand, of {}; does another stop_signal have it finish them?",
                clients.len(),
                clients.join(", "),
            ),
        );
    }
}

fn signal(program: &Program) -> io::Result<Signal> {
    Ok(Signal::from_named_raw(program.stop_signal as i32).ok_or(Errno::INVAL)?)
}
