//! Closing what may make this process wait, without waiting.
//!
//! A descriptor that nobody asked for may lead anywhere: closing a file asks its file system, and who runs that (see
//! `fuse(4)`) answers when they like. So a thread closes one after the other, and ends when none is left. Where it hangs,
//! further ones stay open until the process ends.

use std::{
    mem::ManuallyDrop,
    os::fd::OwnedFd,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

/// How many may wait to be closed.
const MOST: usize = 64;

/// What a thread that only closes needs at the most.
const STACK: usize = 64 << 10;

/// What is to be closed.
struct Queue {
    waiting: Vec<OwnedFd>,
    /// Whether there is a thread that closes them.
    is_served: bool,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue { waiting: Vec::new(), is_served: false });

fn queue() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Closes it, and returns at once.
pub(super) fn close(descriptor: OwnedFd) {
    let mut queue = queue();
    if queue.waiting.len() >= MOST {
        // Closing it here is what must not be.
        let _ = ManuallyDrop::new(descriptor);
        return;
    }
    queue.waiting.push(descriptor);
    if !queue.is_served {
        let thread = thread::Builder::new().name("closing".to_owned()).stack_size(STACK);
        // Without a thread they wait for the next one that comes.
        queue.is_served = thread.spawn(close_all).is_ok();
    }
}

fn close_all() {
    loop {
        let mut queue = queue();
        let Some(descriptor) = queue.waiting.pop() else {
            queue.is_served = false;
            return;
        };
        // Whoever comes meanwhile waits for no more than the queue.
        drop(queue);
        drop(descriptor);
    }
}
