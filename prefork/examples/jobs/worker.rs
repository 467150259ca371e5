//! Names of workers, by which it can be proven that one is gone.

use std::{
    fs,
    io::{self, ErrorKind},
    process,
};

/// No such process.
const ESRCH: i32 = 3;

/// Returns a name that no other process has, had, or will have on this machine: the pid, the time of its start, the boot.
pub(crate) fn own_name() -> io::Result<String> {
    let name = name_of(process::id())?;
    name.ok_or_else(|| io::Error::new(ErrorKind::NotFound, "this process is not in /proc"))
}

/// Returns whether the worker of that name is gone, and so does nothing with its job any more.
///
/// # Errors
///
/// Fails when that cannot be found out: then nobody may take its job.
pub(crate) fn is_gone(name: &str) -> io::Result<bool> {
    let pid = name.split('.').next().and_then(|pid| pid.parse().ok());
    let Some(pid) = pid else { return Ok(true) };
    Ok(name_of(pid)?.as_deref() != Some(name))
}

/// Returns the name of a process, `None` if there is none, or if it has ended and is only not reaped.
fn name_of(pid: u32) -> io::Result<Option<String>> {
    let stat = match fs::read(format!("/proc/{pid}/stat")) {
        Ok(stat) => String::from_utf8_lossy(&stat).into_owned(),
        // The second one if it ends while it is read.
        Err(error)
            if error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(ESRCH) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    // See proc_pid_stat(5). The second field is a name in brackets, which may itself hold any byte.
    let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let (Some(state), Some(started)) = (fields.next(), fields.nth(18)) else {
        return Err(io::Error::new(ErrorKind::InvalidData, format!("/proc/{pid}/stat: {stat}")));
    };
    if matches!(state, "Z" | "X") {
        return Ok(None);
    }
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(Some(format!("{pid}.{started}.{}", boot.trim_end())))
}
