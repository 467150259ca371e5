//! The settings, described for a command line.

use crate::Settings;

/// A setting, as a command line describes it.
///
/// # Examples
///
/// ```
/// use prefork::Settings;
///
/// let prefork = Settings::list().iter().find(|setting| setting.name == "prefork").expect("it is one");
/// assert_eq!((prefork.flag().as_str(), prefork.value), ("prefork", Some("N")));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setting {
    /// Its name, as that of the method of [`Args`](crate::Args): `max_children`.
    pub name: &'static str,
    /// What stands for its value in a help text: `N`, `TIME`; `None` where that is true or false.
    pub value: Option<&'static str>,
    /// What it is, in one line, with its default.
    pub help: &'static str,
}

impl Setting {
    /// Returns its name in kebab case, as [`Settings::from_flags`] takes it: `max-children`.
    #[must_use]
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }
}

impl Settings {
    /// Returns all settings, so that a command line can have a flag for each without a list of its own.
    #[must_use]
    pub const fn list() -> &'static [Setting] {
        LIST
    }
}

const fn with(name: &'static str, value: &'static str, help: &'static str) -> Setting {
    Setting { name, value: Some(value), help }
}

const fn switch(name: &'static str, help: &'static str) -> Setting {
    Setting { name, value: None, help }
}

/// In the order of the arguments.
const LIST: &[Setting] = &[
    with("name", "NAME", "Name of the daemon, in ps and in its log [default: that of the program]"),
    switch("require_root", "Refuse to start when not root"),
    switch("daemonize", "Go to the background; needs a pid file and logs"),
    with("error_log_path", "FILE", "File for the daemon's own messages [default: standard error]"),
    with("access_log_path", "FILE", "File for the access log"),
    with("pid_path", "FILE", "File that holds the parent's pid"),
    with("scoreboard_path", "FILE", "File in which children report what they are doing"),
    switch("scoreboard_in_memory", "Follow the load without a file that shows what children do"),
    with(
        "status_listen",
        "ADDR",
        "Where to show what the daemon does: a loopback ADDR:PORT, or the path of a socket",
    ),
    with(
        "metrics_listen",
        "ADDR",
        "Where everybody may ask for /metrics, /ready and /live: any ADDR:PORT, or the path of a socket",
    ),
    with("prefork", "N", "Number of children to start with and come back to [default: 3]"),
    with(
        "max_children",
        "N",
        "Number of children that is never exceeded; to grow, the pool needs a scoreboard [default: 150]",
    ),
    with("min_spare", "N", "Number of children that should be waiting for work [default: 1]"),
    with(
        "queue_target",
        "TIME",
        "Time that clients may wait before there are more children [default: none, by --min-spare]",
    ),
    with(
        "max_spare",
        "N",
        "Number of waiting children that are not too many [default: any, for --calm-time]",
    ),
    with("spawn_step", "N", "Number of children that may be started at once [default: 64]"),
    switch(
        "watch_processors",
        "Start no more children than processors while those at work compute; needs a scoreboard",
    ),
    with(
        "calm_time",
        "TIME",
        "Time after which children that were not needed are retired [default: 10s]",
    ),
    with("retire_pace", "TIME", "Time between two steps of a pool that shrinks [default: 1s]"),
    with(
        "sleep_after",
        "TIME",
        "Time without work after which one of several pools, with prefork 0, ends until a client comes [default: 10s]",
    ),
    with(
        "max_surge",
        "N",
        "Number of children that may be replaced at a time [default: a quarter of --prefork]",
    ),
    with(
        "concurrency",
        "N",
        "Number of requests that one child can have in hand at once [default: 1]",
    ),
    switch("one_shot", "Have each child serve one client and end"),
    switch(
        "queue_time",
        "Measure how long clients have waited when their connections are accepted",
    ),
    with(
        "queue_limit",
        "TIME",
        "Time that a client may have waited while the queue stays; others are refused [default: any]",
    ),
    with(
        "queue_interval",
        "TIME",
        "Time for which all must have waited longer than --queue-limit before any is refused [default: the same]",
    ),
    with("max_requests", "N", "Number of requests after which a child is replaced, about"),
    with("max_lifetime", "TIME", "Time after which a child is replaced, about"),
    with("max_memory", "BYTES", "Resident memory above which a child is replaced"),
    with(
        "child_memory_limit",
        "BYTES",
        "Memory that one child may have with all that it starts, by a control group or RLIMIT_DATA",
    ),
    with(
        "child_process_limit",
        "N",
        "Processes and threads that one child may have with all that it starts, by a control group",
    ),
    with(
        "memory_limit",
        "BYTES",
        "Memory below which the pool is kept [default: the limit of its control groups]; needs a scoreboard",
    ),
    with(
        "request_timeout",
        "TIME",
        "Time after which a child that is at one request is ended; needs a scoreboard",
    ),
    with("start_timeout", "TIME", "Time that the start of a child may take [default: 60s]"),
    with(
        "graceful_timeout",
        "TIME",
        "Time that children may take to finish their requests when stopping [default: 30s]",
    ),
    with(
        "reload_timeout",
        "TIME",
        "Time that a child may take to finish its request when it is replaced [default: as long as it takes]",
    ),
    with("hook_timeout", "TIME", "Time that one call of a hook may take [default: 30s]"),
    with("demand_every", "TIME", "Time between two questions how many jobs wait [default: 1s]"),
    with(
        "auto_reload_check_every",
        "TIME",
        "Time between two looks at the files that are watched, where the kernel reports no changes",
    ),
    with(
        "auto_reload_handler",
        "WHAT",
        "What is done when watched files have changed: upgrade, reload or nothing",
    ),
    with(
        "on_client_disconnect",
        "WHAT",
        "What is done when a client has gone: cancel or nothing; needs a scoreboard",
    ),
    with("netwatch_interval", "TIME", "Time between two looks at clients [default: 2s]"),
    with("user", "USER", "User that the children run as"),
    with("group", "GROUP", "Group that the children run as [default: that of the user]"),
    with(
        "supplementary_groups",
        "GROUPS",
        "Other groups of the children, separated by commas [default: those of the user]",
    ),
    with("umask", "MASK", "File mode creation mask of the children, in octal"),
    switch("no_new_privs", "Keep the children from gaining privileges by executing programs"),
    with("rlimit_nofile", "N", "Number of descriptors that a child may have"),
    with(
        "isolate",
        "LAYERS",
        "What keeps children from harming one another, separated by commas: siblings, and others",
    ),
    with(
        "log_level",
        "LEVEL",
        "Which of the daemon's own messages are logged: error, warn, info or debug [default: info]",
    ),
    switch("drop_parent", "Make the parent what its children are once it listens; needs --user"),
    switch("keep_descendants", "Let what children have started live on when these have ended"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_described_once_in_one_line() {
        let names: Vec<_> = LIST.iter().map(|setting| setting.name).collect();
        assert_eq!(names, Settings::KEYS);
        for Setting { name, help, .. } in LIST {
            assert!(!help.is_empty() && !help.contains('\n') && !help.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn a_switch_is_what_is_true_or_false() {
        for setting in LIST {
            let settings = Settings::from_flags([(setting.name, "true")]);
            let shown = settings.shown().into_iter().find(|(name, ..)| *name == setting.name);
            let is_switch = shown.is_some_and(|(_, value, _)| value.as_deref() == Some("true"));
            assert_eq!(setting.value.is_none(), is_switch, "{}", setting.name);
        }
    }
}
