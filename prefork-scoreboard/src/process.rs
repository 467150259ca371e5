//! What the kernel says about processes, namespaces and boots.

use crate::guard::Maker;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, OnceLock};

/// The largest pid that Linux gives: `PID_MAX_LIMIT` of `proc_sys_kernel(5)`.
const PID_MAX: u32 = 1 << 22;

/// A pid that a kernel could have given, or `None`.
pub(crate) fn plausible_pid(number: u64) -> Option<u32> {
    u32::try_from(number).ok().filter(|pid| (1..=PID_MAX).contains(pid))
}

/// When this process started, in clock ticks since boot, if `/proc` shows it.
pub(crate) fn own_start() -> Option<u64> {
    match stat("self") {
        Stat::Running { start, .. } => Some(start),
        Stat::Ended | Stat::Unknown => None,
    }
}

/// The inode of this process's pid namespace, if `/proc` shows it.
pub(crate) fn pid_namespace() -> Option<u64> {
    fs::metadata("/proc/self/ns/pid").ok().map(|namespace| namespace.ino())
}

/// What never changes in the life of a process, and is a third of what a claim costs to look up.
///
/// It costs memory of a process, which one that enters a slot once does without.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Own {
    pub(crate) start: Option<u64>,
    pub(crate) namespace: Option<u64>,
}

impl Own {
    pub(crate) fn known() -> Self {
        static KNOWN: Mutex<Option<(Maker, Own)>> = Mutex::new(None);
        // Another thread may have held the lock when this process was forked.
        let Ok(mut known) = KNOWN.try_lock() else { return Self::look() };
        match &*known {
            Some((maker, own)) if maker.is_surely_here() => *own,
            Some(_) | None => known.insert((Maker::new(), Self::look())).1,
        }
    }

    fn look() -> Self {
        Self { start: own_start(), namespace: pid_namespace() }
    }
}

/// Returns whether the process that wrote `pid` and `start` may still run.
///
/// In doubt the answer is yes: a slot too many in use does less harm than one used twice. `start`
/// of zero means that the process did not know its own.
pub(crate) fn may_live(pid: u64, start: u64) -> bool {
    match plausible_pid(pid).map_or(Found::Nobody, find) {
        Found::Running { start: found, .. } => start == 0 || start == found,
        Found::Nobody => false,
        Found::Hidden => true,
    }
}

/// What there is under a pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// A process that started at this clock tick since boot, its parent's pid, and what it is doing.
    Running { start: u64, parent: u32, standing: Standing },
    /// Nothing, or what nobody has reaped yet.
    Nobody,
    /// Something of which nothing more can be learnt.
    Hidden,
}

/// Looks at what there is under a pid.
pub(crate) fn find(pid: u32) -> Found {
    let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Found::Nobody };
    // Sends nothing: it only asks whether the pid is in use. See kill(2).
    if test_kill_process(raw) == Err(Errno::SRCH) {
        return Found::Nobody;
    }
    match stat(&pid.to_string()) {
        Stat::Running { start, parent, standing } => Found::Running { start, parent, standing },
        Stat::Ended => Found::Nobody,
        // No /proc, or one that hides the processes of others (hidepid).
        Stat::Unknown => Found::Hidden,
    }
}

/// What the kernel says that a process is doing: the state in `proc_pid_stat(5)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It runs, or would if it were its turn.
    Runs,
    /// It sleeps until something happens.
    Sleeps,
    /// It waits for a disk, or for a file server, and cannot be interrupted.
    Waits,
    /// It was stopped, as by `SIGSTOP`, and does nothing until `SIGCONT`.
    Stopped,
    /// A debugger has stopped it.
    Traced,
}

impl Standing {
    /// Returns what a process is doing; `None` if it does not run, or that cannot be seen from here.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        match find(pid) {
            Found::Running { standing, .. } => Some(standing),
            Found::Nobody | Found::Hidden => None,
        }
    }

    fn of_letter(letter: &str) -> Self {
        match letter {
            "R" => Self::Runs,
            "D" => Self::Waits,
            "T" => Self::Stopped,
            "t" => Self::Traced,
            // Of an idle thread of the kernel too, and whatever comes to be.
            _ => Self::Sleeps,
        }
    }
}

enum Stat {
    Running { start: u64, parent: u32, standing: Standing },
    Ended,
    Unknown,
}

/// Room for a line of `/proc/PID/stat`: at most 52 numbers of 20 digits and a name of 64 bytes.
const STAT_SIZE: usize = 2048;

/// Reads `/proc/PID/stat`: see `proc_pid_stat(5)`. In one read: the kernel makes the text of it for each.
fn stat(pid: &str) -> Stat {
    let mut text = [0; STAT_SIZE];
    let read = File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read(&mut text));
    read.map_or(Stat::Unknown, |length| parse_stat(&text[..length]))
}

/// The name of the program is the second field, stands in parentheses and may contain anything, so
/// the fields are counted from the last closing one.
fn parse_stat(text: &[u8]) -> Stat {
    let Some(end) = text.iter().rposition(|&byte| byte == b')') else { return Stat::Unknown };
    let rest = String::from_utf8_lossy(&text[end + 1..]);
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next();
    let parent = fields.next().and_then(|parent| parent.parse().ok());
    let start = fields.nth(17).and_then(|start| start.parse().ok());
    match (state, parent, start) {
        (Some("Z" | "X" | "x"), _, _) => Stat::Ended,
        (Some(state), Some(parent), Some(start)) => {
            Stat::Running { start, parent, standing: Standing::of_letter(state) }
        }
        (_, None, _) | (_, _, None) | (None, _, _) => Stat::Unknown,
    }
}

/// The id of this boot of the kernel, if `/proc` shows it: see `random(4)`. It is read once.
pub(crate) fn boot_id() -> Option<[u8; 16]> {
    static ID: OnceLock<[u8; 16]> = OnceLock::new();
    if let Some(id) = ID.get() {
        return Some(*id);
    }
    let id = parse_boot_id(&fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?)?;
    Some(*ID.get_or_init(|| id))
}

fn parse_boot_id(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.trim().chars().filter(|&character| character != '-').collect();
    let number = u128::from_str_radix(&digits, 16).ok()?;
    (digits.len() == 32).then(|| number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_that_is_not_a_pid_is_alive() {
        for number in [0, u64::from(PID_MAX) + 1, u64::from(u32::MAX), 1 << 32, u64::MAX] {
            assert!(!may_live(number, 0), "{number} is taken for a living process");
        }
    }

    #[test]
    fn this_process_lives_only_with_its_own_start() {
        let (pid, start) = (u64::from(std::process::id()), own_start().expect("/proc is mounted"));
        assert!(may_live(pid, start));
        assert!(may_live(pid, 0), "an unknown start must not count as another one");
        assert!(!may_live(pid, start + 1), "a reused pid counts as the old process");
    }

    #[test]
    fn finds_the_start_after_any_program_name() {
        let tail = " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        for name in ["(sh)", "(a) R 9)", "() ) ()", "(\u{fffd}\n)"] {
            let text = format!("42 {name}{tail}");
            assert!(
                matches!(
                    parse_stat(text.as_bytes()),
                    Stat::Running { start: 4711, parent: 1, standing: Standing::Sleeps }
                ),
                "cannot read the start in {text:?}"
            );
        }
        let letters = [
            ("R", Standing::Runs),
            ("S", Standing::Sleeps),
            ("D", Standing::Waits),
            ("T", Standing::Stopped),
            ("t", Standing::Traced),
        ];
        for (letter, expected) in letters {
            let text = format!("42 (sh) {}", tail.replacen('S', letter, 1).trim_start());
            let Stat::Running { standing, .. } = parse_stat(text.as_bytes()) else {
                panic!("no process in {text:?}");
            };
            assert_eq!(standing, expected, "{text:?}");
        }
        assert!(matches!(parse_stat(b"42 (sh) Z 1 2 3"), Stat::Ended));
        assert!(matches!(parse_stat(b"42 (sh) S 1"), Stat::Unknown));
        assert!(matches!(parse_stat(b""), Stat::Unknown));
    }

    #[test]
    fn reads_a_boot_id() {
        assert!(boot_id().is_some());
        let id = parse_boot_id("01020304-0506-0708-090a-0b0c0d0e0f10\n").expect("a boot id");
        assert_eq!(id, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
        assert_eq!(parse_boot_id("12"), None);
    }
}
