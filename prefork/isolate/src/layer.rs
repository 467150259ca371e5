//! What can be asked for, each under its name.

use std::fmt::{self, Display};

/// One thing that holds a process apart from its siblings, or limits what it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Layer {
    /// Neither it nor what it starts gains rights by executing a file. See `PR_SET_NO_NEW_PRIVS` in `prctl(2)`.
    NoNewPrivileges,
    /// It sends signals to nobody but itself and what it has started: no sibling, and not its parent. By Landlock.
    Signals,
    /// It traces nobody but what it has started, and so reads and writes nobody's memory, and takes nobody's descriptors: all
    /// that asks for the rights of `ptrace(2)`. By Landlock.
    Tracing,
    /// It connects to no abstract socket but those of itself and of what it has started. By Landlock. See `unix(7)`.
    AbstractSockets,
    /// It changes priorities, processors and limits of no other process. By seccomp.
    ///
    /// A call is allowed for 0, which is the caller, and for the pid of the child. So `pthread_setaffinity_np(3)` and
    /// `pthread_setschedparam(3)` fail with `EPERM`, as they name threads. Programs of another architecture, as of 32 bits,
    /// are ended by `SIGSYS`: that is so with every layer that is by seccomp.
    Scheduling,
    /// Nobody but root traces it, reads its memory, lists its descriptors or writes to its files in `/proc` (as
    /// `oom_score_adj`), and it leaves no core dump, until it executes a file. See `PR_SET_DUMPABLE` in `prctl(2)`.
    NotDumpable,
    /// It connects to these TCP ports alone. By Landlock.
    Connect,
    /// It binds to these TCP ports alone. By Landlock.
    Bind,
    /// It makes no sockets but those of UNIX; those that it has go on. By seccomp.
    NoNetwork,
    /// These system calls are refused with `EPERM`. By seccomp.
    Deny,
    /// `/tmp` and `/var/tmp` are its own, empty, in memory, no larger than this, and gone with it. Needs root.
    PrivateTmp,
    /// How many descriptors it may have: `RLIMIT_NOFILE` in `getrlimit(2)`.
    OpenFiles,
    /// How many processes and threads its user may have, all of them counted: `RLIMIT_NPROC`. Root is not bound.
    Processes,
    /// For how many seconds it may compute, from its start on: `RLIMIT_CPU`. Then `SIGXCPU`, a second later `SIGKILL`.
    CpuTime,
    /// How large a file may become by its writing: `RLIMIT_FSIZE`.
    FileSize,
    /// How large its core dump may be: `RLIMIT_CORE`.
    CoreSize,
    /// How much memory of its own it may ask for: `RLIMIT_DATA`.
    Data,
    /// How much address space it may have: `RLIMIT_AS`.
    AddressSpace,
    /// How nice it is, -20 to 19. See `nice(2)`.
    Nice,
    /// In which order the disk serves it: 0 (first) to 7, or idle. See `ioprio_set(2)`.
    IoPriority,
    /// The processors on which it runs. See `sched_setaffinity(2)`.
    Cpus,
}

/// What a layer is given besides its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nothing,
    /// A number of bytes.
    Size,
    Count,
    Ports,
    Calls,
    Nice,
    IoPriority,
    Cpus,
}

impl Layer {
    /// All layers, in the order in which they are shown.
    pub const ALL: [Self; 21] = [
        Self::NoNewPrivileges,
        Self::Signals,
        Self::Tracing,
        Self::AbstractSockets,
        Self::Scheduling,
        Self::NotDumpable,
        Self::Connect,
        Self::Bind,
        Self::NoNetwork,
        Self::Deny,
        Self::PrivateTmp,
        Self::OpenFiles,
        Self::Processes,
        Self::CpuTime,
        Self::FileSize,
        Self::CoreSize,
        Self::Data,
        Self::AddressSpace,
        Self::Nice,
        Self::IoPriority,
        Self::Cpus,
    ];

    /// What holds siblings apart.
    pub const SIBLINGS: [Self; 6] = [
        Self::NoNewPrivileges,
        Self::Signals,
        Self::Tracing,
        Self::AbstractSockets,
        Self::Scheduling,
        Self::NotDumpable,
    ];

    /// Returns its name, as settings have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.entry().0
    }

    pub(crate) const fn kind(self) -> Kind {
        self.entry().1
    }

    const fn entry(self) -> (&'static str, Kind) {
        match self {
            Self::NoNewPrivileges => ("no-new-privileges", Kind::Nothing),
            Self::Signals => ("signals", Kind::Nothing),
            Self::Tracing => ("tracing", Kind::Nothing),
            Self::AbstractSockets => ("abstract-sockets", Kind::Nothing),
            Self::Scheduling => ("scheduling", Kind::Nothing),
            Self::NotDumpable => ("not-dumpable", Kind::Nothing),
            Self::Connect => ("connect", Kind::Ports),
            Self::Bind => ("bind", Kind::Ports),
            Self::NoNetwork => ("no-network", Kind::Nothing),
            Self::Deny => ("deny", Kind::Calls),
            Self::PrivateTmp => ("private-tmp", Kind::Size),
            Self::OpenFiles => ("open-files", Kind::Count),
            Self::Processes => ("processes", Kind::Count),
            Self::CpuTime => ("cpu-time", Kind::Count),
            Self::FileSize => ("file-size", Kind::Size),
            Self::CoreSize => ("core-size", Kind::Size),
            Self::Data => ("data", Kind::Size),
            Self::AddressSpace => ("address-space", Kind::Size),
            Self::Nice => ("nice", Kind::Nice),
            Self::IoPriority => ("io-priority", Kind::IoPriority),
            Self::Cpus => ("cpus", Kind::Cpus),
        }
    }
}

impl Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_layer_is_listed_once_under_a_name_of_its_own() {
        let names: BTreeSet<_> = Layer::ALL.iter().map(|layer| layer.name()).collect();
        assert_eq!(names.len(), Layer::ALL.len());
        let in_order: BTreeSet<_> = Layer::ALL.into_iter().collect();
        assert!(in_order.into_iter().eq(Layer::ALL));
    }
}
