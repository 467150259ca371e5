//! The files that processes hold by a lock, as the kernel shows it: a daemon holds its pid file and its board.
//!
//! So daemons are found wherever their files are, and nothing that a file says is believed. Of other users' processes root
//! alone sees the files.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Returns the processes that hold any file by an exclusive lock, of `flock(2)` as a board is or of `fcntl(2)` as a pid file
/// is: see `proc_locks(5)`.
pub(super) fn holders() -> Vec<u32> {
    let mut pids = pids(&fs::read_to_string("/proc/locks").unwrap_or_default());
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// `1: FLOCK  ADVISORY  WRITE 708 00:13:7 0 EOF`; one that waits has `->` behind its number.
fn pids(locks: &str) -> Vec<u32> {
    let pid = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words[..] {
            [_, "FLOCK" | "POSIX", _, "WRITE", pid, ..] => pid.parse().ok(),
            _ => None,
        }
    };
    locks.lines().filter_map(pid).collect()
}

/// Returns the paths of the files that a process holds so, as far as they lead to the same files here.
pub(super) fn files(pid: u32) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else { return Vec::new() };
    let held = |number: &Path| {
        // This asks nothing of the file system behind the file, which may not answer.
        let info =
            fs::read_to_string(Path::new(&format!("/proc/{pid}/fdinfo")).join(number)).ok()?;
        is_held(&info).then_some(())?;
        let link = Path::new(&format!("/proc/{pid}/fd")).join(number);
        let path = fs::read_link(&link).ok()?;
        // The path may be of another mount namespace, and another file may be there by now.
        let identity = |path: &Path| fs::metadata(path).map(|it| (it.dev(), it.ino())).ok();
        (identity(&path)? == identity(&link)?).then_some(path)
    };
    let names = entries.filter_map(|entry| entry.ok().map(|entry| entry.file_name()));
    let mut files: Vec<_> = names.filter_map(|name| held(Path::new(&name))).collect();
    files.sort();
    files.dedup();
    files
}

/// Whether what `proc_pid_fdinfo(5)` shows of a descriptor has such a lock.
fn is_held(info: &str) -> bool {
    info.lines().any(|line| line.starts_with("lock:") && !pids(&line[5..]).is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exclusive_locks_that_somebody_has_count() {
        let locks = "1: POSIX  ADVISORY  WRITE 4711 00:2d:3 0 EOF\n2: FLOCK  ADVISORY  WRITE 708 00:13:7 0 EOF\n2: -> FLOCK  \
                     ADVISORY  WRITE 709 00:13:7 0 EOF\n3: FLOCK  ADVISORY  READ  710 00:13:8 0 EOF\n4: OFDLCK ADVISORY  WRITE \
                     -1 00:13:9 0 EOF\nx\n";
        assert_eq!(pids(locks), [4711, 708]);
        assert!(is_held(
            "pos:\t0\nflags:\t02\nino:\t7\nlock:\t1: FLOCK  ADVISORY  WRITE 708 00:13:7 0 EOF\n"
        ));
        assert!(!is_held("pos:\t0\nlock:\t1: FLOCK  ADVISORY  READ 708 00:13:7 0 EOF\n"));
    }

    #[test]
    fn a_file_that_this_process_holds_is_found() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("held");
        let file = fs::File::create(&path).expect("a file");
        file.lock().expect("nobody else has it");
        assert!(holders().contains(&std::process::id()));
        let path = path.canonicalize().expect("it is there");
        assert!(files(std::process::id()).contains(&path));
        file.unlock().expect("it is locked");
        assert!(!files(std::process::id()).contains(&path));
    }
}
