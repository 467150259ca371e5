//! A process with what it has started: what it waits for may be its own child.

use std::{thread, time::Duration};

use crate::{Inquiry, WhyError, proc::Proc};

/// So many processes are looked at.
const MOST: usize = 8;

impl Inquiry {
    /// Looks at a process and at those that it has started, and these: 8 at most, all at the same time, within 1 s in all.
    ///
    /// The first is the process itself. Others that end meanwhile are left out, and so are those whose parent has ended.
    ///
    /// # Errors
    ///
    /// As of [`of`](Self::of), of the process itself.
    pub fn of_family(pid: u32) -> Result<Vec<Self>, WhyError> {
        Self::of_family_within(pid, Self::LIMIT)
    }

    /// Does the same within another limit.
    ///
    /// # Errors
    ///
    /// As of [`within`](Self::within), of the process itself.
    pub fn of_family_within(pid: u32, limit: Duration) -> Result<Vec<Self>, WhyError> {
        let family = family(pid);
        let (own, rest) = thread::scope(|scope| {
            let look = |pid: u32| move || Self::within(pid, limit);
            let spawn = |pid: &u32| thread::Builder::new().spawn_scoped(scope, look(*pid)).ok();
            let rest: Vec<_> = family.iter().skip(1).filter_map(spawn).collect();
            let own = Self::within(pid, limit);
            let rest = rest.into_iter().filter_map(|it| it.join().ok()?.ok());
            (own, rest.collect::<Vec<_>>())
        });
        Ok([vec![own?], rest].concat())
    }
}

/// Returns a process and what it has started, nearest first.
fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let mut next = 0;
    while next < family.len() {
        let Ok(process) = Proc::open(family[next]) else { break };
        next += 1;
        family.extend(process.children(MOST - family.len()));
    }
    family
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn what_a_process_has_started_is_looked_at_with_it() {
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 1000 & echo; read never"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let mut ready = [0];
        let stdout = shell.stdout.as_mut().expect("a pipe");
        std::io::Read::read_exact(stdout, &mut ready).expect("it has started it");
        let family = family(shell.id());
        assert_eq!((family.len(), family[0]), (2, shell.id()));
        let inquiries = Inquiry::of_family(shell.id()).expect("it is there");
        let pids: Vec<_> = inquiries.iter().map(|it| it.pid).collect();
        assert_eq!(pids, family);
        let sleeper = i32::try_from(family[1]).expect("a pid");
        // Its parent has not reaped it, and never will.
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(sleeper),
            nix::sys::signal::Signal::SIGKILL,
        )
        .expect("its own");
        shell.kill().expect("its own");
        shell.wait().expect("reaped");
    }
}
