//! What CPython has to know of forks. All `unsafe` of this program.
//!
//! `os.fork()` calls `PyOS_BeforeFork` before, and `PyOS_AfterFork_Child` and `PyOS_AfterFork_Parent` after it. A parent
//! that runs no Python between its forks is always in the state before one: so it calls the first once, and the last never.
//! The second puts locks, the thread's identity and the state of signals right in the child, and calls what modules have
//! registered by `os.register_at_fork`: `random` seeds itself again by that, for example.

#![expect(unsafe_code, reason = "CPython is a C library")]

use pyo3::{Python, ffi};

/// Prepares for all forks that come. The parent must run no Python from here on; its hooks may, as they run in processes of
/// their own.
pub(crate) fn before_forks(_: Python<'_>) {
    // SAFETY: this thread is attached to the interpreter, as the argument proves, and goes on to forks. In the parent nothing
    // of Python runs after this that could need the import lock, which is held from here on.
    unsafe { ffi::PyOS_BeforeFork() };
}

/// Puts the interpreter right in a process that was just forked.
pub(crate) fn after_fork(_: Python<'_>) {
    // SAFETY: this is the thread that has forked, the only one of this process, and it is attached to the interpreter;
    // `PyOS_BeforeFork` was called before the fork, and nothing of Python has run since.
    unsafe { ffi::PyOS_AfterFork_Child() };
}
