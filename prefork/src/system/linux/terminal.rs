//! The terminal of this process's session.

use std::fs;

use prefork_core::{Hangups, HangupsAtStart};
use rustix::process::{getppid, getsid};

/// Returns whether this process has a controlling terminal; one that was hung up is none any more (`tty_nr` in
/// `proc_pid_stat(5)`).
pub(crate) fn has_terminal() -> bool {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program stands before, in brackets, and may hold anything.
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
    let number = fields.split_ascii_whitespace().nth(4);
    number.is_some_and(|number| number != "0")
}

/// Finds out what can be known of hangups when a daemon is started.
pub(crate) fn hangups(at_start: HangupsAtStart) -> Hangups {
    if !has_terminal() {
        return Hangups::without_terminal(at_start);
    }
    let shells = [getsid(None).ok(), getppid()];
    let pid = |pid: rustix::process::Pid| pid.as_raw_nonzero().get().unsigned_abs();
    Hangups::on_terminal(at_start, shells.map(|shell| shell.map_or(0, pid)))
}
