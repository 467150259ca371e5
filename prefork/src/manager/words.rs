//! What the service manager is told, and when.
//!
//! A reload and an upgrade are both *reloading* to the manager, from their beginning to their end, good or
//! bad: `systemctl reload` waits for that. Both may be going on at once; ready is said when none is left.

use std::{fmt, time::Duration};

use prefork_core::{Config, Generation, Notice, Pool, Time};

use crate::describe::Children;

/// Something that the manager may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// The first children are about to be started.
    Starting,
    Ready,
    /// Children are about to be replaced, and have been or not.
    Reloading,
    Reloaded,
    ReloadFailed {
        generation: Generation,
    },
    /// There is nobody to replace, and that is all there is to do about it.
    NothingToReload,
    /// A new program is being tried, and is about to be executed, or not.
    Probing,
    Upgrading,
    UpgradeRefused,
    /// A program in the same process serves again, without having to replace children.
    Back,
    Resized {
        prefork: u32,
        max_children: u32,
    },
    Throttled,
    Unthrottled,
    Stopping,
}

impl Occasion {
    /// Returns what a supervisor's notice is to the manager, if it is anything.
    pub(super) const fn of(notice: Notice) -> Option<Self> {
        match notice {
            Notice::Reloading { .. } => Some(Self::Reloading),
            Notice::Reloaded { .. } => Some(Self::Reloaded),
            Notice::ReloadFailed { generation, .. } => Some(Self::ReloadFailed { generation }),
            Notice::Probing => Some(Self::Probing),
            Notice::ProbeTimedOut { .. } | Notice::ProgramBusy { .. } => Some(Self::UpgradeRefused),
            Notice::Upgrading => Some(Self::Upgrading),
            Notice::Resized { prefork, max_children } => {
                Some(Self::Resized { prefork, max_children })
            }
            Notice::Throttled { .. } => Some(Self::Throttled),
            Notice::ThrottleLifted => Some(Self::Unthrottled),
            Notice::Stopping { .. } => Some(Self::Stopping),
            Notice::DiedAbnormally { .. }
            | Notice::SpawnDelayed { .. }
            | Notice::SpawnRecovered { .. }
            | Notice::Crowded { .. }
            | Notice::OldLeft { .. }
            | Notice::CutShort { .. }
            | Notice::AtMaximum { .. }
            | Notice::Hung { .. }
            | Notice::StuckStarting { .. }
            | Notice::Lingers { .. }
            | Notice::Flooding { .. }
            | Notice::Implausible { .. }
            | Notice::DescendantsLeft { .. }
            | Notice::WaitingForHook { .. }
            | Notice::HookTimedOut { .. }
            | Notice::HookCutShort { .. }
            | Notice::Escalated { .. } => None,
        }
    }
}

/// How many children there may be, which stays true while the pool follows its load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Fixed { prefork: u32 },
    ByLoad { prefork: u32, max_children: u32 },
}

impl Size {
    pub(super) const fn of(config: &Config) -> Self {
        let (prefork, max_children) = (config.prefork(), config.max_children());
        match config.pool {
            Pool::Fixed => Self::Fixed { prefork },
            Pool::ByLoad { .. } => Self::ByLoad { prefork, max_children },
        }
    }

    const fn resized(self, prefork: u32, max_children: u32) -> Self {
        match self {
            Self::Fixed { .. } => Self::Fixed { prefork },
            Self::ByLoad { .. } => Self::ByLoad { prefork, max_children },
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Fixed { prefork } => Children(prefork as usize).fmt(f),
            Self::ByLoad { prefork, max_children } if prefork == max_children => {
                Children(prefork as usize).fmt(f)
            }
            Self::ByLoad { prefork, max_children } => {
                write!(f, "{prefork} to {max_children} children")
            }
        }
    }
}

/// What has been said so far, as far as it matters for what is to be said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conversation {
    size: Size,
    /// How long a stop may take.
    stop: Duration,
    is_serving: bool,
    is_rolling: bool,
    is_upgrading: bool,
    is_stopping: bool,
    /// Whether the upgrade that goes on has led to this very program.
    is_in_place: bool,
}

impl Conversation {
    pub(super) const fn new(size: Size) -> Self {
        let stop = Duration::ZERO;
        Self {
            size,
            stop,
            is_serving: false,
            is_rolling: false,
            is_upgrading: false,
            is_stopping: false,
            is_in_place: false,
        }
    }

    /// Goes on where a program of before has left off: it serves, and has begun an upgrade.
    pub(super) const fn in_place(size: Size) -> Self {
        let mut conversation = Self::new(size);
        conversation.is_serving = true;
        conversation.is_upgrading = true;
        conversation.is_in_place = true;
        conversation
    }

    pub(super) const fn with_stop(mut self, stop: Duration) -> Self {
        self.stop = stop;
        self
    }

    /// Returns the message that follows from an occasion at `now`, if any.
    pub(super) fn hear(&mut self, occasion: Occasion, now: Time, pid: u32) -> Option<String> {
        if self.is_stopping {
            // Who stops has nothing else to say: any other status would hide it.
            return None;
        }
        let size = self.size;
        match occasion {
            Occasion::Starting => Some(format!("MAINPID={pid}\nSTATUS=starting {size}")),
            Occasion::Ready => {
                self.is_serving = true;
                Some(ready(pid, &self.serving()))
            }
            Occasion::Reloading => {
                self.is_rolling = true;
                if std::mem::take(&mut self.is_in_place) {
                    // The roll of a new program is the end of its upgrade.
                    self.is_upgrading = false;
                }
                Some(reloading(now, "replacing all children"))
            }
            Occasion::Reloaded => {
                self.is_rolling = false;
                self.ended(pid, &self.serving())
            }
            Occasion::ReloadFailed { generation } => {
                self.is_rolling = false;
                let status =
                    format!("serving; generation {generation} did not work, old children stay");
                self.ended(pid, &status)
            }
            Occasion::NothingToReload => {
                Some(format!("{}\n{}", reloading(now, "reloading"), ready(pid, &self.serving())))
            }
            Occasion::Probing => {
                self.is_upgrading = true;
                Some(reloading(now, "trying the new program"))
            }
            Occasion::Upgrading => Some(status("becoming the new program")),
            Occasion::UpgradeRefused | Occasion::Back => {
                self.is_upgrading = false;
                self.ended(pid, "serving; the new program was no good")
            }
            Occasion::Resized { prefork, max_children } => {
                self.size = self.size.resized(prefork, max_children);
                self.is_at_rest().then(|| status(&self.serving()))
            }
            Occasion::Throttled => Some(status("children end before they have worked")),
            Occasion::Unthrottled => self.is_at_rest().then(|| status(&self.serving())),
            Occasion::Stopping => {
                self.is_stopping = true;
                let limit = self.stop.as_micros().min(u128::from(u64::MAX - 1));
                Some(format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={limit}\nSTATUS=stopping"))
            }
        }
    }

    const fn is_at_rest(self) -> bool {
        self.is_serving && !self.is_rolling && !self.is_upgrading
    }

    fn ended(self, pid: u32, status: &str) -> Option<String> {
        self.is_at_rest().then(|| ready(pid, status))
    }

    fn serving(self) -> String {
        format!("serving, {}", self.size)
    }
}

fn ready(pid: u32, text: &str) -> String {
    format!("READY=1\nMAINPID={pid}\n{}", status(text))
}

/// With the time at which it was said, by which the manager tells the answer to its own request from others.
fn reloading(now: Time, text: &str) -> String {
    let now = now.since_origin().as_micros();
    format!("RELOADING=1\nMONOTONIC_USEC={now}\n{}", status(text))
}

fn status(text: &str) -> String {
    format!("STATUS={text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::after_origin(Duration::from_micros(1_234_567));

    fn conversation() -> Conversation {
        Conversation::new(Size::Fixed { prefork: 3 }).with_stop(Duration::from_secs(41))
    }

    fn serving() -> Conversation {
        let mut conversation = conversation();
        conversation.hear(Occasion::Ready, NOW, 7);
        conversation
    }

    /// The messages that follow, one a line, parts joined by spaces.
    fn said<const N: usize>(
        mut conversation: Conversation,
        occasions: [Occasion; N],
    ) -> [String; N] {
        occasions.map(|occasion| {
            conversation.hear(occasion, NOW, 7).unwrap_or_default().replace('\n', " ")
        })
    }

    #[test]
    fn a_life_without_trouble() {
        let life = [
            Occasion::Starting,
            Occasion::Ready,
            Occasion::Reloading,
            Occasion::Reloaded,
            Occasion::Stopping,
            Occasion::Stopping,
        ];
        assert_eq!(
            said(conversation(), life),
            [
                "MAINPID=7 STATUS=starting 3 children",
                "READY=1 MAINPID=7 STATUS=serving, 3 children",
                "RELOADING=1 MONOTONIC_USEC=1234567 STATUS=replacing all children",
                "READY=1 MAINPID=7 STATUS=serving, 3 children",
                "STOPPING=1 EXTEND_TIMEOUT_USEC=41000000 STATUS=stopping",
                "",
            ]
        );
    }

    #[test]
    fn ready_is_said_when_neither_reload_nor_upgrade_is_left() {
        let ready = "READY=1 MAINPID=7 STATUS=serving; the new program was no good";
        let [probing, reloading, reloaded, refused] = said(
            serving(),
            [
                Occasion::Probing,
                Occasion::Reloading,
                Occasion::ReloadFailed { generation: Generation(2) },
                Occasion::UpgradeRefused,
            ],
        );
        assert!(probing.starts_with("RELOADING=1 MONOTONIC_USEC="), "{probing}");
        assert!(reloading.starts_with("RELOADING=1 MONOTONIC_USEC="), "{reloading}");
        // The end of the roll is not that of the upgrade.
        assert!(reloaded.is_empty(), "{reloaded}");
        assert_eq!(refused, ready);
    }

    #[test]
    fn a_program_that_goes_on_in_place_ends_the_upgrade() {
        let size = Size::Fixed { prefork: 1 };
        let [_, reloaded] =
            said(Conversation::in_place(size), [Occasion::Reloading, Occasion::Reloaded]);
        assert_eq!(reloaded, "READY=1 MAINPID=7 STATUS=serving, 1 child");
        let [back] = said(Conversation::in_place(size), [Occasion::Back]);
        assert!(back.starts_with("READY=1"), "{back}");
    }

    #[test]
    fn a_failed_reload_is_over_too() {
        let [_, failed] = said(
            serving(),
            [Occasion::Reloading, Occasion::ReloadFailed { generation: Generation(2) }],
        );
        assert_eq!(
            failed,
            "READY=1 MAINPID=7 STATUS=serving; generation 2 did not work, old children stay"
        );
    }

    #[test]
    fn where_there_is_nobody_to_reload_it_is_over_at_once() {
        let [both] = said(serving(), [Occasion::NothingToReload]);
        let parts: Vec<_> = both.split(' ').filter(|part| part.contains("=1")).collect();
        assert_eq!(parts, ["RELOADING=1", "MONOTONIC_USEC=1234567", "READY=1"]);
    }

    #[test]
    fn the_status_tells_a_size_that_stays_true() {
        let size = Size::ByLoad { prefork: 3, max_children: 150 };
        let resized = Occasion::Resized { prefork: 4, max_children: 150 };
        let messages = said(Conversation::new(size), [Occasion::Ready, resized]);
        assert_eq!(
            messages,
            [
                "READY=1 MAINPID=7 STATUS=serving, 3 to 150 children",
                "STATUS=serving, 4 to 150 children"
            ]
        );
    }

    #[test]
    fn a_stop_without_limit_is_a_number_all_the_same() {
        let mut conversation = conversation().with_stop(Duration::MAX);
        let message = conversation.hear(Occasion::Stopping, NOW, 7).expect("said");
        assert!(message.contains(&format!("={}\n", u64::MAX - 1)), "{message}");
    }
}
