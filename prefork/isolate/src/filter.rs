//! What is by seccomp: one filter, in which the calls stand that are refused.
//!
//! Refused calls fail with `EPERM`, as they would for another user. A filter sees the numbers that a call is given, and no
//! more: it knows 0, which is the caller, and the pid of the process that it was made for.

use std::{collections::BTreeMap, io, mem::offset_of};

use nix::libc::{self, seccomp_data};

use crate::{
    Isolation, Layer,
    bpf::{Builder, Instruction, Label, Operand},
    sys,
    value::Value,
};

/// What a kernel calls the architecture that this is built for, in `linux/audit.h`; `None` of those whose calls are not known
/// here.
const ARCHITECTURE: Option<u32> = if cfg!(target_arch = "x86_64") {
    Some(0xC000_003E)
} else if cfg!(target_arch = "aarch64") {
    Some(0xC000_00B7)
} else if cfg!(target_arch = "riscv64") {
    Some(0xC000_00F3)
} else {
    None
};

/// In `linux/resource.h`; C libraries have it of different types.
const PRIO_USER: u32 = 2;

/// In `linux/ioprio.h`.
const IOPRIO_WHO_USER: u32 = 3;

/// What the numbers of calls by the x32 interface have besides.
const X32: u32 = 0x4000_0000;

/// Returns whether a layer is by a filter.
pub(crate) const fn has(layer: Layer) -> bool {
    matches!(layer, Layer::Scheduling | Layer::NoNetwork | Layer::Deny)
}

/// Returns why a layer is not possible here, whatever the kernel.
pub(crate) fn obstacle(layer: Layer) -> Option<String> {
    (has(layer) && ARCHITECTURE.is_none()).then(|| format!("not for {}", std::env::consts::ARCH))
}

/// The filter that processes take, each with its own pid in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter(Vec<Instruction>);

impl Filter {
    /// Makes the filter for what is wanted; `None` where no call is refused.
    pub(crate) fn of(isolation: &Isolation) -> Option<Self> {
        Self::on(isolation, ARCHITECTURE?, sys::has_x32())
    }

    /// Has the kernel refuse calls of this thread, and of what it starts, for good. The thread must have given up to gain
    /// rights by executing files.
    pub(crate) fn apply(&self) -> io::Result<()> {
        let pid = std::process::id();
        let program: Vec<_> = self.0.iter().map(|it| it.of_process(pid)).collect();
        sys::filter_calls(&program)
    }

    fn on(isolation: &Isolation, architecture: u32, has_x32: bool) -> Option<Self> {
        let mut refused = Refused::new(has_x32);
        if isolation.wants(Layer::Scheduling) {
            refused.what_slows_others_down(isolation.wants(Layer::Cpus));
        }
        if isolation.wants(Layer::NoNetwork) {
            let sockets = refused.unless(0, libc::AF_UNIX.unsigned_abs());
            refused.at(libc::SYS_socket, sockets);
            refused.at(libc::SYS_io_uring_setup, refused.refuse);
        }
        if let Some(Value::Calls(calls)) =
            isolation.wanted.get(&Layer::Deny).map(|wanted| &wanted.value)
        {
            calls.iter().for_each(|call| refused.at(call.number(), refused.refuse));
        }
        refused.finish(architecture).map(Self)
    }
}

/// The calls at which something is refused.
struct Refused {
    program: Builder,
    allow: Label,
    refuse: Label,
    has_x32: bool,
    /// Where it goes on for each number.
    calls: BTreeMap<u32, Label>,
}

impl Refused {
    fn new(has_x32: bool) -> Self {
        let mut program = Builder::default();
        let allow = program.answer(libc::SECCOMP_RET_ALLOW);
        let refuse = program.answer(libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs());
        Self { program, allow, refuse, has_x32, calls: BTreeMap::new() }
    }

    /// Goes on there for a call, whatever was said of it before. Kernels with the x32 interface have another number for each,
    /// of the same architecture.
    fn at(&mut self, call: libc::c_long, label: Label) {
        let number = u32::try_from(call).expect("the numbers of calls are small");
        self.calls.insert(number, label);
        if self.has_x32 {
            self.calls.insert(number | X32, label);
        }
    }

    /// Refuses it unless the argument is this, of its 32 lower bits.
    fn unless(&mut self, argument: usize, number: u32) -> Label {
        self.program.if_equal(Operand::Number(number), self.allow, self.refuse);
        self.program.read(low(argument))
    }

    /// Refuses it unless the argument is the caller, by 0 or by its pid.
    fn unless_own(&mut self, argument: usize) -> Label {
        let Self { program, allow, refuse, .. } = self;
        let is_named = program.if_equal(Operand::OwnPid, *allow, *refuse);
        program.if_equal(Operand::Number(0), *allow, is_named);
        program.read(low(argument))
    }

    /// Refuses what gives other processes less of the machine.
    fn what_slows_others_down(&mut self, keeps_cpus: bool) {
        let own = self.unless_own(0);
        for call in
            [libc::SYS_sched_setscheduler, libc::SYS_sched_setparam, libc::SYS_sched_setattr]
        {
            self.at(call, own);
        }
        self.at(libc::SYS_sched_setaffinity, if keeps_cpus { self.refuse } else { own });
        // To read them harms nobody: there is no address of new ones.
        self.program.if_equal(Operand::Number(0), self.allow, own);
        let upper = self.program.read(high(2));
        self.program.if_equal(Operand::Number(0), upper, own);
        let limits = self.program.read(low(2));
        self.at(libc::SYS_prlimit64, limits);
        // Of a process or a group, or of a user: its own is that of its siblings.
        let own = self.unless_own(1);
        for (call, user) in
            [(libc::SYS_setpriority, PRIO_USER), (libc::SYS_ioprio_set, IOPRIO_WHO_USER)]
        {
            self.program.if_equal(Operand::Number(user), self.refuse, own);
            let what = self.program.read(low(0));
            self.at(call, what);
        }
    }

    fn finish(self, architecture: u32) -> Option<Vec<Instruction>> {
        let Self { mut program, allow, calls, .. } = self;
        let calls: Vec<_> = calls.into_iter().collect();
        if calls.is_empty() {
            return None;
        }
        // By another architecture the same numbers are other calls.
        let end = program.answer(libc::SECCOMP_RET_KILL_PROCESS);
        program.find(&calls, allow);
        let number = program.read(offset_of!(seccomp_data, nr));
        program.if_equal(Operand::Number(architecture), number, end);
        program.read(offset_of!(seccomp_data, arch));
        Some(program.finish())
    }
}

/// Where the 32 lower bits of an argument are: all architectures that are known here have them first.
const fn low(argument: usize) -> usize {
    offset_of!(seccomp_data, args) + argument * size_of::<u64>()
}

const fn high(argument: usize) -> usize {
    low(argument) + size_of::<u32>()
}

#[cfg(test)]
mod tests;
