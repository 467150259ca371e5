//! What the code of a child writes to the error log, and what it has of a program that it runs.

use std::fmt::Display;

use super::Child;
use crate::{LogLevel, channels::Report, logs::Said};

impl Child {
    /// Writes a line of the program's own to the error log, if `level` is [wanted](crate::Args::log_level): with time, name and pid as
    /// the daemon's own lines.
    ///
    /// It never waits: a line that finds no room is lost and counted, and the log says so. In a copy of the child
    /// it does nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::{Args, LogLevel};
    ///
    /// let args = Args::new().main_loop(|child, ()| {
    ///     child.log(LogLevel::Warn, "the cache is cold");
    ///     Ok(())
    /// });
    /// # drop(args);
    /// ```
    pub fn log(&mut self, level: LogLevel, text: impl Display) {
        if !self.is_copy() {
            self.log.write(&Said { level, text: &text });
        }
    }

    /// Writes a line that a program has printed which this child runs to the error log, under the pid of that, whatever
    /// [`log_level`](crate::Args::log_level) is.
    ///
    /// Control characters in it are escaped. A reader of the log that is behind is waited for once, for 100 ms; then lines are lost, and the log says
    /// how many. In a copy of the child it does nothing.
    pub fn relay(&mut self, pid: u32, line: impl Display) {
        if !self.is_copy() {
            self.log.relay(pid, &line);
        }
    }

    /// Asks, once, to be replaced: the child goes on until its successor serves and it is asked to leave. The error log
    /// has `reason`.
    ///
    /// For limits that only the program knows, beside [`max_requests`](crate::Args::max_requests),
    /// [`max_memory`](crate::Args::max_memory) and [`max_lifetime`](crate::Args::max_lifetime). Returns whether this was
    /// the first time, and there is a parent that can replace it.
    pub fn ask_for_successor(&mut self, reason: impl Display) -> bool {
        let is_new = !self.is_copy()
            && self.reporter.as_ref().is_some_and(|reporter| reporter.report(Report::Tired));
        if is_new {
            self.log(LogLevel::Info, format_args!("to be replaced: {reason}"));
        }
        is_new
    }
}
