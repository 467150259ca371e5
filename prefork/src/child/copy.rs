//! Copies of a child, which code of the program makes by `fork(2)` without executing another program.
//!
//! A copy has the child's memory and descriptors, and would go on with the main loop unseen: two processes would
//! accept, report and be asked to leave as one. So a copy is cut off from all that is the child's when it first
//! uses its [`Child`], and everything that it then uses has it leave.

use std::io;

use super::{Child, Stop};
use crate::logs::PoolMessage;

/// A copy uses what only the child itself can.
#[derive(Debug, thiserror::Error)]
#[error(
    "process {copy} is a copy of child {child}, made by fork(2), and takes no work; let it execute another program \
     or exit, and start further children by max_children"
)]
struct Copied {
    copy: u32,
    child: u32,
}

impl Child {
    /// Whether this is the process that the child is.
    ///
    /// Asked of the kernel, which takes less than a tenth of a microsecond. A word that the kernel wipes in copies
    /// (`MADV_WIPEONFORK`) would be cheaper, and would need a page for each child.
    pub(super) fn is_here(&self) -> bool {
        std::process::id() == self.pid
    }

    /// Whether this is a copy, which is cut off then.
    pub(super) fn is_copy(&mut self) -> bool {
        self.require_here().is_err()
    }

    /// Fails in a copy, and cuts it off.
    pub(super) fn require_here(&mut self) -> io::Result<()> {
        if self.is_here() {
            return Ok(());
        }
        let error = Copied { copy: std::process::id(), child: self.pid };
        if !std::mem::replace(&mut self.is_cut_off, true) {
            self.log.write(&PoolMessage::Copied { error: &error });
            self.cut_off();
        }
        Err(io::Error::other(error))
    }

    /// Lets go of all by which others would take the copy for the child.
    fn cut_off(&mut self) {
        self.poller.close();
        (self.reporter, self.tether) = (None, None);
        // The child's own descriptor would be made readable for the child as well.
        if let Ok(stop) = Stop::of_copy() {
            self.stop = stop;
        }
    }
}
