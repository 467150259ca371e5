//! Limits of resources.

use std::io;

use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    thread::{CapabilitySet, capabilities},
};

use crate::{Layer, value::Value};

/// The resource that a layer limits, with how much of it; `None` of other layers.
pub(crate) fn of(layer: Layer, value: &Value) -> Option<(Resource, u64)> {
    let (Value::Count(most) | Value::Size(most)) = value else { return None };
    let resource = match layer {
        Layer::OpenFiles => Resource::Nofile,
        Layer::Processes => Resource::Nproc,
        Layer::CpuTime => Resource::Cpu,
        Layer::FileSize => Resource::Fsize,
        Layer::CoreSize => Resource::Core,
        Layer::Data => Resource::Data,
        Layer::AddressSpace => Resource::As,
        _ => return None,
    };
    Some((resource, *most))
}

/// Returns why this process cannot set a limit, if it cannot. Changes nothing.
pub(crate) fn obstacle((resource, most): (Resource, u64)) -> Option<String> {
    let hard = getrlimit(resource).maximum?;
    let may_raise = || {
        capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_RESOURCE))
    };
    (most > hard && !may_raise())
        .then(|| format!("the limit of this process is {hard}; give at most that"))
}

/// Sets both the soft and the hard limit; the soft one of computing time, at which there is a signal first, is a second
/// lower.
pub(crate) fn set((resource, most): (Resource, u64)) -> io::Result<()> {
    let (current, maximum) = match resource {
        Resource::Cpu => {
            (most, most.saturating_add(1).min(getrlimit(resource).maximum.unwrap_or(u64::MAX)))
        }
        _ => (most, most),
    };
    Ok(setrlimit(resource, Rlimit { current: Some(current), maximum: Some(maximum) })?)
}
