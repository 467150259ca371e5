//! The signals that a test sends.

use rustix::process::Signal as Kernel;

/// A signal to a daemon or to one of its children (see `signal(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// `SIGTERM`: stop.
    Term,
    /// `SIGINT`: stop now.
    Int,
    /// `SIGQUIT`: stop now.
    Quit,
    /// `SIGHUP`: reload.
    Hup,
    /// `SIGUSR1`: open the logs again.
    Usr1,
    /// `SIGUSR2`: upgrade.
    Usr2,
    /// `SIGTTIN`: one child more.
    Ttin,
    /// `SIGTTOU`: one child fewer.
    Ttou,
    /// `SIGSTOP`: do nothing until `SIGCONT`.
    Stop,
    /// `SIGCONT`: go on.
    Cont,
    /// `SIGKILL`: end at once.
    Kill,
}

impl Signal {
    pub(crate) const fn for_kernel(self) -> Kernel {
        match self {
            Self::Term => Kernel::TERM,
            Self::Int => Kernel::INT,
            Self::Quit => Kernel::QUIT,
            Self::Hup => Kernel::HUP,
            Self::Usr1 => Kernel::USR1,
            Self::Usr2 => Kernel::USR2,
            Self::Ttin => Kernel::TTIN,
            Self::Ttou => Kernel::TTOU,
            Self::Stop => Kernel::STOP,
            Self::Cont => Kernel::CONT,
            Self::Kill => Kernel::KILL,
        }
    }
}
