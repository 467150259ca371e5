//! What is by Landlock: a domain for each process, out of which it does not reach.
//!
//! Two processes that have restricted themselves are in two domains, of which neither is within the other. Whatever it is
//! that a domain restricts, its processes trace none outside. So one that restricts nothing else does for tracing, but the
//! kernel takes no such; there something is restricted that is allowed everywhere.

use std::collections::BTreeSet;

pub(crate) use with::apply;

use crate::{Isolation, Layer, sys, value::Value};

/// What a domain is to restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Domain {
    pub(crate) signals: bool,
    pub(crate) tracing: bool,
    pub(crate) abstract_sockets: bool,
    pub(crate) connect: Option<BTreeSet<u16>>,
    pub(crate) bind: Option<BTreeSet<u16>>,
}

impl Domain {
    pub(crate) fn of(isolation: &Isolation) -> Self {
        let ports = |layer| match isolation.wanted.get(&layer).map(|wanted| &wanted.value) {
            Some(Value::Ports(ports)) => Some(ports.clone()),
            _ => None,
        };
        Self {
            signals: isolation.wants(Layer::Signals),
            tracing: isolation.wants(Layer::Tracing),
            abstract_sockets: isolation.wants(Layer::AbstractSockets),
            connect: ports(Layer::Connect),
            bind: ports(Layer::Bind),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    #[cfg(feature = "landlock")]
    fn is_for_tracing_alone(&self) -> bool {
        *self == Self { tracing: true, ..Self::default() }
    }
}

/// The version of the interface that a layer needs, and the kernel that has come with it; `None` of layers that are not by
/// Landlock. Before the second one, files cannot be moved from directory to directory in any domain.
const fn needed(layer: Layer) -> Option<(u32, &'static str)> {
    match layer {
        Layer::Tracing => Some((2, "5.19")),
        Layer::Connect | Layer::Bind => Some((4, "6.7")),
        Layer::Signals | Layer::AbstractSockets => Some((6, "6.12")),
        _ => None,
    }
}

/// Returns whether a layer is by Landlock.
pub(crate) const fn has(layer: Layer) -> bool {
    needed(layer).is_some()
}

/// Returns why a layer is not possible here, as far as the kernel's version goes.
pub(crate) fn obstacle(layer: Layer) -> Option<String> {
    if cfg!(not(feature = "landlock")) {
        return needed(layer).map(|_| "built without the feature landlock".to_owned());
    }
    obstacle_with(layer, sys::landlock_abi().map_err(|error| error.raw_os_error()))
}

fn obstacle_with(layer: Layer, abi: Result<u32, Option<i32>>) -> Option<String> {
    let (needed, kernel) = needed(layer)?;
    let wants = format!("needs ABI {needed}, Linux {kernel}");
    match abi {
        Ok(abi) if abi >= needed => None,
        Ok(abi) => Some(format!("Landlock ABI {abi}; {wants}")),
        Err(Some(nix::libc::EOPNOTSUPP)) => {
            Some("Landlock is off; boot with lsm=landlock,...".to_owned())
        }
        Err(_) => {
            Some(format!("the kernel, or a sandbox round this process, has no Landlock; {wants}"))
        }
    }
}

#[cfg(feature = "landlock")]
mod with {
    use std::{fs::File, io};

    use landlock::{
        AccessFs, AccessNet, CompatLevel, Compatible, NetPort, PathBeneath, Ruleset, RulesetAttr,
        RulesetCreatedAttr, RulesetError, Scope,
    };

    use super::Domain;

    /// Restricts this thread, and what it starts, for good. The thread gains no rights by executing files from then on.
    pub(crate) fn apply(domain: &Domain) -> io::Result<()> {
        // All are open to everybody who may open anything; only where nothing else would do.
        let root = domain.is_for_tracing_alone().then(|| File::open("/")).transpose()?;
        restrict(domain, root.as_ref()).map_err(io::Error::other)
    }

    fn restrict(domain: &Domain, root: Option<&File>) -> Result<(), RulesetError> {
        let Domain { signals, abstract_sockets, connect, bind, .. } = domain;
        let mut rules = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        if *signals {
            rules = rules.scope(Scope::Signal)?;
        }
        if *abstract_sockets {
            rules = rules.scope(Scope::AbstractUnixSocket)?;
        }
        let ports = [(connect, AccessNet::ConnectTcp), (bind, AccessNet::BindTcp)];
        for (ports, access) in &ports {
            if ports.is_some() {
                rules = rules.handle_access(*access)?;
            }
        }
        if root.is_some() {
            rules = rules.handle_access(AccessFs::Refer)?;
        }
        let mut rules = rules.create()?;
        for (ports, access) in ports {
            for port in ports.iter().flatten() {
                rules = rules.add_rule(NetPort::new(*port, access))?;
            }
        }
        if let Some(root) = root {
            // Below the root are all mounts.
            rules = rules.add_rule(PathBeneath::new(root, AccessFs::Refer))?;
        }
        rules.restrict_self().map(drop)
    }
}

#[cfg(not(feature = "landlock"))]
mod with {
    use std::io;

    use super::Domain;

    /// Fails: nothing is to be asked for that was found to be missing.
    pub(crate) fn apply(_: &Domain) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_kernel_that_has_it() {
        let shown = |layer, abi| obstacle_with(layer, abi).unwrap_or_default();
        assert_eq!(shown(Layer::Signals, Ok(6)), "");
        assert_eq!(shown(Layer::Tracing, Ok(2)), "");
        assert_eq!(shown(Layer::NotDumpable, Ok(1)), "");
        assert_eq!(shown(Layer::Signals, Ok(4)), "Landlock ABI 4; needs ABI 6, Linux 6.12");
        assert_eq!(shown(Layer::Connect, Ok(3)), "Landlock ABI 3; needs ABI 4, Linux 6.7");
        let off = shown(Layer::Tracing, Err(Some(nix::libc::EOPNOTSUPP)));
        assert_eq!(off, "Landlock is off; boot with lsm=landlock,...");
        let without = shown(Layer::Tracing, Err(Some(nix::libc::ENOSYS)));
        let expected =
            "the kernel, or a sandbox round this process, has no Landlock; needs ABI 2, Linux 5.19";
        assert_eq!(without, expected);
    }
}
