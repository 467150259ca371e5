//! Messages about code of the program that the daemon calls.

use std::fmt::Display;

use prefork_core::Hook;

use super::messages;
use crate::logs::describe::Span;

messages! {
    /// About code of the program that the daemon calls.
    HookMessage<'a>

    Error Failed { hook: &'a str, error: &'a dyn Display } => "{hook} failed: {error}";
    Error Panicked { hook: &'a str, error: &'a dyn Display } => "{hook} panicked: {error}";
    Error CannotRun { hook: Hook, error: &'a dyn Display } => "cannot run {hook}: {error}; tried again";
    Error NotRun { hook: Hook, error: &'a dyn Display } => "cannot run {hook}: {error}; going on without";
    Error EndedItsProcess { hook: Hook } => "{hook} has ended its process before it returned; going on";
    Error TimedOut { hook: Hook, duration: Span } =>
        "{hook} has not returned in {duration}; not waiting any longer";
    Warn Waiting { hook: Hook, duration: Span } => "waiting for {hook}, up to {duration}; SIGINT ends it";
    Warn CutShort { hook: Hook } => "{hook} is cut short, as a signal asks to stop now";
    Info Recovered { hook: Hook } => "{hook} works again";
    Error AnsweredUnasked { hook: Hook } => "{hook} has answered without having been asked; its process is ended";
    Error TooSlow { hook: Hook } => "{hook} is too slow: further calls of it are left out";
    Error LeftOut { hook: Hook, calls: u64 } => "{calls} calls of {hook} were left out";
    Error CallsLost { calls: usize } =>
        "{calls} calls of on_child_exit are lost with this program, as it does not finish them";
}
