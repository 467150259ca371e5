//! How much of the processors and of the disk a process has beside others.

use std::{collections::BTreeSet, io};

use rustix::{
    process::setpriority_process,
    thread::{CpuSet, sched_setaffinity},
};

use crate::{Layer, sys, value::Value};

/// Applies a layer to this thread, and to what it starts; `None` if it is another kind of layer.
pub(crate) fn apply(layer: Layer, value: &Value) -> Option<io::Result<()>> {
    Some(match (layer, value) {
        (Layer::Nice, Value::Nice(nice)) => setpriority_process(None, *nice).map_err(Into::into),
        (Layer::IoPriority, Value::IoPriority(priority)) => sys::set_io_priority(*priority),
        (Layer::Cpus, Value::Cpus(cpus)) => run_on(cpus),
        _ => return None,
    })
}

fn run_on(cpus: &BTreeSet<u16>) -> io::Result<()> {
    let mut set = CpuSet::new();
    let known = cpus.iter().map(|cpu| usize::from(*cpu)).filter(|cpu| *cpu < CpuSet::MAX_CPU);
    known.for_each(|cpu| set.set(cpu));
    Ok(sched_setaffinity(None, &set)?)
}
