//! The listening sockets that the manager keeps for the next start, should this process be killed.
//!
//! They go in at the start, and out when the daemon stops or does not listen there any more: a daemon that has ended refuses
//! newcomers, unless a socket unit keeps the address.

use super::outbox::Message;
use crate::sockets::{kept, listeners::Listeners};

/// What the manager was asked to keep.
#[derive(Debug)]
pub(super) struct Store {
    /// How many descriptors it keeps (`FileDescriptorStoreMax=` in `systemd.service(5)`); 0 for none.
    room: usize,
    names: Vec<String>,
}

impl Store {
    pub(super) const fn new(room: usize) -> Self {
        Self { room, names: Vec::new() }
    }

    /// Returns the messages by which the manager keeps these sockets, as far as it has room, and no others. One that it has
    /// already it does not take twice.
    pub(super) fn keep(&mut self, listeners: &Listeners) -> Vec<Message> {
        if self.room == 0 {
            return Vec::new();
        }
        let mut messages: Vec<_> = listeners.not_wanted().iter().map(|name| remove(name)).collect();
        for (name, socket) in kept::names(listeners.iter()).take(self.room) {
            // Without room for another descriptor the daemon serves as well.
            let Ok(descriptor) = socket.try_clone() else { continue };
            // Whatever is done to it, the manager is not to close it by itself.
            let text = format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0");
            messages.push(Message { text, descriptor: Some(descriptor) });
            self.names.push(name);
        }
        messages
    }

    /// Returns the messages by which the manager gives up all that it has.
    pub(super) fn empty(&mut self) -> Vec<Message> {
        self.names.drain(..).map(|name| remove(&name)).collect()
    }
}

/// Returns the message by which the manager gives up what it keeps under a name.
pub(super) fn remove(name: &str) -> Message {
    format!("FDSTOREREMOVE=1\nFDNAME={name}").into()
}
