//! Giving a pool another number of children at rest, by the signals for one more and one fewer.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use prefork_daemonize::{Pid, Signal};
use prefork_view::{View, plural};

use super::{answers, find, send};
use crate::{exit::Exit, failure::Failure, find::Found, look, output::Voice};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// How long a step may take: signals of one kind that wait are one, so that each is taken before the next is sent.
const STEP: Duration = Duration::from_secs(10);

/// Has a daemon, or one pool of several, have so many children at rest.
pub(crate) fn scale(found: Found, children: u32, voice: Voice) -> Result<Exit, Failure> {
    let board = found.clone().into_board()?;
    let path = &found.into_pid_file()?;
    let pid = find(path)?;
    let before = size(&board, pid)?;
    let mut now = before;
    while now.children != children {
        check(children, now.most, pid)?;
        let (signal, name) = match now.children < children {
            true => (Signal::Ttin, "SIGTTIN"),
            false => (Signal::Ttou, "SIGTTOU"),
        };
        match answers::to(pid, signal) {
            Ok(true) => {}
            Ok(false) => return Err(Failure::Deaf { path: path.clone(), pid, signal: name }),
            Err(source) => return Err(Failure::Unseen { pid, source }),
        }
        send(path, signal)?;
        now = step(&board, pid, now, children)?;
    }
    let (before, now) = (before.children, plural(now.children as usize, "child", "children"));
    voice.report(&format!("process {pid} has {now} at rest; it had {before}\n"))
}

/// How many children there are at rest, and may be at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    children: u32,
    most: u32,
}

fn size(board: &Path, pid: Pid) -> Result<Size, Failure> {
    let view = look::read(board)?;
    let owner = pid.as_raw().unsigned_abs();
    match &view {
        View { creator: Some(creator), .. } if *creator != owner => {
            Err(Failure::OtherBoard { board: board.to_owned(), creator: *creator, pid })
        }
        View { owner, .. } => match (owner.min_children, owner.max_children) {
            (_, Some(0)) => Err(Failure::Childless { pid }),
            (Some(children), Some(most)) => Ok(Size { children, most }),
            _ => Err(Failure::SharedBoard { board: board.to_owned() }),
        },
    }
}

/// Refuses what the daemon would not do.
fn check(children: u32, most: u32, pid: Pid) -> Result<(), Failure> {
    if (1..=most).contains(&children) {
        Ok(())
    } else {
        Err(Failure::NoSuchSize { children, most, pid })
    }
}

/// Waits until one step was taken.
fn step(board: &Path, pid: Pid, before: Size, wanted: u32) -> Result<Size, Failure> {
    let begun = Instant::now();
    loop {
        let now = size(board, pid)?;
        if now.children != before.children {
            return Ok(now);
        }
        if begun.elapsed() > STEP {
            return Err(Failure::NotResized { pid, children: now.children, wanted, waited: STEP });
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_has_one_child_at_the_least_and_what_it_may_have_at_most() {
        for (children, is_fine) in [(0, false), (1, true), (4, true), (5, false), (u32::MAX, false)]
        {
            assert_eq!(check(children, 4, Pid::current()).is_ok(), is_fine, "{children}");
        }
    }
}
