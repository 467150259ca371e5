//! Proof that this process has one thread, without which it must not fork.

use std::fs;

use crate::launch::DaemonizeError;

/// Proves that the calling thread was the only one a moment ago.
///
/// Only the calling thread could start another one, so the proof stays true for as
/// long as the caller starts none.
#[derive(Debug)]
pub(crate) struct SingleThreaded(());

impl SingleThreaded {
    /// Counts the threads in `/proc/self/task`, see proc(5).
    pub(crate) fn prove() -> Result<Self, DaemonizeError> {
        let counted = fs::read_dir("/proc/self/task")
            .and_then(|tasks| tasks.map(|task| task.map(drop)).collect::<Result<Vec<()>, _>>());
        match counted {
            Ok(tasks) if tasks.len() == 1 => Ok(Self(())),
            Ok(tasks) => Err(DaemonizeError::Threads { threads: tasks.len() }),
            Err(source) => Err(DaemonizeError::CountThreads { source }),
        }
    }
}
