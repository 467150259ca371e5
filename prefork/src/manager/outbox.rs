//! Messages that the service manager has not taken yet.
//!
//! Its queue may be full for a moment, and the parent does not wait for it. What is sent later is still true then:
//! messages keep their order, as a reload begins before it ends, and those that only describe are replaced by the
//! next one.

use std::{collections::VecDeque, io, os::fd::OwnedFd, time::Duration};

use prefork_core::Time;

/// How many messages wait at most. A manager that takes none for as long as it takes to have so many has forgotten
/// us.
const MOST: usize = 32;

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// A sign of life.
pub(super) const ALIVE: &str = "WATCHDOG=1";

/// A message, with a descriptor that the manager is to have.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) text: String,
    pub(super) descriptor: Option<OwnedFd>,
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self { text, descriptor: None }
    }
}

/// The messages, in the order in which they are to be sent.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Message>,
    /// When it is tried again, after the manager had no room.
    retry_at: Option<Time>,
}

impl Outbox {
    /// Adds a message.
    pub(super) fn push(&mut self, message: Message) {
        let text = &message.text;
        if text == ALIVE && self.waiting.iter().any(|other| other.text == ALIVE) {
            return;
        }
        if is_status(text) && self.waiting.back().is_some_and(|last| is_status(&last.text)) {
            self.waiting.pop_back();
        }
        if self.waiting.len() >= MOST {
            self.waiting.pop_front();
        }
        self.waiting.push_back(message);
    }

    /// When messages that wait are to be sent, if any do.
    pub(super) fn due(&self) -> Option<Time> {
        self.retry_at
    }

    /// Sends what waits, as far as the manager has room. A message that it refuses is given up.
    ///
    /// # Errors
    ///
    /// Why the last of those was refused; [`io::ErrorKind::WouldBlock`] if there is no room, and all is kept.
    pub(super) fn send(
        &mut self,
        now: Time,
        mut send: impl FnMut(&Message) -> io::Result<()>,
    ) -> io::Result<()> {
        self.retry_at = None;
        let mut result = Ok(());
        while let Some(message) = self.waiting.front() {
            match send(message) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.retry_at = Some(now + PAUSE);
                    return Err(error);
                }
                sent => result = sent,
            }
            self.waiting.pop_front();
        }
        result
    }
}

/// Whether a message only describes what is going on.
fn is_status(message: &str) -> bool {
    message.starts_with("STATUS=") && !message.contains('\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Time {
        Time::after_origin(Duration::from_millis(ms))
    }

    fn full(_: &Message) -> io::Result<()> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn sent(outbox: &mut Outbox) -> Vec<String> {
        let mut sent = Vec::new();
        let took = outbox.send(at(0), |message| {
            sent.push(message.text.clone());
            Ok(())
        });
        took.expect("sent");
        sent
    }

    #[test]
    fn a_full_manager_gets_everything_later_in_order() {
        let mut outbox = Outbox::default();
        for message in ["RELOADING=1", "STATUS=a", "STATUS=b", ALIVE, "READY=1", ALIVE] {
            outbox.push(message.to_owned().into());
            let error = outbox.send(at(7), full).expect_err("there is no room");
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            assert_eq!(outbox.due(), Some(at(57)));
        }
        assert_eq!(sent(&mut outbox), ["RELOADING=1", "STATUS=b", ALIVE, "READY=1"]);
        assert_eq!(outbox.due(), None);
    }

    #[test]
    fn what_is_refused_is_given_up() {
        let mut outbox = Outbox::default();
        outbox.push("READY=1".to_owned().into());
        let refuse = |_: &Message| Err(io::ErrorKind::NotFound.into());
        assert_eq!(outbox.send(at(0), refuse).expect_err("said").kind(), io::ErrorKind::NotFound);
        assert_eq!((sent(&mut outbox), outbox.due()), (vec![], None));
    }

    #[test]
    fn no_more_wait_than_may() {
        let mut outbox = Outbox::default();
        (0..100).for_each(|number| outbox.push(format!("MAINPID={number}").into()));
        let sent = sent(&mut outbox);
        assert_eq!((sent.len(), sent.last().map(String::as_str)), (MOST, Some("MAINPID=99")));
    }
}
