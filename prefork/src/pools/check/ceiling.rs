//! What pools share, and whether there is enough of it for all that is always there.

use prefork_core::{Arbiter, ArbiterError, Ceiling, pools::PoolId, too_little_memory};

use crate::{Fault, pools::member::Member, seat::Seated};

/// What all pools together may have, as it was given.
#[derive(Clone, Copy, Debug)]
pub(in crate::pools) struct Ceilings {
    /// How many children.
    pub(in crate::pools) children: Option<u32>,
    /// As many as take so many bytes.
    pub(in crate::pools) memory: Option<u64>,
}

impl Ceilings {
    /// Returns what holds of it.
    pub(super) fn in_force(self) -> Option<Ceiling> {
        Ceiling::of(self.children, self.memory)
    }

    /// Checks what is said of one pool among the others, whatever they are.
    pub(super) fn check_member(self, member: &Member, faults: &mut Vec<Fault>) {
        let Member { name, weight, child_memory, .. } = member;
        let without = |ceiling: &str| format!("does nothing without a {ceiling} too");
        let weight = weight.filter(|_| self.in_force().is_none());
        let weight =
            weight.map(|_| without("ceiling; set Pools::ceiling or Pools::memory_ceiling"));
        let child_memory = child_memory.and_then(|bytes| match self.memory {
            Some(_) => too_little(bytes),
            None => Some(without("memory ceiling; set Pools::memory_ceiling")),
        });
        for (argument, problem) in [("weight", weight), ("child_memory", child_memory)] {
            let problem = problem.iter();
            faults.extend(problem.map(|it| Fault::of_program(&format!("{name}.{argument}"), it)));
        }
    }

    /// There must be room for all that is always there, and for a child of each pool.
    pub(super) fn check(self, members: &[Seated], faults: &mut Vec<Fault>) {
        if let Some(problem) = self.memory.and_then(too_little) {
            faults.push(Fault::of_program("memory_ceiling", &problem));
        } else if let Some(ceiling) = self.in_force() {
            check_room(ceiling, members, faults);
        }
    }
}

/// Returns what is wrong with so many bytes for processes.
fn too_little(bytes: u64) -> Option<String> {
    match bytes {
        0 => Some("is 0, but any process takes memory; 1M is the least".to_owned()),
        bytes => too_little_memory(bytes),
    }
}

fn check_room(ceiling: Ceiling, members: &[Seated], faults: &mut Vec<Fault>) {
    let quotas = (0..).map(PoolId).zip(members.iter().map(|member| member.quota));
    let Err(error) = Arbiter::new(ceiling, quotas) else { return };
    let of = |argument: &str| {
        let name = error.pool().map(|PoolId(number)| &*members[number as usize].name);
        format!("{}.{argument}", name.unwrap_or_default())
    };
    let (argument, problem) = match error {
        ArbiterError::Weight { .. } => (of("weight"), error.to_string()),
        ArbiterError::NoChildMemory { .. } => {
            let problem = "is not set, which a memory ceiling needs: set it to what a child takes, or set \
                           child_memory_limit";
            (of("child_memory"), problem.to_owned())
        }
        ArbiterError::ChildTooLarge { .. } => (of("child_memory"), error.to_string()),
        ArbiterError::MemoryBelowMinimums { .. } => {
            ("memory_ceiling".to_owned(), error.to_string())
        }
        // Each pool's sizes were checked before.
        _ => ("ceiling".to_owned(), error.to_string()),
    };
    faults.push(Fault::of_program(&argument, &problem));
}
