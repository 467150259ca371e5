//! The settings in force, and what others that are read while the daemon serves change.
//!
//! # Problem
//!
//! A reload is to apply what its file of settings says by then, under the same command line. Only the program knows how
//! one goes before the other, and that is code which runs before the daemon.
//!
//! # Idea
//!
//! The running program is executed once more, in a *settings process* (`upgrade/reading.rs`). It makes its arguments as
//! at a start, up to [`run`](crate::Prefork::run), and reports what they amount to: [`InForce`]. So precedence, and what a
//! setting is that is not there any more, are those of a start, and whatever can hang or be wrong is so in a process that
//! the parent does not wait for.
//!
//! What can change while the daemon serves is reported by value, and of the rest only what distinguishes it from another value.

use std::{borrow::Cow, fmt::Display, time::Duration};

use prefork_core::one_line;
use serde::{Deserialize, Serialize};

use super::{ReadFile, own};
use crate::{
    LogLevel, OnChange, OnDisconnect,
    args::{Applied, Data, Settings, fingerprint},
    child::OwnSetting,
    disconnect,
    logs::describe::Span,
    program,
};

/// The settings that a daemon has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InForce {
    pub(crate) live: Live,
    pub(crate) fixed: Fixed,
    /// Whether each child serves one client.
    pub(crate) is_one_shot: bool,
    pub(crate) files: Vec<ReadFile>,
    /// Those of the program's own.
    pub(crate) own: Vec<OwnSetting>,
    /// What the children run, where that is another program; safe for a terminal.
    #[serde(default)]
    pub(crate) runs: Option<String>,
}

/// The settings that no reload changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fixed {
    /// What stands for each, in the order of [`fixed_keys`].
    keys: Vec<u64>,
    /// What stands for the list of watched files, which is no setting, but may be of a file as well.
    watch_list: u64,
    drops_parent: bool,
}

impl Fixed {
    /// Takes down what was given; a default that is spelt out is none the less the default.
    pub(crate) fn of(given: &Data) -> Self {
        let keys = fixed_keys(&given.settings.clone().or_defaults());
        Self {
            keys: keys.map(|(_, _, value)| value).collect(),
            watch_list: fingerprint(&given.auto_reload_watch),
            drops_parent: given.settings.drop_parent == Some(true),
        }
    }
}

/// Those that no reload changes, each with what does and what stands for its value.
fn fixed_keys(settings: &Settings) -> impl Iterator<Item = (&'static str, Applied, u64)> + use<> {
    settings.keys().into_iter().filter(|(_, applied, _)| *applied != Applied::Reload)
}

/// What other settings change.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// What is in force from now on: a name, what it is, and what it was.
    pub(crate) applied: Vec<String>,
    /// The names of those that need an upgrade.
    pub(crate) by_upgrade: Vec<Cow<'static, str>>,
    /// The names of those that need a restart.
    pub(crate) by_restart: Vec<Cow<'static, str>>,
    /// The files that say something else than when they were last read.
    pub(crate) files: Vec<ReadFile>,
}

impl InForce {
    /// Returns the paths of the files that were read, safe for a terminal.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.files.iter().map(|file| one_line(&file.path).to_string()).collect()
    }

    /// Goes on with what can be changed of what was `read`; returns what has become of all that is another than before.
    pub(crate) fn change(&mut self, read: Self) -> Held {
        let mut held = Held::default();
        let values = self.fixed.keys.iter().zip(&read.fixed.keys);
        let keys = fixed_keys(&Settings::default()).zip(values);
        for ((name, applied, _), (before, after)) in keys {
            match applied {
                Applied::Upgrade if before != after => held.by_upgrade.push(name.into()),
                Applied::Restart if before != after => held.by_restart.push(name.into()),
                Applied::Reload | Applied::Upgrade | Applied::Restart => {}
            }
        }
        if self.fixed.watch_list != read.fixed.watch_list {
            held.by_upgrade.push("auto_reload_watch".into());
        }
        let mut live = read.live;
        live.leave(&self.live, self.fixed.drops_parent, &mut held);
        held.applied = live.differences(&self.live);
        self.live = live;
        // A program that declares its own settings has them named instead.
        if read.own.is_empty() {
            let other = read.files.iter().filter(|file| !self.files.contains(file));
            held.files = other.cloned().collect();
        }
        own::change(&mut self.own, &read.own, &mut held);
        self.runs = read.runs;
        held
    }
}

/// Makes the struct, and what compares two of them.
macro_rules! live {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        /// The settings that a reload applies, with their defaults filled in.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub(crate) struct Live {
            $($(#[$doc])* pub(crate) $name: $type,)*
        }

        impl Live {
            /// The names.
            #[cfg(test)]
            const KEYS: &[&str] = &[$(stringify!($name)),*];

            /// Says of each that differs what it is, and what it was.
            fn differences(&self, before: &Self) -> Vec<String> {
                let mut differences = Vec::new();
                $(if self.$name != before.$name {
                    let (name, now, was) = (stringify!($name), self.$name.shown(), before.$name.shown());
                    differences.push(format!("{name} {now}, was {was}"));
                })*
                differences
            }
        }
    };
}

live! {
    prefork: u32,
    max_children: u32,
    min_spare: u32,
    queue_target: Option<Duration>,
    max_spare: Option<u32>,
    spawn_step: u32,
    calm_time: Duration,
    retire_pace: Duration,
    max_surge: u32,
    concurrency: u32,
    watch_processors: bool,
    queue_time: bool,
    queue_limit: Option<Duration>,
    queue_interval: Option<Duration>,
    max_requests: Option<u64>,
    max_lifetime: Option<Duration>,
    max_memory: Option<u64>,
    memory_limit: Option<u64>,
    request_timeout: Option<Duration>,
    start_timeout: Duration,
    graceful_timeout: Duration,
    reload_timeout: Option<Duration>,
    hook_timeout: Duration,
    demand_every: Duration,
    auto_reload_check_every: Option<Duration>,
    auto_reload_handler: Reaction,
    on_client_disconnect: Reaction,
    netwatch_interval: Option<Duration>,
    umask: Option<Mask>,
    no_new_privs: bool,
    rlimit_nofile: Option<u64>,
    log_level: LogLevel,
}

impl Live {
    /// Leaves what it was before what needs more than a reload after all, and notes that.
    fn leave(&mut self, before: &Self, drops_parent: bool, held: &mut Held) {
        // There is nothing that watches, or something that is to end.
        if self.auto_reload_check_every.is_some() != before.auto_reload_check_every.is_some() {
            self.auto_reload_check_every = before.auto_reload_check_every;
            held.by_upgrade.push("auto_reload_check_every".into());
        }
        for (name, now, was) in [
            ("auto_reload_handler", &mut self.auto_reload_handler, before.auto_reload_handler),
            ("on_client_disconnect", &mut self.on_client_disconnect, before.on_client_disconnect),
        ] {
            if *now != was && !(now.is_data() && was.is_data()) {
                *now = was;
                held.by_upgrade.push(name.into());
            }
        }
        if self.netwatch_interval.is_some() != before.netwatch_interval.is_some() {
            self.netwatch_interval = before.netwatch_interval;
        }
        // A parent that has become what its children are has nothing else to give.
        if drops_parent {
            if self.umask != before.umask {
                self.umask = before.umask;
                held.by_restart.push("umask".into());
            }
            if self.no_new_privs != before.no_new_privs {
                self.no_new_privs = before.no_new_privs;
                held.by_restart.push("no_new_privs".into());
            }
            if self.rlimit_nofile != before.rlimit_nofile {
                self.rlimit_nofile = before.rlimit_nofile;
                held.by_restart.push("rlimit_nofile".into());
            }
        }
    }
}

/// What is done when files have changed, or a client has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reaction {
    /// Nobody looks.
    Unset,
    Upgrade,
    Reload,
    Cancel,
    Nothing,
    /// What code of the program returns.
    Code,
}

impl Reaction {
    pub(crate) fn to_changes(handler: Option<&program::Handler>) -> Self {
        match handler.map(|handler| &handler.0) {
            None => Self::Unset,
            Some(program::Kind::Always(OnChange::Upgrade)) => Self::Upgrade,
            Some(program::Kind::Always(OnChange::Reload)) => Self::Reload,
            Some(program::Kind::Always(OnChange::Nothing)) => Self::Nothing,
            Some(program::Kind::Asked(_)) => Self::Code,
        }
    }

    pub(crate) fn to_disconnects(handler: Option<&disconnect::Handler>) -> Self {
        match handler.map(|handler| &handler.0) {
            None => Self::Unset,
            Some(disconnect::Kind::Always(OnDisconnect::Cancel)) => Self::Cancel,
            Some(disconnect::Kind::Always(OnDisconnect::Nothing)) => Self::Nothing,
            Some(disconnect::Kind::Asked(_)) => Self::Code,
        }
    }

    /// What is to be done when files have changed, if that is data.
    pub(crate) const fn on_change(self) -> Option<OnChange> {
        match self {
            Self::Upgrade => Some(OnChange::Upgrade),
            Self::Reload => Some(OnChange::Reload),
            Self::Nothing => Some(OnChange::Nothing),
            Self::Unset | Self::Cancel | Self::Code => None,
        }
    }

    /// What is to be done when a client has gone, if that is data.
    pub(crate) const fn on_disconnect(self) -> Option<OnDisconnect> {
        match self {
            Self::Cancel => Some(OnDisconnect::Cancel),
            Self::Nothing => Some(OnDisconnect::Nothing),
            Self::Unset | Self::Upgrade | Self::Reload | Self::Code => None,
        }
    }

    const fn is_data(self) -> bool {
        match self {
            Self::Upgrade | Self::Reload | Self::Cancel | Self::Nothing => true,
            Self::Unset | Self::Code => false,
        }
    }
}

/// A file mode creation mask, which people know in octal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mask(pub(crate) u32);

/// A value as it is shown in the log.
trait Shown {
    fn shown(&self) -> String;
}

macro_rules! shown_as_it_is {
    ($($type:ty),*) => {$(
        impl Shown for $type {
            fn shown(&self) -> String {
                let value: &dyn Display = self;
                value.to_string()
            }
        }
    )*};
}

shown_as_it_is!(u32, u64, bool);

impl Shown for Duration {
    fn shown(&self) -> String {
        Span(*self).to_string()
    }
}

impl Shown for Mask {
    fn shown(&self) -> String {
        format!("{:03o}", self.0)
    }
}

impl<T: Shown> Shown for Option<T> {
    fn shown(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), Shown::shown)
    }
}

impl Shown for LogLevel {
    fn shown(&self) -> String {
        self.name().to_owned()
    }
}

impl Shown for Reaction {
    fn shown(&self) -> String {
        let text = match self {
            Self::Unset => "none",
            Self::Upgrade => "upgrade",
            Self::Reload => "reload",
            Self::Cancel => "cancel",
            Self::Nothing => "nothing",
            Self::Code => "code of the program",
        };
        text.to_owned()
    }
}

#[cfg(test)]
mod tests;
