//! What is by seccomp: one filter, in which the calls stand that are refused.
//!
//! Refused calls fail with `EPERM`, as they would for another user. A filter sees the numbers that a call is given, and no
//! more: it knows 0, which is the caller, and the pid of the process that it was made for.

use crate::{Isolation, Layer};

pub(crate) use with::apply;

/// Returns whether a layer is by a filter.
pub(crate) const fn has(layer: Layer) -> bool {
    matches!(layer, Layer::Scheduling | Layer::NoNetwork | Layer::Deny)
}

/// Returns why a layer is not possible here, whatever the kernel.
pub(crate) fn obstacle(layer: Layer) -> Option<String> {
    if !has(layer) {
        return None;
    }
    if cfg!(not(feature = "seccomp")) {
        return Some("built without the feature seccomp".to_owned());
    }
    let is_known =
        cfg!(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"));
    (!is_known).then(|| format!("not for {}", std::env::consts::ARCH))
}

/// Returns whether anything that was asked for is by a filter.
pub(crate) fn is_wanted(isolation: &Isolation) -> bool {
    isolation.wanted.keys().any(|layer| has(*layer))
}

#[cfg(feature = "seccomp")]
mod with {
    use std::{collections::BTreeMap, io};

    use nix::libc;
    use seccompiler::{
        BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
        SeccompFilter, SeccompRule, apply_filter,
    };

    use crate::{Isolation, Layer, sys, value::Value};

    /// In `linux/resource.h`; C libraries have it of different types.
    const PRIO_USER: u64 = 2;

    /// In `linux/ioprio.h`.
    const IOPRIO_WHO_USER: u64 = 3;

    /// Has the kernel refuse calls of this thread, and of what it starts, for good. The thread gains no rights by executing
    /// files from then on.
    pub(crate) fn apply(isolation: &Isolation) -> io::Result<()> {
        let program = program(isolation, std::process::id()).map_err(io::Error::other)?;
        apply_filter(&program).map_err(io::Error::other)
    }

    type Result<T> = std::result::Result<T, BackendError>;

    /// Makes the filter of the process `own`.
    fn program(isolation: &Isolation, own: u32) -> Result<BpfProgram> {
        let mut refused = Refused::default();
        if isolation.wants(Layer::Scheduling) {
            refused.what_slows_others_down(own, isolation.wants(Layer::Cpus))?;
        }
        if isolation.wants(Layer::NoNetwork) {
            let other_than_unix = is(0, SeccompCmpOp::Ne, libc::AF_UNIX as u64)?;
            refused.when(libc::SYS_socket, vec![other_than_unix])?;
            refused.always(libc::SYS_io_uring_setup);
        }
        if let Some(Value::Calls(calls)) =
            isolation.wanted.get(&Layer::Deny).map(|wanted| &wanted.value)
        {
            calls.iter().for_each(|call| refused.always(call.number()));
        }
        refused.program()
    }

    /// The calls that are refused, each with the conditions of which one must hold.
    #[derive(Default)]
    struct Refused(BTreeMap<i64, Vec<SeccompRule>>);

    impl Refused {
        /// Refuses a call whatever it is given.
        fn always(&mut self, call: libc::c_long) {
            // No rule at all holds always.
            numbers(call).for_each(|number| drop(self.0.insert(number, Vec::new())));
        }

        /// Refuses it where all these conditions hold, beside what was said before.
        fn when(&mut self, call: libc::c_long, conditions: Vec<SeccompCondition>) -> Result<()> {
            let rule = SeccompRule::new(conditions)?;
            for number in numbers(call) {
                self.0.entry(number).or_default().push(rule.clone());
            }
            Ok(())
        }

        /// Refuses what gives other processes less of the machine.
        fn what_slows_others_down(&mut self, own: u32, keeps_cpus: bool) -> Result<()> {
            let other = |argument| {
                Ok([
                    is(argument, SeccompCmpOp::Ne, 0)?,
                    is(argument, SeccompCmpOp::Ne, own.into())?,
                ])
            };
            let calls =
                [libc::SYS_sched_setscheduler, libc::SYS_sched_setparam, libc::SYS_sched_setattr];
            for call in calls {
                self.when(call, other(0)?.into())?;
            }
            if keeps_cpus {
                self.always(libc::SYS_sched_setaffinity);
            } else {
                self.when(libc::SYS_sched_setaffinity, other(0)?.into())?;
            }
            // To read them harms nobody.
            let [a, b] = other(0)?;
            let sets = SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0)?;
            self.when(libc::SYS_prlimit64, vec![sets, a, b])?;
            // Of a process or a group, or of a user: its own is that of its siblings.
            for (call, user) in
                [(libc::SYS_setpriority, PRIO_USER), (libc::SYS_ioprio_set, IOPRIO_WHO_USER)]
            {
                let [a, b] = other(1)?;
                self.when(call, vec![is(0, SeccompCmpOp::Ne, user)?, a, b])?;
                self.when(call, vec![is(0, SeccompCmpOp::Eq, user)?])?;
            }
            Ok(())
        }

        fn program(self) -> Result<BpfProgram> {
            let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
            let here = std::env::consts::ARCH.try_into()?;
            SeccompFilter::new(self.0, SeccompAction::Allow, refuse, here)?.try_into()
        }
    }

    fn is(argument: u8, what: SeccompCmpOp, value: u64) -> Result<SeccompCondition> {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, what, value)
    }

    /// The numbers of a call: kernels with the x32 interface have another one for each, of the same architecture.
    ///
    /// Each takes the kernel time at every fork, as it goes through the filter for every call that there is.
    fn numbers(call: libc::c_long) -> impl Iterator<Item = i64> {
        let of_x32 = sys::has_x32().then_some(call | sys::X32);
        [call].into_iter().chain(of_x32)
    }
}

#[cfg(not(feature = "seccomp"))]
mod with {
    use std::io;

    use crate::Isolation;

    /// Fails: nothing is to be asked for that was found to be missing.
    pub(crate) fn apply(_: &Isolation) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
