//! What signals ask for, of a parent with children and of one without.

use nix::sys::signal::Signal;
use prefork_core::{Hangup, HangupSender, Hangups, Request};

use crate::{
    logs::ChangeMessage,
    logs::describe::SentBy,
    logs::log::Log,
    system::os::{Sender, terminal::has_terminal},
};

/// What a signal asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Something, with who has sent which signal, which is logged.
    For { request: Request, reason: String },
    /// A `SIGHUP` about the terminal, which is logged: for a stop, or for nothing.
    ByTerminal(Option<Request>),
    /// Nothing: it announces ended children.
    ChildrenEnded,
    /// Nothing: it is not among the signals that are answered, or means nothing.
    Nothing,
}

/// Finds out what a signal asks for, and logs it with its sender if it does.
pub(crate) fn asked(signal: Signal, sender: Sender, hangups: &mut Hangups, log: &Log) -> Asked {
    let request = match signal {
        Signal::SIGTERM => Request::StopGracefully,
        Signal::SIGINT | Signal::SIGQUIT => Request::StopNow,
        Signal::SIGHUP => match understand(hangups, sender, log) {
            Hangup::Reload => Request::Reload,
            Hangup::Stop => return Asked::ByTerminal(Some(Request::StopGracefully)),
            Hangup::Outlive => return Asked::ByTerminal(None),
        },
        Signal::SIGUSR1 => Request::Reopen,
        Signal::SIGUSR2 => Request::Upgrade,
        Signal::SIGTTIN => Request::More,
        Signal::SIGTTOU => Request::Fewer,
        Signal::SIGCHLD => return Asked::ChildrenEnded,
        _ => return Asked::Nothing,
    };
    match (request, sender) {
        // What a terminal sends to a job in the background that it does not let read or write.
        (Request::More | Request::Fewer, Sender::Kernel) => Asked::Nothing,
        (request, Sender::Kernel) => {
            log.write(&ChangeMessage::SignalledByTerminal { signal: &signal });
            Asked::For { request, reason: format!("{signal} from the terminal") }
        }
        (request, Sender::Process(process)) => {
            let sender = SentBy::find(process);
            log.write(&ChangeMessage::Signalled {
                signal: &signal,
                sender: &sender,
                sender_pid: process.pid,
                sender_uid: process.uid,
                sender_name: sender.name.as_deref(),
            });
            Asked::For { request, reason: format!("{signal} from {sender}") }
        }
    }
}

/// Finds out what a `SIGHUP` means, and logs it if the terminal has gone.
fn understand(hangups: &mut Hangups, sender: Sender, log: &Log) -> Hangup {
    let (who, from) = match sender {
        Sender::Process(process) => {
            (HangupSender::Process(process.pid), format!(" from {}", SentBy::find(process)))
        }
        Sender::Kernel => (HangupSender::Kernel, " from the kernel".to_owned()),
    };
    let hangup = hangups.meaning(who, has_terminal());
    match hangup {
        Hangup::Reload => {}
        Hangup::Stop => log.write(&ChangeMessage::TerminalGone { sender: &from }),
        Hangup::Outlive => log.write(&ChangeMessage::TerminalOutlived { sender: &from }),
    }
    hangup
}

#[cfg(test)]
mod tests {
    use prefork_core::HangupsAtStart;

    use super::*;
    use crate::{
        logs::log::Role,
        system::os::{SendingProcess, requesting_signals, terminal},
    };

    #[test]
    fn every_signal_that_is_answered_asks_for_something() {
        let log = Log::new("test", Role::Parent);
        for signal in requesting_signals() {
            let mut hangups = terminal::hangups(HangupsAtStart::Heeded);
            let sender = Sender::Process(SendingProcess { pid: std::process::id(), uid: 0 });
            assert_ne!(asked(signal, sender, &mut hangups, &log), Asked::Nothing, "{signal}");
        }
    }
}
