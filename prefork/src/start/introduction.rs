//! What a daemon is and has, in one line: what somebody who reads its log wants to know first.

use std::{
    fmt::{self, Display},
    path::Path,
};

use prefork_core::one_line;
use rustix::process::geteuid;

use crate::{
    args::check::{Settings, Users},
    args::defaults,
    logs::describe::{Bytes, Children, Span},
    program::Invocation,
    sockets::listeners::Listeners,
};

/// Stands in the first line of a program's log: `hello 0.1.0: program /usr/bin/hello; settings /etc/hello.toml; listening
/// on 0.0.0.0:8080; 4 to 32 children as www-data; request_timeout 60 s`.
pub(crate) struct Introduction<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) users: &'a Users,
    pub(crate) invocation: Option<&'a Invocation>,
    pub(crate) listeners: &'a Listeners,
}

impl Display for Introduction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { settings, .. } = self;
        f.write_str(&settings.name)?;
        if let Some(version) = &settings.version {
            write!(f, " {version}")?;
        }
        write!(f, " on prefork {}", env!("CARGO_PKG_VERSION"))?;
        let running = self.invocation.map(|invocation| one_line(invocation.running()));
        match (&settings.in_force.runs, running) {
            (Some(runs), Some(running)) => write!(f, ": program {runs}, run by {running}")?,
            (Some(runs), None) => write!(f, ": program {runs}")?,
            (None, Some(running)) => write!(f, ": program {running}")?,
            (None, None) => {}
        }
        let files = settings.in_force.files.iter().map(|file| self.absolute(&file.path));
        list(f, "settings ", &files.collect::<Vec<_>>())?;
        let sockets = self.listeners.iter().filter(|listening| !listening.is_between_pools());
        let names = sockets.map(|listening| prefork_sockets::name(&listening.socket));
        list(f, "listening on ", &names.collect::<Vec<_>>())?;
        let pools = settings.hands_to.iter().map(|pool| one_line(pool).to_string());
        list(f, "handing connections to ", &pools.collect::<Vec<_>>())?;
        write!(f, "; {}{}", self.size(), self.user())?;
        list(f, "", &self.limits())?;
        let layers = self.users.layers.report();
        if layers.is_empty() { Ok(()) } else { write!(f, "; isolation: {layers}") }
    }
}

impl Introduction<'_> {
    fn absolute(&self, path: &Path) -> String {
        let directory = self.settings.directory.as_deref().unwrap_or(Path::new(""));
        one_line(&directory.join(path)).to_string()
    }

    fn size(&self) -> String {
        let live = &self.settings.in_force.live;
        // Without a scoreboard it cannot grow.
        let grows = self.settings.scoreboard.is_some() && live.prefork < live.max_children;
        match live.prefork {
            0 => "no children".to_owned(),
            least if grows => format!("{least} to {} children", live.max_children),
            least => Children(least as usize).to_string(),
        }
    }

    fn user(&self) -> String {
        match &self.users.named {
            Some(named) => format!(" as {}", one_line(named)),
            None => format!(" as uid {}", geteuid().as_raw()),
        }
    }

    /// The limits that were set.
    fn limits(&self) -> Vec<String> {
        let live = &self.settings.in_force.live;
        let times = [
            ("request_timeout", live.request_timeout),
            ("max_lifetime", live.max_lifetime),
            ("reload_timeout", live.reload_timeout),
            ("graceful_timeout", Some(live.graceful_timeout)),
            ("calm_time", Some(live.calm_time).filter(|calm| *calm != defaults::CALM_TIME)),
            ("retire_pace", Some(live.retire_pace).filter(|pace| *pace != defaults::RETIRE_PACE)),
        ];
        let times = times
            .into_iter()
            .filter_map(|(name, time)| time.map(|time| format!("{name} {}", Span(time))));
        let requests = live.max_requests.map(|requests| format!("max_requests {requests}"));
        let counts = [
            ("min_spare", Some(live.min_spare).filter(|spare| *spare != defaults::MIN_SPARE)),
            ("max_spare", live.max_spare),
            ("spawn_step", Some(live.spawn_step).filter(|step| *step != defaults::SPAWN_STEP)),
        ];
        let counts = counts
            .into_iter()
            .filter_map(|(name, count)| count.map(|count| format!("{name} {count}")));
        let memory = [("max_memory", live.max_memory), ("memory_limit", live.memory_limit)];
        let memory = memory
            .into_iter()
            .filter_map(|(name, memory)| memory.map(|memory| format!("{name} {}", Bytes(memory))));
        times.chain(requests).chain(memory).chain(counts).collect()
    }
}

fn list(f: &mut fmt::Formatter<'_>, what: &str, parts: &[String]) -> fmt::Result {
    if parts.is_empty() { Ok(()) } else { write!(f, "; {what}{}", parts.join(", ")) }
}
