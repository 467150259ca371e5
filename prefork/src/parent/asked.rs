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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    For(Request),
    /// A `SIGHUP` that tells of the terminal, which is logged: for a stop, or for nothing.
    ByTerminal(Option<Request>),
    /// Nothing: it announces ended children.
    ChildrenEnded,
    /// Nothing: it is not among the signals that are answered.
    Nothing,
}

/// Finds out what a signal asks for; `sender` is unknown where a flag was raised.
pub(crate) fn asked(
    signal: Signal,
    sender: Option<Sender>,
    hangups: &mut Hangups,
    log: &Log,
) -> Asked {
    match signal {
        Signal::SIGTERM => Asked::For(Request::StopGracefully),
        Signal::SIGINT | Signal::SIGQUIT => Asked::For(Request::StopNow),
        Signal::SIGHUP => match understand(hangups, sender, log) {
            Hangup::Reload => Asked::For(Request::Reload),
            Hangup::Stop => Asked::ByTerminal(Some(Request::StopGracefully)),
            Hangup::Outlive => Asked::ByTerminal(None),
        },
        Signal::SIGUSR1 => Asked::For(Request::Reopen),
        Signal::SIGUSR2 => Asked::For(Request::Upgrade),
        Signal::SIGTTIN => Asked::For(Request::More),
        Signal::SIGTTOU => Asked::For(Request::Fewer),
        Signal::SIGCHLD => Asked::ChildrenEnded,
        _ => Asked::Nothing,
    }
}

/// Finds out what a `SIGHUP` means, and logs it if the terminal has gone.
fn understand(hangups: &mut Hangups, sender: Option<Sender>, log: &Log) -> Hangup {
    let (who, from) = match sender {
        Some(Sender::Process(process)) => {
            (HangupSender::Process(process.pid), format!(" from {}", SentBy::find(process)))
        }
        Some(Sender::Kernel) => (HangupSender::Kernel, " from the kernel".to_owned()),
        None => (HangupSender::Unknown, String::new()),
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
        system::os::{requesting_signals, terminal},
    };

    #[test]
    fn every_signal_that_is_answered_asks_for_something() {
        let log = Log::new("test", Role::Parent);
        for signal in requesting_signals() {
            let mut hangups = terminal::hangups(HangupsAtStart::Heeded);
            assert_ne!(asked(signal, None, &mut hangups, &log), Asked::Nothing, "{signal}");
        }
    }
}
