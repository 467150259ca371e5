//! What wakes the watcher: signals, and the ends of the loop and of a hook.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use nix::sys::signal::Signal;
use prefork_core::{Event, Exit, Hook};
use rustix::event::{EventfdFlags, eventfd};

use super::SLOT;
use crate::{
    sys::{self, LastSender},
    system::os::{Sender, SendingProcess, requesting_signals, unblock_answered_signals},
};

/// What wakes the watcher.
#[derive(Debug)]
pub(super) struct Bell {
    wake: Arc<OwnedFd>,
    /// Which signals have come.
    raised: Vec<Raised>,
    loop_ended: AtomicBool,
    hook_ended: AtomicBool,
}

/// A signal that has come, or not.
#[derive(Debug)]
struct Raised {
    signal: Signal,
    flag: Arc<AtomicBool>,
    sender: Arc<LastSender>,
}

impl Raised {
    fn take(&self) -> Option<(Signal, Sender)> {
        // Acquire: pairs with the release in the handler, so that the sender is that of this signal or a later one.
        self.flag.swap(false, Ordering::Acquire).then(|| {
            let process = self.sender.process();
            let sender = process
                .map_or(Sender::Kernel, |(pid, uid)| Sender::Process(SendingProcess { pid, uid }));
            (self.signal, sender)
        })
    }
}

impl Bell {
    /// From now on, signals ring instead of ending the process.
    pub(super) fn new() -> io::Result<Self> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let mut raised = Vec::new();
        for signal in requesting_signals() {
            let (flag, sender) = (Arc::default(), Arc::default());
            let copies = (Arc::clone(&flag), Arc::clone(&sender));
            sys::raise_on_signal(signal as i32, copies.0, copies.1, wake.clone())?;
            raised.push(Raised { signal, flag, sender });
        }
        unblock_answered_signals()?;
        let (loop_ended, hook_ended) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self { wake, raised, loop_ended, hook_ended })
    }

    pub(super) fn ring_for_end(&self) {
        // Release: pairs with the acquire in `has_loop_ended`.
        self.loop_ended.store(true, Ordering::Release);
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    pub(super) fn ring_for_hook(&self) {
        // Release: pairs with the acquire in `take`.
        self.hook_ended.store(true, Ordering::Release);
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    pub(super) fn has_loop_ended(&self) -> bool {
        self.loop_ended.load(Ordering::Acquire)
    }

    /// Takes the signals that have come since the last call, each with its last sender.
    pub(super) fn take_signals(&self) -> Vec<(Signal, Sender)> {
        // Emptied before the flags are read: what rings in between rings again.
        let _ = rustix::io::read(&self.wake, &mut [0u8; 8]);
        self.raised.iter().filter_map(Raised::take).collect()
    }

    /// Takes what else has rung since the last call.
    pub(super) fn take(&self) -> Vec<Event> {
        let mut events = Vec::new();
        if self.hook_ended.swap(false, Ordering::Acquire) {
            events.push(Event::HookEnded(Hook::BeforeShutdown));
        }
        if self.has_loop_ended() {
            events.push(Event::Exited { slot: SLOT, exit: Exit::Code(0) });
        }
        events
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
