//! Messages about what the daemon is asked for: signals, settings, reload, upgrade, stop.

use std::fmt::{self, Display};

use prefork_core::Generation;

use super::messages;
use crate::logs::describe::{Children, Span};

messages! {
    /// About what the daemon is asked for, and what becomes of that.
    ChangeMessage<'a>

    Info Starting { daemon: &'a dyn Display } => "starting {daemon}";
    Error NotStarted { error: &'a dyn Display } => "cannot start: {error}";
    Warn Misspelt { warning: &'a dyn Display } => "{warning}";
    Info Signalled {
        signal: &'a dyn Display,
        sender: &'a dyn Display,
        sender_pid: u32,
        sender_uid: u32,
        sender_name: Option<&'a str>,
    } => "{signal} from {sender}";
    Info SignalledByTerminal { signal: &'a dyn Display } => "{signal} from the terminal";
    Info TerminalGone { sender: &'a dyn Display } => "SIGHUP{sender}: the terminal has gone; ending with it";
    Info TerminalOutlived { sender: &'a dyn Display } =>
        "SIGHUP{sender}: the terminal has gone; serving on without it, as SIGHUP was ignored at the start";
    Info NothingToReload => "SIGHUP: there are no children to replace; nothing is done";
    Info NothingToResize => "SIGTTIN, SIGTTOU: there are no children of which to have more or fewer; nothing is done";
    Info NothingToUpgrade => "SIGUSR2: a daemon without children does not upgrade; restart it instead";
    Info FilesChanged { changes: &'a dyn Display } => "{changes}";
    Warn FileNotWatched { path: &'a dyn Display, reason: &'a dyn Display } =>
        "watched file {path} {reason}; it counts as unchanged until it can be seen";
    Warn FileRestless { path: &'a dyn Display } =>
        "watched file {path} has not come to rest for 30 s; it counts as unchanged until it has been still for as long, \
         and the others no longer wait for it";
    Warn MoreFilesNotWatched { files: usize } => "{files} more watched files count as unchanged, for such reasons";

    Info ReadingSettings => "reading the settings again";
    Info SettingsUnchanged => "settings read again: none that is in force has changed";
    Info SettingsApplied { settings: &'a str } => "settings read again: {settings}";
    Warn SettingsHeld { settings: &'a str, takes: &'a str } =>
        "settings that have changed and take {takes}: {settings}; what was set before stays in force";
    Info SettingsFileChanged { path: &'a dyn Display } =>
        "{path} has changed: what is the program's own there, such as addresses to listen on, takes an upgrade (SIGUSR2)";
    Error SettingsUnread { error: &'a dyn Display, shortage: &'a dyn Display } =>
        "the settings are not read again: {error}{shortage}; children are replaced with those in force";
    Error ReloadRefused { reason: &'a dyn Display } =>
        "reload refused: {reason}; the settings in force stay, and no child is replaced";
    Info Reloading { generation: Generation } => "replacing all children by generation {generation}";
    Info Reloaded { generation: Generation, duration: Span, old: Old } =>
        "all children are of generation {generation} now, after {duration}{old}";
    Info OldLeft { duration: Span } => "the last old child has left, {duration} after the others were replaced";
    Error ReloadFailed { generation: Generation, children: Children } =>
        "reload failed: children of generation {generation} end before they have worked; {children} of the old \
         generation stay";

    Info Probing => "trying the new program";
    Info ProbingProgram { path: &'a dyn Display } => "trying the program {path}";
    Info ProbingAgain { path: &'a dyn Display } => "trying the running program again: {path}";
    Info Upgrading => "the new program works; becoming it";
    Info UpgradingAgain { path: &'a dyn Display } =>
        "the program works and is the same file as before; executing it again: {path}";
    Info UpgradingInPlace { path: &'a dyn Display } =>
        "the new program works; becoming it: {path}, another file than before";
    Info UpgradingFrom { path: &'a dyn Display, running: &'a dyn Display } =>
        "the new program works; becoming it: {path}, after {running}";
    Info TookOver { children: Children, daemon: &'a dyn Display } =>
        "this program goes on with {children} already serving: {daemon}";
    Error UpgradeRefused { reason: &'a dyn Display } => "upgrade refused: {reason}; the running program goes on";
    Error TakeoverFailed { reason: &'a dyn Display } =>
        "the new program has failed to take over: {reason}; the old one goes on";
    Error ReturnFailed { reason: &'a dyn Display } =>
        "the old program cannot go on: {reason}; its children serve, and it is executed again soon";
    Error ReturnFailedAgain { reason: &'a dyn Display, attempt: u32 } =>
        "the old program has failed to go on: {reason}; its children serve, attempt {attempt}";
    Error ReturnedBare { reason: &'a str } =>
        "the old program cannot start children{reason}; those that are left serve on, and when another one is needed, \
         it tries again every 10 s, or upgrades on SIGUSR2";
    Error CannotTakeOver { reason: &'a dyn Display } => "cannot take over from the old program: {reason}; exiting";
    Error ProgramNotWatched { error: &'a dyn Display } =>
        "the program file is not watched: {error}; send SIGUSR2 to upgrade";

    Info Stopping { how: &'a str, children: Children } => "stopping {how}, with {children}";
    Info Asleep { duration: Span } => "nothing to do for {duration}: this pool sleeps until a connection comes";
    Info LeftNoChildren => "the ceiling leaves this pool no children: it sleeps until others make room";
    Warn Escalated { children: Children, how: &'a str } => "not gone yet: {children}, now {how}";
    Warn LoopStays => "not gone yet: the main loop; the daemon is about to end around it";
    Info Stopped { duration: Span, how: &'a dyn Display, uptime: &'a dyn Display } =>
        "stopped, {duration} after it was asked: {how}; it has run for {uptime}";
    Error NotAnnounced { error: &'a dyn Display } => "cannot report that the daemon is ready: {error}; stopping it";
}

/// How many old children are still at work after a reload.
pub(crate) struct Old(pub(crate) usize);

impl Display for Old {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            1 => f.write_str("; an old one finishes what it has in hand"),
            old => write!(f, "; {old} old ones finish what they have in hand"),
        }
    }
}

#[cfg(feature = "tracing")]
impl super::Field for Old {
    fn value(&self) -> impl tracing::Value + '_ {
        self.0
    }
}
