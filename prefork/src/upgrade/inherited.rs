//! What the old program has left, taken by the program that runs now.

use std::{
    cell::Cell,
    collections::HashMap,
    env,
    error::Error,
    os::{
        fd::{AsFd, OwnedFd, RawFd},
        unix::process::parent_id,
    },
    path::Path,
    process,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use prefork_core::Hangups;

use super::{
    exec::{Executable, Start},
    handover::{Handover, Unreadable},
    probe_reply::ProbeReply,
    way_back::Return,
};
use crate::{
    ErrorChain, Lines, SettingsError,
    args::settings::InForce,
    logs::ChangeMessage,
    logs::describe::on_one_line,
    logs::log::{Log, Role as Speaker},
    logs::stderr,
    program::Role,
    program::{Command, HANDOVER_VARIABLE, Image, Invocation},
    sockets::InheritedListener,
    sys,
    system::KeptDescriptors,
};

/// What the old program has left.
///
/// It is handed back when this is dropped, unless it was claimed: whatever way a program goes that does not take the daemon
/// over, the old one goes on. (What ends the process without dropping anything takes the same way: `sys/way_back.rs`.)
#[derive(Debug)]
pub(crate) struct Inherited {
    pub(super) purpose: Purpose,
    pub(super) handover: Handover,
    fate: Cell<Fate>,
    /// The descriptors of the handover, by their numbers.
    descriptors: HashMap<RawFd, OwnedFd>,
    /// The handover itself.
    _memory: OwnedFd,
}

/// What has become of what was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Nothing yet.
    Open,
    /// This program has it.
    Claimed,
    /// It was refused, with a reason.
    Refused,
}

/// What this program was executed for, each with what that takes.
#[derive(Debug)]
pub(super) enum Purpose {
    /// To try whether it would work, and to report that.
    Probe(ProbeReply),
    /// To read its settings, and to report them.
    Settings(ProbeReply),
    /// To take the daemon over.
    Successor,
    /// To take it back; how it came to that.
    Returned(Return),
}

impl Purpose {
    pub(super) const fn role(&self) -> Role {
        match self {
            Self::Probe(_) => Role::Probe,
            Self::Settings(_) => Role::Settings,
            Self::Successor => Role::Successor,
            Self::Returned(_) => Role::Returned,
        }
    }
}

/// Returns what was left to this program, until it is taken; `None` for a program that was started in
/// the usual way.
///
/// In a global, as there is one inheritance in a process, and a program may well check its arguments
/// more than once before it runs.
pub(crate) fn inherited() -> MutexGuard<'static, Option<Inherited>> {
    static INHERITED: OnceLock<Mutex<Option<Inherited>>> = OnceLock::new();
    let inherited = INHERITED.get_or_init(|| Mutex::new(look()));
    // Nothing panics while it is held.
    inherited.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks for an inheritance, and makes sure that no other process gets it.
fn look() -> Option<Inherited> {
    let message = env::var(HANDOVER_VARIABLE).ok()?;
    sys::forget_variable(HANDOVER_VARIABLE);
    if sys::is_privileged_by_file() {
        // The user who started a set-user-ID program may have written the handover, and would have it execute
        // any file and signal any process. Such a program does not upgrade (see `Invocation`).
        return None;
    }
    let mut words = message.split(':');
    let (role, mut numbers) = (words.next()?, words.map(str::parse::<RawFd>));
    let (number, other, words) = (numbers.next()?.ok()?, numbers.next(), numbers.next());
    let role = match role {
        "probe" => Role::Probe,
        "settings" => Role::Settings,
        "successor" => Role::Successor,
        "returned" => Role::Returned,
        _ => return None,
    };
    let parent = if role.is_of_the_daemon() { process::id() } else { parent_id() };
    let handover = match Handover::read(sys::borrow_descriptor(number)?, parent) {
        Ok(handover) => handover,
        // Somebody above us was started with it, and we are not meant.
        Err(Unreadable::NotForUs) => return None,
        Err(error) => {
            let other = if role == Role::Probe { words } else { other };
            give_back(role, &error, other, &message)
        }
    };
    let memory = sys::adopt_descriptor(number)?;
    let numbers = handover.descriptors();
    let descriptors =
        numbers.into_iter().filter_map(|number| Some((number, sys::adopt_descriptor(number)?)));
    let descriptors = descriptors.collect();
    let adopt = |number: Option<Result<RawFd, _>>| {
        number.and_then(Result::ok).and_then(sys::adopt_descriptor)
    };
    let purpose = match role {
        Role::Probe => Purpose::Probe(ProbeReply::new(adopt(other), reply_to(adopt(words)))),
        // Where it answers is where it says why it does not, as it has the parent's rights to its end.
        Role::Settings => Purpose::Settings(ProbeReply::new(None, reply_to(adopt(other)))),
        Role::Successor => Purpose::Successor,
        Role::Returned => Purpose::Returned(Return::read(message.split(':').skip(2))),
    };
    if role.is_of_the_daemon() {
        // The daemon waits for no reader of the log, from the first line on.
        let _ = stderr::open_own();
    }
    // The way back is for the case that this program does not come so far, or takes over after that.
    sys::way_back::guard_crashes();
    let fate = Cell::new(Fate::Open);
    Some(Inherited { purpose, handover, fate, descriptors, _memory: memory })
}

/// Where to reply; a program that was executed for a reply, and has nowhere to send it, ends, as it is not to be a daemon.
fn reply_to(words: Option<OwnedFd>) -> OwnedFd {
    words.unwrap_or_else(|| sys::exit_now(1))
}

/// Ends a program that does not understand what it was left; in the daemon's own process the old
/// program, whose file is open as `other`, then goes on. A probe says why by that.
fn give_back(
    role: Role,
    error: &Unreadable,
    other: Option<Result<RawFd, std::num::ParseIntError>>,
    message: &str,
) -> ! {
    let reason = format!("the handover: {}", ErrorChain(error));
    let other = other.and_then(Result::ok).and_then(sys::adopt_descriptor);
    match (role, other) {
        (Role::Probe | Role::Settings, Some(words)) => ProbeReply::new(None, words).refuse(&reason),
        (Role::Successor, Some(program)) => {
            // It cannot be read how that was executed: in most cases as this one was.
            if let Ok(Image { arguments, environment, directory, .. }) = Image::of_this_process() {
                // Everything else was left open for us, and still is.
                let mut passed = KeptDescriptors::default();
                passed.pass(&program);
                let message = message.replacen("successor", "returned", 1);
                let start = Start {
                    program: Executable::File(program.as_fd()),
                    arguments: &arguments,
                    environment: &environment,
                    directory: directory.as_fd(),
                };
                passed.become_program(&start, &message);
            }
        }
        (Role::Probe | Role::Settings | Role::Successor | Role::Returned, _) => {}
    }
    Log::new("prefork", Speaker::Parent).write(&ChangeMessage::CannotTakeOver { reason: &reason });
    process::exit(1)
}

impl Inherited {
    /// Returns the command by which the daemon was started, at first; none if that is not known, as by an earlier library.
    pub(crate) fn command(&self) -> Option<Command> {
        self.handover.command.clone()
    }

    /// A probe reports as what it was executed.
    pub(crate) fn report(&self, invocation: Option<&Invocation>) {
        if let (Purpose::Probe(reply), Some(invocation)) = (&self.purpose, invocation)
            && let Err(error) = reply.report(&invocation.image)
        {
            reply.refuse(&format!("this program cannot report as what it was executed: {error}"));
            sys::exit_now(1);
        }
    }

    /// Whether this process is to report its settings, and nothing else.
    pub(crate) const fn reads_settings(&self) -> bool {
        matches!(self.purpose, Purpose::Settings(_))
    }

    /// Reports the settings, if that is what this process is for, and ends it then: it is no daemon.
    pub(crate) fn report_settings(&self, settings: &InForce) {
        if let Purpose::Settings(reply) = &self.purpose {
            reply.report_settings(settings);
            sys::exit_now(0);
        }
    }

    /// Reports why the settings cannot be read, to the process that has asked for them.
    pub(crate) fn explain(&self, error: &SettingsError) {
        match self.purpose {
            Purpose::Probe(_) | Purpose::Settings(_) => self.refuse(None, error),
            // It may well go on without.
            Purpose::Successor | Purpose::Returned(_) => {}
        }
    }

    pub(crate) const fn is_probe(&self) -> bool {
        matches!(self.purpose, Purpose::Probe(_))
    }

    /// Whether the daemon has gone to the background.
    pub(crate) const fn is_in_background(&self) -> bool {
        self.handover.in_background
    }

    /// What is known of the daemon's terminal.
    pub(crate) fn hangups(&self) -> Option<Hangups> {
        self.handover.hangups.clone()
    }

    /// Whether standard error already goes to the log at this path.
    pub(crate) fn has_error_log(&self, path: &Path) -> bool {
        self.handover.error_log_path.as_ref().map(Path::new) == Some(path)
    }

    /// Returns the old access log, if it is the one at this path.
    pub(crate) fn access_log(&self, path: &Path) -> Option<OwnedFd> {
        let log = self.handover.access_log.as_ref().filter(|log| Path::new(&log.path) == path)?;
        self.descriptors.get(&log.fd)?.try_clone().ok()
    }

    /// Returns the listening sockets; the originals stay here until all is settled.
    pub(crate) fn listeners(&self) -> std::io::Result<Vec<InheritedListener>> {
        let listeners = self.handover.listeners.iter();
        let listeners = listeners.filter_map(|listener| {
            let socket = self.descriptors.get(&listener.fd)?.try_clone();
            let (known_by, activated) = (listener.known_by.clone(), listener.activated.clone());
            let file = listener.file;
            Some(socket.map(|socket| InheritedListener { known_by, activated, file, socket }))
        });
        listeners.collect()
    }

    /// From here on it is this program's.
    pub(super) fn settle(&self) {
        self.fate.set(Fate::Claimed);
    }

    /// Returns whether the old program has left something open under this number.
    pub(crate) fn is_handed_over(&self, number: RawFd) -> bool {
        self.descriptors.contains_key(&number)
    }

    pub(super) fn descriptor(&self, number: RawFd) -> Option<&OwnedFd> {
        self.descriptors.get(&number)
    }

    /// Takes a descriptor of the handover, for good.
    pub(super) fn take(&mut self, number: RawFd) -> Option<OwnedFd> {
        self.descriptors.remove(&number)
    }

    /// Gives up: a probe says why; a successor hands the daemon back to the old program, and one that has come
    /// back is executed again after a pause, in which cases this does not return.
    pub(crate) fn refuse(&self, name: Option<&str>, error: &(dyn Error + 'static)) {
        self.hand_back(name.unwrap_or("prefork"), &on_one_line(&Lines(error).to_string()));
    }

    fn hand_back(&self, name: &str, reason: &str) {
        self.fate.set(Fate::Refused);
        match &self.purpose {
            Purpose::Probe(reply) | Purpose::Settings(reply) => reply.refuse(reason),
            Purpose::Successor => {
                let failed = ChangeMessage::TakeoverFailed { reason: &reason };
                Log::new(name, Speaker::Parent).write(&failed);
                sys::way_back::take();
            }
            Purpose::Returned(_) => {
                let failed = ChangeMessage::ReturnFailed { reason: &reason };
                Log::new(name, Speaker::Parent).write(&failed);
                sys::way_back::take();
            }
        }
    }

    /// Logs what became of the program that was tried, if that has not logged it itself.
    pub(crate) fn log_return(&self, log: &Log) {
        let Purpose::Returned(returned) = self.purpose else { return };
        let what = returned.to_string();
        match (what.is_empty(), returned.attempt) {
            (true, _) => {}
            (false, 1) => log.write(&ChangeMessage::TakeoverFailed { reason: &what }),
            (false, attempt) => {
                log.write(&ChangeMessage::ReturnFailedAgain {
                    reason: &what,
                    attempt: attempt.into(),
                });
            }
        }
    }
}

impl Drop for Inherited {
    fn drop(&mut self) {
        match self.fate.get() {
            Fate::Open => self.hand_back("prefork", "it gave up without a reason"),
            Fate::Claimed | Fate::Refused => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Read};

    use rustix::pipe::pipe;

    use super::*;
    use crate::upgrade::handover::tests::handover;

    /// What the parent of a probe reads by its end, after the probe has done this with what it was left.
    fn reply(deed: impl FnOnce(Inherited)) -> String {
        let (reader, words) = pipe().expect("made");
        let handover = handover();
        deed(Inherited {
            purpose: Purpose::Probe(ProbeReply::new(None, words)),
            _memory: handover.write().expect("written"),
            handover,
            fate: Cell::new(Fate::Open),
            descriptors: HashMap::new(),
        });
        let mut reply = String::new();
        File::from(reader).read_to_string(&mut reply).expect("read");
        reply
    }

    /// As by an early return that nobody has thought of.
    #[test]
    fn what_is_dropped_unclaimed_is_handed_back() {
        assert_eq!(reply(drop), "refused:it gave up without a reason\0");
    }

    #[test]
    fn what_is_handed_back_with_a_reason_is_so_once() {
        let refused = reply(|inherited| inherited.refuse(None, &crate::RunError::NoPool));
        let expected = format!("refused:{}\0", crate::RunError::NoPool);
        assert_eq!(refused, expected);
    }

    #[test]
    fn what_is_claimed_stays() {
        assert_eq!(reply(|inherited| inherited.settle()), "");
    }
}
