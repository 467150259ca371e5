//! Which messages the service manager gets, and when.
//!
//! A reload and an upgrade are both *reloading* to the manager, from their beginning to their end, good or
//! bad: `systemctl reload` waits for that. Both may be going on at once; ready is sent when none is left.

use std::{fmt, time::Duration};

use prefork_core::{Config, Pool, Progress, Time};

use crate::logs::describe::Children;

/// Something that the manager may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// The first children are about to be started.
    Starting,
    Ready,
    /// There is nobody to replace, and that is all there is to do about it.
    NothingToReload,
    /// A program in the same process serves again, without having to replace children.
    Back,
    /// What the supervisor shows.
    Progress(Progress),
}

/// How many children there may be, which stays true while the pool follows its load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Fixed {
        prefork: u32,
    },
    ByLoad {
        prefork: u32,
        max_children: u32,
    },
    /// Of several pools, so many.
    Pools {
        pools: usize,
    },
}

impl Size {
    pub(super) const fn of(config: &Config) -> Self {
        let (prefork, max_children) = (config.prefork(), config.max_children());
        match config.pool {
            Pool::Fixed => Self::Fixed { prefork },
            Pool::ByLoad(_) | Pool::OneShot(_) => Self::ByLoad { prefork, max_children },
        }
    }

    const fn resized(self, prefork: u32, max_children: u32) -> Self {
        match self {
            Self::Fixed { .. } => Self::Fixed { prefork },
            Self::ByLoad { .. } => Self::ByLoad { prefork, max_children },
            Self::Pools { .. } => self,
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
            Self::Pools { pools: 1 } => f.write_str("1 pool"),
            Self::Pools { pools } => write!(f, "{pools} pools"),
        }
    }
}

/// How the manager learns which process is the main one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum MainPid {
    /// In the foreground, where a shell may be in front of it.
    #[default]
    Reported,
    /// In the background, where the manager finds it by the pid file once the launcher has ended. Before that it is
    /// nobody's child that the manager knows: by a message, systemd would take it for a process of somebody else's, and
    /// kill all processes of the service at once when it is to stop (`service_set_main_pid`).
    Found,
}

/// What was sent so far, as far as it matters for what is to be sent.
#[derive(Clone, Debug)]
pub(super) struct Conversation {
    size: Size,
    /// What is wrong with pools, if anything.
    trouble: Option<String>,
    main_pid: MainPid,
    /// How long a stop may take.
    stop: Duration,
    is_serving: bool,
    /// Whether settings are being read.
    is_reading: bool,
    /// Whether they were read, and the children are about to be replaced.
    is_due: bool,
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
            trouble: None,
            main_pid: MainPid::Reported,
            stop,
            is_serving: false,
            is_reading: false,
            is_due: false,
            is_rolling: false,
            is_upgrading: false,
            is_stopping: false,
            is_in_place: false,
        }
    }

    /// Goes on where the old program has left off: it serves, and has begun an upgrade.
    pub(super) const fn in_place(size: Size) -> Self {
        let mut conversation = Self::new(size);
        conversation.is_serving = true;
        conversation.is_upgrading = true;
        conversation.is_in_place = true;
        conversation
    }

    pub(super) const fn with_main_pid(mut self, main_pid: MainPid) -> Self {
        self.main_pid = main_pid;
        self
    }

    pub(super) const fn with_stop(mut self, stop: Duration) -> Self {
        self.stop = stop;
        self
    }

    /// Notes how long a stop may take from now on.
    pub(super) const fn stop_takes(&mut self, stop: Duration) {
        self.stop = stop;
    }

    /// Notes what is wrong from now on; returns the message that follows from that, if any.
    pub(super) fn trouble(&mut self, text: Option<String>) -> Option<String> {
        self.trouble = text;
        (self.is_at_rest() && !self.is_stopping).then(|| status(&self.serving()))
    }

    /// Returns the message that follows from an occasion at `now`, if any.
    pub(super) fn answer(&mut self, occasion: Occasion, now: Time, pid: u32) -> Option<String> {
        if self.is_stopping {
            // A daemon that stops reports nothing else: any other status would hide it.
            return None;
        }
        let size = self.size;
        match occasion {
            Occasion::Starting => {
                Some(format!("{}{}", self.main_pid(pid), status(&format!("starting {size}"))))
            }
            Occasion::Ready => {
                self.is_serving = true;
                Some(self.ready(pid, &self.serving()))
            }
            Occasion::NothingToReload => {
                let ready = self.ready(pid, &self.serving());
                Some(format!("{}\n{ready}", reloading(now, "reloading")))
            }
            Occasion::Back if std::mem::take(&mut self.is_due) => {
                self.is_upgrading = false;
                self.ended(pid, &self.kept("the program that has read the settings did not work, the old ones stay in force"))
            }
            Occasion::Back => self.upgrade_refused(pid),
            Occasion::Progress(progress) => self.progress(progress, now, pid),
        }
    }

    fn progress(&mut self, progress: Progress, now: Time, pid: u32) -> Option<String> {
        match progress {
            Progress::ReadingSettings => {
                self.is_reading = true;
                Some(reloading(now, "reading the settings again"))
            }
            Progress::Reconfigured => {
                self.is_reading = false;
                self.is_due = true;
                None
            }
            Progress::SettingsRefused { .. } => {
                self.is_reading = false;
                self.ended(pid, &self.kept("the settings were refused, the old ones stay in force"))
            }
            Progress::Reloading => {
                let is_said = std::mem::take(&mut self.is_due);
                self.is_rolling = true;
                if std::mem::take(&mut self.is_in_place) {
                    // The rollout of a new program is the end of its upgrade.
                    self.is_upgrading = false;
                }
                let text = match self.size {
                    Size::Pools { .. } => "reloading all pools",
                    Size::Fixed { .. } | Size::ByLoad { .. } => "replacing all children",
                };
                Some(if is_said { status(text) } else { reloading(now, text) })
            }
            Progress::Reloaded => {
                self.is_rolling = false;
                self.ended(pid, &self.serving())
            }
            Progress::ReloadFailed { generation } => {
                self.is_rolling = false;
                let status =
                    format!("serving; generation {generation} did not work, old children stay");
                self.ended(pid, &status)
            }
            Progress::Probing => {
                self.is_upgrading = true;
                Some(reloading(now, "trying the new program"))
            }
            Progress::Upgrading => Some(status("becoming the new program")),
            Progress::UpgradeRefused { .. } => self.upgrade_refused(pid),
            Progress::Resized { prefork, max_children } => {
                self.size = self.size.resized(prefork, max_children);
                self.is_at_rest().then(|| status(&self.serving()))
            }
            Progress::Throttled => Some(status("children end before they have worked")),
            Progress::Unthrottled => self.is_at_rest().then(|| status(&self.serving())),
            Progress::Stopping => {
                self.is_stopping = true;
                let limit = self.stop.as_micros().min(u128::from(u64::MAX - 1));
                Some(format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={limit}\nSTATUS=stopping"))
            }
        }
    }

    fn upgrade_refused(&mut self, pid: u32) -> Option<String> {
        self.is_upgrading = false;
        self.ended(pid, &self.kept("the last upgrade was refused"))
    }

    const fn is_at_rest(&self) -> bool {
        let is_busy = self.is_reading || self.is_due || self.is_rolling || self.is_upgrading;
        self.is_serving && !is_busy
    }

    fn ended(&self, pid: u32, status: &str) -> Option<String> {
        self.is_at_rest().then(|| self.ready(pid, status))
    }

    fn ready(&self, pid: u32, text: &str) -> String {
        format!("READY=1\n{}{}", self.main_pid(pid), status(text))
    }

    /// Names the main process, where that is to be reported.
    fn main_pid(&self, pid: u32) -> String {
        match self.main_pid {
            MainPid::Reported => format!("MAINPID={pid}\n"),
            MainPid::Found => String::new(),
        }
    }

    fn serving(&self) -> String {
        self.with_trouble(format!("serving, {}", self.size))
    }

    /// That it serves as before, and why.
    fn kept(&self, why: &str) -> String {
        self.with_trouble(format!("serving; {why}"))
    }

    fn with_trouble(&self, text: String) -> String {
        match &self.trouble {
            Some(trouble) => format!("{text}; {trouble}"),
            None => text,
        }
    }
}

/// With the time at which it was sent, by which the manager distinguishes the answer to its own request from others.
fn reloading(now: Time, text: &str) -> String {
    let now = now.since_origin().as_micros();
    format!("RELOADING=1\nMONOTONIC_USEC={now}\n{}", status(text))
}

fn status(text: &str) -> String {
    format!("STATUS={text}")
}

#[cfg(test)]
mod tests;
