//! Looking at arguments instead of running a daemon.

use std::io::{self, Write};

use prefork_core::one_line;
use prefork_isolate::Report;

use super::Prefork;
use crate::{Args, ArgsError, args::check::Plan};

/// What is to be seen of arguments, in the place of a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Inspect {
    /// Whether they make sense, as for a flag `--check`.
    Check,
    /// Whether they make sense, without a line to say so, for programs that have more to print.
    Quiet,
    /// All settings, each with its value and where that comes from, as for a flag `--print-settings`.
    Print,
}

impl<S> Args<S> {
    /// Checks the arguments as [`Prefork::new`] does, and prints what was asked for to standard output, and warnings to
    /// standard error; nothing is opened, written or started.
    ///
    /// What is checked depends on who asks: whether files are root's alone, for example, only where root does.
    ///
    /// Returns which layers of [`isolate`](Self::isolate) are on, and which are not possible here.
    ///
    /// # Errors
    ///
    /// Fails with every fault found, as [`Prefork::new`] does. The settings are printed all the same.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::{Args, Inspect};
    ///
    /// let args = Args::new().daemonize(false).prefork(4).main_loop(|_child, ()| Ok(()));
    /// // In the place of Prefork::new(args)?.run()?
    /// args.inspect(Inspect::Print)?;
    /// # Ok::<(), prefork::ArgsError>(())
    /// ```
    pub fn inspect(self, what: Inspect) -> Result<Report, ArgsError> {
        for warning in &self.data.settings.warnings {
            let _ = writeln!(io::stderr(), "warning: {}", one_line(warning));
        }
        if what == Inspect::Print {
            print(&self.list_settings());
        }
        let Plan { settings, users, .. } = Prefork::new(self)?.plan;
        let isolation = users.layers.report();
        if what == Inspect::Check {
            print(&format!("{}: the settings are right\n", settings.name));
            if !isolation.is_empty() {
                print(&format!("isolation: {isolation}\n"));
            }
        }
        Ok(isolation.clone())
    }
}

/// Whoever is to read it may have gone: no reason to end by a panic.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}
