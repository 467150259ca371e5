//! What the supervisor says, in words.

use std::{
    fmt::{self, Display},
    time::Duration,
};

use nix::sys::signal::Signal;
use prefork_core::{ChildId, Claim, Exit, KillReason, Limit, MemoryGroup, Notice, Request, Rung};

use crate::logs::log::{Level, Log};

/// The end of what was sent that signal.
pub(crate) const SIGKILL: Exit = Exit::Signal { number: nix::libc::SIGKILL, core_dumped: false };

/// How a child ended: `exited with status 1`, `was ended by SIGKILL`, with a hint where one helps.
#[derive(Debug)]
pub(crate) struct Ended(pub(crate) Exit);

impl Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Exit::Code(101) => f.write_str("exited with status 101 (a panic)"),
            Exit::Code(code) => write!(f, "exited with status {code}"),
            Exit::Signal { number, core_dumped } => {
                match Signal::try_from(number) {
                    Ok(signal) => write!(f, "was ended by {signal}{}", hint(signal))?,
                    Err(_) => write!(f, "was ended by signal {number}")?,
                }
                f.write_str(if core_dumped { " (core dumped)" } else { "" })
            }
        }
    }
}

/// How a child ended, where what is likely behind a `SIGKILL` is known, and logged at the end of the line.
fn without_hint(exit: Exit) -> String {
    match exit {
        SIGKILL => "was ended by SIGKILL".to_owned(),
        Exit::Code(_) | Exit::Signal { .. } => Ended(exit).to_string(),
    }
}

fn hint(signal: Signal) -> &'static str {
    match signal {
        Signal::SIGKILL => " (out of memory? see the kernel log)",
        Signal::SIGSEGV | Signal::SIGBUS | Signal::SIGILL | Signal::SIGFPE => " (a crash)",
        Signal::SIGABRT => " (an abort)",
        Signal::SIGSYS => " (a forbidden system call)",
        Signal::SIGXCPU => " (the limit of CPU time)",
        Signal::SIGXFSZ => " (the limit of file size)",
        _ => "",
    }
}

/// A duration as people say it: `250 ms`, `1.5 s`, `30 s`.
#[derive(Debug)]
pub(crate) struct Span(pub(crate) Duration);

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        match ms {
            0..1000 => write!(f, "{ms} ms"),
            1000..10_000 if !ms.is_multiple_of(1000) => {
                write!(f, "{}.{} s", ms / 1000, ms / 100 % 10)
            }
            _ => write!(f, "{} s", ms / 1000),
        }
    }
}

/// An amount of memory: `512 MiB`, and `1000 bytes` where it is no whole number of them.
#[derive(Debug)]
pub(crate) struct Bytes(pub(crate) u64);

impl Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: u64 = 1 << 20;
        match self.0 {
            bytes if bytes.is_multiple_of(MIB) => write!(f, "{} MiB", bytes / MIB),
            bytes => write!(f, "{bytes} bytes"),
        }
    }
}

/// Why a child was likely sent `SIGKILL`, to stand behind the line about its end.
#[derive(Debug)]
pub(crate) struct Killed(pub(crate) KillReason);

impl Display for Killed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            KillReason::Unknown => f.write_str("; out of memory? see the kernel log"),
            KillReason::NotMemory => Ok(()),
            KillReason::Group(MemoryGroup { name, limit, .. }) => {
                write!(f, "; likely out of memory: {name}")?;
                limit.map_or(Ok(()), |limit| write!(f, " is {}", Bytes(limit)))
            }
            KillReason::Elsewhere => f.write_str(
                "; likely out of memory: the machine, or a control group that cannot be seen from here",
            ),
        }
    }
}

/// A number of children: `no child`, `1 child`, `3 children`.
#[derive(Debug)]
pub(crate) struct Children(pub(crate) usize);

impl Display for Children {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("no child"),
            1 => f.write_str("1 child"),
            many => write!(f, "{many} children"),
        }
    }
}

/// Logs a notice, with a detail behind it.
pub(crate) fn tell(log: &Log, notice: Notice, detail: &str) {
    let (level, text) = words(notice);
    let text = format!("{text}{detail}");
    match level {
        Level::Info => log.info(text),
        Level::Warning => log.warning(text),
        Level::Error => log.error(text),
    }
}

fn words(notice: Notice) -> (Level, String) {
    match notice {
        Notice::DiedAbnormally { child: ChildId { slot, pid }, exit, lived } => {
            let (how, lived) = (without_hint(exit), Span(lived));
            (Level::Error, format!("child {pid} (slot {slot}) {how} after {lived}"))
        }
        Notice::MoreDied { deaths, last, over } => {
            let (how, over) = (without_hint(last), Span(over));
            (Level::Error, format!("{deaths} more ended abnormally in {over}; the last one {how}"))
        }
        Notice::Throttled { delay, returned } => {
            let what = if returned { "return from main_loop" } else { "end" };
            let delay = Span(delay);
            (
                Level::Warning,
                format!("children {what} before they have worked; the next one starts in {delay}"),
            )
        }
        Notice::ThrottleLifted => (Level::Info, "children work again".to_owned()),
        Notice::SpawnDelayed { delay, failures } => (
            Level::Error,
            format!("cannot start a child ({failures} in a row); next attempt in {}", Span(delay)),
        ),
        Notice::Crowded { alive } => (
            Level::Warning,
            format!(
                "no process can be had beside these {}: an old one leaves before a new one is started",
                Children(alive)
            ),
        ),
        Notice::SpawnRecovered { failures } => {
            (Level::Info, format!("children can be started again, after {failures} failures"))
        }
        Notice::AtMaximum { max_children, busy, waiting } => {
            let waiting = waiting.map(|n| format!(", {n} connections waiting")).unwrap_or_default();
            (
                Level::Warning,
                format!("max_children ({max_children}) reached: {busy} busy{waiting}; raise it?"),
            )
        }
        Notice::ClientsNoticedLate { interval, took, within } => (
            Level::Warning,
            format!(
                "clients that have gone are noticed within {}, later than netwatch_interval ({}) says: a look takes {}",
                Span(within),
                Span(interval),
                Span(took)
            ),
        ),
        Notice::Resized { prefork, max_children } => {
            (Level::Info, format!("prefork is now {prefork}, of at most {max_children}"))
        }
        Notice::ReadingSettings => (Level::Info, "reading the settings again".to_owned()),
        Notice::SettingsTimedOut { limit } => (
            Level::Error,
            format!(
                "reload refused: the settings were not read in {}; those in force stay, and no child is replaced",
                Span(limit)
            ),
        ),
        Notice::Reloading { generation } => {
            (Level::Info, format!("replacing all children by generation {generation}"))
        }
        Notice::Reloaded { generation, took, old } => {
            let rest = match old {
                0 => String::new(),
                1 => "; an old one finishes what it has in hand".to_owned(),
                old => format!("; {old} old ones finish what they have in hand"),
            };
            let took = Span(took);
            let text =
                format!("all children are of generation {generation} now, after {took}{rest}");
            (Level::Info, text)
        }
        Notice::OldLeft { took } => {
            (Level::Info, format!("the last old child has left, {} after that", Span(took)))
        }
        Notice::CutShort { child: ChildId { slot, pid }, asked, limit } => {
            let limit = match limit {
                Limit::Graceful => "graceful_timeout",
                Limit::Reload => "reload_timeout",
                Limit::Distrust => "as it is not trusted",
            };
            let asked = Span(asked);
            let text = format!(
                "child {pid} (slot {slot}) was asked to leave {asked} ago ({limit}), and is interrupted"
            );
            (Level::Warning, text)
        }
        Notice::ReloadFailed { generation, old } => (
            Level::Error,
            format!(
                "generation {generation} does not work, as its children end before they have worked; {} \
                 of the old generation stay",
                Children(old)
            ),
        ),
        Notice::Probing => (Level::Info, "trying the new program".to_owned()),
        Notice::ProbeTimedOut { limit } => (
            Level::Error,
            format!(
                "the new program is no good: it was not ready in {}; this one goes on",
                Span(limit)
            ),
        ),
        Notice::ProgramBusy { tried } => (
            Level::Error,
            format!(
                "the new program is no good: its file has been written to for {}; this one goes on",
                Span(tried)
            ),
        ),
        Notice::Upgrading => (Level::Info, "the new program works; becoming it".to_owned()),
        Notice::Hung { child: ChildId { slot, pid }, busy } => (
            Level::Error,
            format!("child {pid} (slot {slot}) has been at one request for {}", Span(busy)),
        ),
        Notice::StuckStarting { child: ChildId { slot, pid }, limit } => {
            (Level::Error, format!("child {pid} (slot {slot}) has not come up in {}", Span(limit)))
        }
        Notice::Lingers { child: ChildId { slot, pid } } => (
            Level::Error,
            format!("child {pid} (slot {slot}) was killed and is still there; nobody waits for it"),
        ),
        Notice::Flooding { child: ChildId { slot, pid } } => (
            Level::Error,
            format!("child {pid} (slot {slot}) does little but wake the parent; killed"),
        ),
        Notice::Implausible { child: ChildId { slot, pid }, claim } => {
            let what = match claim {
                Claim::Requests => "claims more requests than it can have answered",
                Claim::Times => "claims to have worked at a time at which that cannot have been",
                Claim::Nothing => "has not left a whole record in its page for some time",
            };
            let text = format!("child {pid} (slot {slot}) {what}; not believed, and retired");
            (Level::Error, text)
        }
        Notice::DescendantsLeft { left } => (
            Level::Error,
            format!(
                "processes that children had started could not be ended ({left}); leaving them behind"
            ),
        ),
        Notice::WaitingForHook { hook, left } => (
            Level::Warning,
            format!("waiting for {}, up to {}; SIGINT ends it", hook.name(), Span(left)),
        ),
        Notice::HookTimedOut { hook, limit } => (
            Level::Error,
            format!("{} has not returned in {}; not waiting any longer", hook.name(), Span(limit)),
        ),
        Notice::HookCutShort { hook } => {
            (Level::Warning, format!("{} is cut short, as asked", hook.name()))
        }
        Notice::Stopping { request, alive } => {
            let how = if request == Request::StopNow { "now" } else { "gracefully" };
            (Level::Info, format!("stopping {how}, with {}", Children(alive)))
        }
        Notice::Escalated { rung, alive } => {
            let alive = Children(alive);
            let what = match rung {
                Rung::Ask => "asked to leave",
                Rung::Interrupt => "interrupted (SIGINT)",
                Rung::Abort => "aborted (SIGABRT)",
                Rung::Kill => "killed (SIGKILL)",
            };
            (Level::Warning, format!("not gone yet: {alive}, now {what}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_told_with_a_hint() {
        let told = |exit| Ended(exit).to_string();
        assert_eq!(told(Exit::Code(3)), "exited with status 3");
        assert_eq!(told(Exit::Code(101)), "exited with status 101 (a panic)");
        assert_eq!(
            told(Exit::Signal { number: 9, core_dumped: false }),
            "was ended by SIGKILL (out of memory? see the kernel log)"
        );
        assert_eq!(
            told(Exit::Signal { number: 11, core_dumped: true }),
            "was ended by SIGSEGV (a crash) (core dumped)"
        );
        assert_eq!(told(Exit::Signal { number: 40, core_dumped: false }), "was ended by signal 40");
    }

    #[test]
    fn what_is_behind_a_kill_is_named() {
        let group = |limit| MemoryGroup {
            name: "memory.max of control group /pool".to_owned(),
            limit: Some(limit),
            refusals: 1,
        };
        let table = [
            (KillReason::Unknown, "; out of memory? see the kernel log"),
            (KillReason::NotMemory, ""),
            (
                KillReason::Group(group(64 << 20)),
                "; likely out of memory: memory.max of control group /pool is 64 MiB",
            ),
            (
                KillReason::Group(group(4096)),
                "; likely out of memory: memory.max of control group /pool is 4096 bytes",
            ),
            (
                KillReason::Elsewhere,
                "; likely out of memory: the machine, or a control group that cannot be seen from here",
            ),
        ];
        for (reason, words) in table {
            assert_eq!(Killed(reason).to_string(), words);
        }
    }

    #[test]
    fn spans_are_short() {
        let told = |ms| Span(Duration::from_millis(ms)).to_string();
        assert_eq!(
            [told(0), told(640), told(1000), told(1280), told(10_240)],
            ["0 ms", "640 ms", "1 s", "1.2 s", "10 s"]
        );
    }
}
