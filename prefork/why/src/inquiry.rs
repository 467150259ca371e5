//! The whole of it: all threads of a process, looked at twice.

use std::{
    fmt, thread,
    time::{Duration, Instant},
};

use rustix::io::Errno;

use crate::{
    Cause, Hidden, Other, State, Thread, WhyError,
    call::parse,
    memory::Memory,
    proc::Proc,
    resolve::Resolver,
    thread::{Ran, state, wchan},
    wait::Waits,
};

/// Between the two looks, by which it is seen who runs.
const SAMPLE: Duration = Duration::from_millis(100);

/// So many threads are looked at.
const MOST_THREADS: usize = 64;
/// So many are counted.
const MOST_COUNTED: usize = 100_000;

/// From this share of the time on in which it could run, a thread spins or lacks a CPU.
const SPINS: f64 = 0.5;
/// One that spins gets as much of a CPU at least, where many want it.
const LEAST: f64 = 0.1;

/// What is seen of how much a thread runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Spins,
    WantsCpu,
    Waits,
}

/// Judges by the shares of the time in which it ran, and in which it could have run.
fn pace(ran: f64, wanted: f64, state: State) -> Pace {
    let shares_its_cpu = state == State::Running && ran >= LEAST && ran + wanted >= SPINS;
    if ran >= SPINS || shares_its_cpu {
        Pace::Spins
    } else if wanted >= SPINS {
        Pace::WantsCpu
    } else {
        Pace::Waits
    }
}

/// What a process was found doing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Inquiry {
    /// Its pid.
    pub pid: u32,
    /// The name of its program, safe to be shown.
    pub name: String,
    /// Its threads, the main thread first, at most 64.
    pub threads: Vec<Thread>,
    /// How many more threads it has.
    pub more_threads: usize,
}

impl Inquiry {
    /// How long an inquiry takes at the most, by default.
    pub const LIMIT: Duration = Duration::from_secs(1);

    /// Looks at a process for 0.1 s, and finds out what its threads wait for; within 1 s in all.
    ///
    /// # Errors
    ///
    /// [`WhyError::NoProcess`] if there is none or `/proc` does not show it. What is not shown of it is no error: it is said
    /// with what is missing.
    pub fn of(pid: u32) -> Result<Self, WhyError> {
        Self::within(pid, Self::LIMIT)
    }

    /// Does the same within another limit. Where that is short, it is looked at for a quarter of it.
    ///
    /// # Errors
    ///
    /// As of [`of`](Self::of).
    pub fn within(pid: u32, limit: Duration) -> Result<Self, WhyError> {
        let until = Instant::now() + limit;
        let failed = |errno| match errno {
            Errno::NOENT | Errno::SRCH => WhyError::NoProcess { pid },
            errno => WhyError::Proc { pid, source: errno.into() },
        };
        let process = Proc::open(pid).map_err(failed)?;
        let mut tids = process.numbers("task", MOST_COUNTED).map_err(failed)?;
        let more_threads = tids.len().saturating_sub(MOST_THREADS);
        tids.truncate(MOST_THREADS);
        let before: Vec<_> = tids.iter().map(|tid| Ran::of(&process, *tid)).collect();
        let since = Instant::now();
        thread::sleep(SAMPLE.min(limit / 4));
        let sampled = since.elapsed();
        let after: Vec<_> = tids.iter().map(|tid| Ran::of(&process, *tid)).collect();
        let memory = Memory::of(&process, until);
        let resolver = Resolver::new(&process, until);
        let waits = Waits { process: &process, memory: &memory, resolver: &resolver };
        let shares = before.iter().zip(&after).map(|(before, after)| {
            let (before, after) = (before.as_ref()?, after.as_ref()?);
            let share = |from: u64, to: u64| {
                Duration::from_nanos(to.saturating_sub(from)).div_duration_f64(sampled).min(1.0)
            };
            Some((share(before.ran, after.ran), share(before.wanted, after.wanted)))
        });
        let threads =
            tids.iter().zip(shares).filter_map(|(tid, shares)| look(&waits, *tid, shares));
        let threads: Vec<_> = threads.collect();
        if threads.is_empty() {
            return Err(WhyError::NoProcess { pid });
        }
        let name = process.name("comm");
        Ok(Self { pid, name, threads, more_threads })
    }

    /// Returns the lines of the block: one for each thread, but for those that do the same, of which the first is shown.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<(String, &Thread, usize)> = Vec::new();
        for thread in &self.threads {
            let like = (thread.call, thread.cause.to_string());
            let same = lines.iter_mut().find(|(_, first, _)| {
                first.tid != self.pid && (first.call, first.cause.to_string()) == like
            });
            match same {
                Some((_, _, more)) => *more += 1,
                None => lines.push((thread.to_string(), thread, 0)),
            }
        }
        let mut lines: Vec<String> = lines
            .into_iter()
            .map(|(line, _, more)| match more {
                0 => line,
                more => format!("{line}; and {more} more threads do the same"),
            })
            .collect();
        if self.more_threads > 0 {
            lines.push(format!("{} more threads were not looked at", self.more_threads));
        }
        lines
    }
}

/// Shows the block, a line for each thread.
impl fmt::Display for Inquiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}

/// Looks at one thread; `None` if it has ended.
fn look(waits: &Waits<'_>, tid: u32, shares: Option<(f64, f64)>) -> Option<Thread> {
    let process = waits.process;
    let state = state(process, tid)?;
    let call = process.read(&format!("task/{tid}/syscall"), 256).map(|text| parse(&text));
    let cause = match state {
        State::Stopped => Cause::Stopped { tracer: tracer(process, tid) },
        State::Ended => Cause::Ended,
        _ => match shares.map_or(Pace::Waits, |(ran, wanted)| pace(ran, wanted, state)) {
            Pace::Spins => {
                let call = call.as_ref().ok().and_then(Option::as_ref);
                Cause::Spins { on: call.and_then(|call| waits.descriptor(call)) }
            }
            Pace::WantsCpu => Cause::WantsCpu,
            Pace::Waits => match &call {
                Ok(Some(call)) => waits.cause(tid, call),
                Ok(None) => Cause::Runs,
                Err(errno) => Cause::Hidden(Hidden::from(*errno)),
            },
        },
    };
    let call = call.ok().flatten().filter(|_| state != State::Ended).map(|call| call.name);
    let name = process.name(&format!("task/{tid}/comm"));
    let wchan = wchan(process, tid).filter(|_| state != State::Running);
    Some(Thread { tid, name, state, call, cause, cpu: shares.map(|(ran, _)| ran), wchan })
}

/// Returns who traces a thread: see `proc_pid_status(5)`.
fn tracer(process: &Proc, tid: u32) -> Option<Other> {
    let status = process.text(&format!("task/{tid}/status")).ok()?;
    let pid =
        status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?.trim().parse().ok()?;
    (pid != 0).then(|| Other::of(pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_spins_does_so_too_where_others_want_the_cpu() {
        for (ran, wanted, state, expected) in [
            (0.99, 0.0, State::Running, Pace::Spins),
            (0.6, 0.3, State::Sleeping, Pace::Spins),
            (0.24, 0.6, State::Running, Pace::Spins),
            (0.24, 0.6, State::Sleeping, Pace::WantsCpu),
            (0.02, 0.9, State::Running, Pace::WantsCpu),
            (0.24, 0.1, State::Running, Pace::Waits),
            (0.0, 0.0, State::Sleeping, Pace::Waits),
        ] {
            assert_eq!(pace(ran, wanted, state), expected, "{ran} {wanted} {state:?}");
        }
    }
}
