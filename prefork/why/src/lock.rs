//! Locks of files, and who has them: see `proc_locks(5)`.

use std::{
    fmt,
    fs::File,
    io::{BufRead, BufReader, Read},
};

use crate::Other;

/// Who has the lock that a process waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lock {
    /// This process has taken it. If it has ended, who inherited the descriptor from it has the lock still.
    HeldBy(Other),
    /// The process itself has: by another descriptor, or for another thread.
    HeldByItself,
    /// An open file description has it, which belongs to no process alone: a lock by `F_OFD_SETLK`.
    HeldByDescription,
    /// The kernel does not show who: it is of another pid namespace, or has let go meanwhile.
    Unknown,
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeldBy(other) if other.name.is_empty() => write!(
                f,
                "which process {} has taken, that has ended: who inherited the descriptor from it has the lock still",
                other.pid
            ),
            Self::HeldBy(other) => write!(f, "which {other} has"),
            Self::HeldByItself => f.write_str("which this process has itself"),
            Self::HeldByDescription => {
                f.write_str("which those have who share the descriptor by which it was taken")
            }
            Self::Unknown => f.write_str("and who has it is not shown"),
        }
    }
}

/// No more of the table is read.
const MOST: u64 = 4 * 1024 * 1024;

/// Finds who has the lock of the file with this inode for which a process waits.
pub(crate) fn lock(pid: u32, inode: Option<u64>) -> Lock {
    let Ok(file) = File::open("/proc/locks") else { return Lock::Unknown };
    let lines = BufReader::new(file.take(MOST)).lines().map_while(Result::ok);
    match holder(lines, pid, inode) {
        None | Some(0) => Lock::Unknown,
        Some(-1) => Lock::HeldByDescription,
        Some(holder) => match u32::try_from(holder) {
            Ok(holder) if holder == pid => Lock::HeldByItself,
            Ok(holder) => Lock::HeldBy(Other::of(holder)),
            Err(_) => Lock::Unknown,
        },
    }
}

/// One line, as `1: -> FLOCK  ADVISORY  WRITE 708 00:16:1234 0 EOF`.
struct Row<'a> {
    number: &'a str,
    waits: bool,
    pid: i64,
    inode: u64,
}

fn row(line: &str) -> Option<Row<'_>> {
    let mut words = line.split_ascii_whitespace().peekable();
    let number = words.next()?;
    let waits = words.next_if_eq(&"->").is_some();
    // The kind of lock, that it is advisory, and for what.
    let pid = words.nth(3)?.parse().ok()?;
    let inode = words.next()?.rsplit_once(':')?.1.parse().ok()?;
    Some(Row { number, waits, pid, inode })
}

/// The pid behind the lock before the line in which this process waits for it.
fn holder(lines: impl Iterator<Item = String>, pid: u32, inode: Option<u64>) -> Option<i64> {
    let mut last: Option<(String, i64)> = None;
    for line in lines {
        let Some(row) = row(&line) else { continue };
        if !row.waits {
            last = Some((row.number.to_owned(), row.pid));
        } else if row.pid == i64::from(pid) && inode.is_none_or(|inode| inode == row.inode) {
            return last.filter(|(number, _)| number == row.number).map(|(_, pid)| pid);
        }
    }
    None
}

#[cfg(test)]
mod tests {

    const TABLE: &str = "\
1: FLOCK  ADVISORY  WRITE 708 00:16:1234 0 EOF
1: -> FLOCK  ADVISORY  WRITE 709 00:16:1234 0 EOF
1: -> FLOCK  ADVISORY  READ 710 00:16:1234 0 EOF
2: POSIX  ADVISORY  WRITE 711 08:01:77 0 10
2: -> POSIX  ADVISORY  WRITE 709 08:01:77 0 EOF
3: OFDLCK ADVISORY  WRITE -1 08:01:78 0 EOF
3: -> OFDLCK ADVISORY  WRITE 712 08:01:78 0 EOF
4: LEASE  ACTIVE    WRITE 713 08:01:79 0 EOF
5: -> POSIX  ADVISORY  WRITE 714 08:01:80 0 EOF
nonsense
";

    #[test]
    fn the_holder_stands_before_those_who_wait() {
        let holder = |pid, inode| super::holder(TABLE.lines().map(str::to_owned), pid, inode);
        assert_eq!(holder(709, Some(1234)), Some(708));
        assert_eq!(holder(710, None), Some(708));
        assert_eq!(holder(709, Some(77)), Some(711));
        assert_eq!(holder(712, Some(78)), Some(-1));
        assert_eq!(holder(708, None), None, "it has the lock");
        assert_eq!(holder(709, Some(4711)), None);
        assert_eq!(holder(714, None), None, "the line of the holder was not read");
    }
}
