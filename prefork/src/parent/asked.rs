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
pub(crate) enum Asked {
    For(Request),
    /// A `SIGHUP` that tells of the terminal, which is logged: for a stop, or for nothing.
    ByTerminal(Option<Request>),
    /// Nothing: it announces ended children.
    ChildrenEnded,
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
        _ => Asked::ChildrenEnded,
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
