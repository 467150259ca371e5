//! What a parent ends as, and what of it goes on in the processes that are forked from it.

use std::mem::{ManuallyDrop, take};

use prefork_core::{Generation, SlotId, Verdict};

use super::Parent;
use crate::{
    board::ParentBoard,
    channels::{Bell, Channels},
    child::{ChildContext, Clients},
    hooks::{Duty, HookContext},
    logs::Streams,
    program::Invocation,
    start::RuntimeFiles,
};

/// What a parent ends as: it is over, or it is not the parent any more but a process just forked.
///
/// So whatever a parent comes to hold is closed in what is forked from it, unless it is moved into a context. A status
/// process closes by number what it is not to have, and a probe executes another program.
pub(crate) enum Became {
    Over(Box<Over>),
    Child(Box<ChildContext>),
    Hook(Box<HookContext>),
}

/// What there is to know of a parent that is over.
pub(crate) struct Over {
    pub(crate) verdict: Verdict,
    /// What is left in the file system, to be removed.
    pub(crate) runtime_files: RuntimeFiles,
    /// Why it could not fork when it last tried.
    pub(crate) cannot_fork: Option<String>,
}

impl Parent<'_> {
    /// Turns into what a child needs of the parent. The rest is dropped, as the child's copy of it
    /// is of no use.
    pub(super) fn into_child_context(
        self: Box<Self>,
        slot: SlotId,
        generation: Generation,
        bell: Bell,
    ) -> ChildContext {
        // The child's copy of the way to the launcher; the word is the parent's to say.
        drop(self.readiness.take());
        let streams = Streams::of(&self.settings);
        let Self { mut settings, title, signals, access_log, privileges, layers, .. } = *self;
        let Self { channels, runtime_files, hooks, listeners, invocation, left_open, .. } = *self;
        let tag = self.descendants.tag(slot);
        let (name, limits) = (take(&mut settings.name), settings.limits);
        let in_force = &mut settings.in_force;
        let (concurrency, queueing) = (in_force.live.concurrency, in_force.live.queueing());
        let (clients, own) = (Clients::of(in_force.is_one_shot), take(&mut in_force.own));
        let role_lock = settings.role_lock.take();
        // Left alone, their memory stays shared with the parent; freeing it would make copies of it.
        let mut memory = self.memory;
        let leaf = memory.leave_to_child();
        let _shared = ManuallyDrop::new((
            (self.supervisor, self.counters, self.descendants, settings),
            (self.deaths, memory, self.log),
        ));
        self.table.close();
        // Its copies: what is in the file system is the parent's, and so is the lock of the pid file,
        // which a holder of the descriptor could release, and the pid in it, by which scripts of
        // root's may kill.
        let RuntimeFiles { board, sockets: _, status: _, pid_file: _ } = runtime_files;
        let (has_board, outliving) = (board.is_some(), listeners.outliving());
        let _ = invocation.map(Invocation::close);
        let _ = board.map(ParentBoard::close);
        // Not the child's to drop: it would undo, with the parent's rights, what the parent has done once.
        let _hooks = ManuallyDrop::new(hooks);
        ChildContext {
            slot,
            generation,
            tag,
            name,
            title,
            signals,
            channels,
            bell,
            has_board,
            outliving,
            outlets: listeners.close(),
            limits,
            concurrency,
            clients,
            queueing,
            own,
            role_lock,
            privileges,
            layers,
            leaf,
            left_open,
            access_log,
            streams,
        }
    }

    /// Turns into what a hook process needs of the parent; the rest is dropped.
    pub(super) fn into_hook_context(self: Box<Self>, duty: Duty) -> HookContext {
        drop(self.readiness.take());
        let streams = Streams::of(&self.settings);
        let Self { settings, title, signals, hooks, channels, privileges, left_open, .. } = *self;
        // Left alone, their memory stays shared with the parent.
        let _shared = ManuallyDrop::new((self.supervisor, self.counters, self.descendants));
        let Channels { handout, .. } = channels;
        // For one call it has the rights of the parent; what outlives its calls is no safer than a child.
        let privileges = duty.is_lasting().then_some(privileges);
        let name = settings.name;
        HookContext { duty, name, title, signals, privileges, left_open, hooks, handout, streams }
    }
}
