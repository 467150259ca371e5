//! Ending with the terminal, or outliving it.

use prefork_core::{Hangup, HangupSender, Hangups};

use crate::{
    logs::ChangeMessage,
    logs::describe::SentBy,
    logs::log::Log,
    system::os::{Sender, terminal::has_terminal},
};

/// Finds out what a `SIGHUP` means, and logs it if the terminal has gone; `sender` is unknown where a flag was raised.
pub(crate) fn understand(hangups: &mut Hangups, sender: Option<Sender>, log: &Log) -> Hangup {
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
