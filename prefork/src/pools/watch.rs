//! Watching the program that all pools run, or other files that are all pools' affair: once for the daemon, so that a change is
//! one upgrade, or one reload, of the whole.

use std::os::fd::BorrowedFd;

use prefork_core::{Time, pools::PoolsEvent};

use super::arbiter::Arbiter;
use crate::{
    OnChange,
    hooks::ParentHooks,
    logs::{ChangeMessage, log::Log},
    program::{self, AutoReload, FileWatch, Invocation},
    system::clock,
};

/// What is to be watched, and what to do then.
#[derive(Debug)]
pub(super) struct Watching {
    wanted: Option<AutoReload>,
    reaction: OnChange,
    /// It goes on.
    watch: Option<FileWatch>,
}

impl Watching {
    pub(super) fn new(wanted: Option<AutoReload>, hooks: &ParentHooks) -> Self {
        let reaction = match hooks.auto_reload_handler.as_ref().map(|handler| &handler.0) {
            Some(program::Kind::Always(reaction)) => *reaction,
            // Code in what all pools have in common was refused.
            Some(program::Kind::Asked(_)) | None => OnChange::Nothing,
        };
        Self { wanted, reaction, watch: None }
    }

    /// Begins, if that was asked for.
    pub(super) fn begin(&mut self, invocation: &Invocation, was_refused: bool, log: &Log) {
        let begin =
            |wanted| FileWatch::begin(wanted, Some(invocation), was_refused, clock::now(), log);
        if let Some(wanted) = self.wanted.take() {
            self.watch = Some(begin(wanted));
        }
    }

    /// What to wait for before [`stirred`](Self::stirred).
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().and_then(FileWatch::fd)
    }

    pub(super) fn due(&self) -> Option<Time> {
        self.watch.as_ref().and_then(FileWatch::due)
    }

    pub(super) fn stirred(&mut self, now: Time) {
        if let Some(watch) = &mut self.watch {
            watch.stirred(now);
        }
    }

    /// A daemon that stops watches nothing.
    pub(super) fn end(&mut self) {
        (self.wanted, self.watch) = (None, None);
    }
}

impl Arbiter<'_> {
    /// Passes on what is to be done about files that have changed.
    pub(super) fn check_files(&mut self, now: Time) {
        let changes = self.watching.watch.as_mut().and_then(|watch| watch.check(now, &self.log));
        let Some(changes) = changes else { return };
        self.log.write(&ChangeMessage::FilesChanged { changes: &changes });
        if let Some(request) = self.watching.reaction.request() {
            self.pools.handle(now, PoolsEvent::Requested(request));
        }
    }
}
