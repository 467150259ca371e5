//! The layers that are on, and the order in which a process takes them.
//!
//! What takes root comes before root is given up ([`begin`](Layers::begin)), and what would hinder the rest of a process's
//! start comes last ([`finish`](Layers::finish)): first what the kernel demands of those that restrict themselves, then the
//! domain, then the filter, which refuses calls.

use std::io;

use rustix::{
    process::{DumpableBehavior, set_dumpable_behavior},
    thread::set_no_new_privs,
};

use crate::{
    Isolation, Layer, Report, domain, domain::Domain, filter::Filter, limit, private_tmp, share,
    value::Value,
};

/// Why a process is not isolated as it was to be, and must end.
#[derive(thiserror::Error)]
#[error("cannot isolate this process: {layer}")]
#[non_exhaustive]
pub struct IsolateError {
    /// The layer that was refused.
    pub layer: &'static str,
    /// What the system said.
    pub source: io::Error,
}

prefork_core::debug_as_chain!(IsolateError);

impl IsolateError {
    fn of(layer: Layer) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { layer: layer.name(), source }
    }
}

/// The layers that are on: those that were asked for and are possible here. By default none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layers {
    pub(crate) on: Isolation,
    pub(crate) domain: Domain,
    pub(crate) filter: Option<Filter>,
    pub(crate) report: Report,
}

impl Layers {
    /// Returns which layers are on, and which are not possible here.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// Returns those of them that hold siblings apart: for a process beside them, which has other limits.
    #[must_use]
    pub fn siblings_apart(&self) -> Self {
        let (mut on, mut report) = (Isolation::new(), Report::default());
        for (layer, wanted) in &self.on.wanted {
            if Layer::SIBLINGS.contains(layer) {
                report.add_on(*layer, &wanted.value);
                on.wanted.insert(*layer, wanted.clone());
            }
        }
        Self::made(on, report)
    }

    /// Makes all ready that processes need not make for themselves.
    pub(crate) fn made(on: Isolation, report: Report) -> Self {
        let (domain, filter) = (Domain::of(&on), Filter::of(&on));
        Self { on, domain, filter, report }
    }

    /// Applies what takes the rights that a process is about to give up: limits, priorities, a `/tmp` of its own.
    ///
    /// # Errors
    ///
    /// Fails if the kernel refuses something. The process is in between then, and must end.
    ///
    /// # Fork
    ///
    /// To be called in a process just forked, before it changes its user. It holds for what the process starts.
    pub fn begin(&self) -> Result<(), IsolateError> {
        for (layer, wanted) in &self.on.wanted {
            self::begin(*layer, &wanted.value).map_err(IsolateError::of(*layer))?;
        }
        Ok(())
    }

    /// Applies the rest, for good.
    ///
    /// # Errors
    ///
    /// Fails if the kernel refuses something. The process is in between then, and must end.
    ///
    /// # Fork
    ///
    /// To be called in a process just forked and of one thread, after it has changed its user, and when all is done that
    /// reaches others. It holds for what the process starts.
    pub fn finish(&self) -> Result<(), IsolateError> {
        let on = &self.on;
        if on.wants(Layer::NoNewPrivileges) || self.filter.is_some() || !self.domain.is_empty() {
            let layer = Layer::NoNewPrivileges;
            set_no_new_privs(true).map_err(io::Error::from).map_err(IsolateError::of(layer))?;
        }
        if on.wants(Layer::NotDumpable) {
            set_dumpable_behavior(DumpableBehavior::NotDumpable)
                .map_err(io::Error::from)
                .map_err(IsolateError::of(Layer::NotDumpable))?;
        }
        if !self.domain.is_empty() {
            let error = |source| IsolateError { layer: "Landlock", source };
            domain::apply(&self.domain).map_err(error)?;
        }
        if let Some(filter) = &self.filter {
            let error = |source| IsolateError { layer: "seccomp", source };
            filter.apply().map_err(error)?;
        }
        Ok(())
    }
}

/// Applies a layer, if it is one of those that come first.
fn begin(layer: Layer, value: &Value) -> io::Result<()> {
    if let Some(limit) = limit::of(layer, value) {
        return limit::set(limit);
    }
    match (layer, value) {
        (Layer::PrivateTmp, Value::Size(bytes)) => private_tmp::enter(*bytes),
        _ => share::apply(layer, value).unwrap_or(Ok(())),
    }
}

#[cfg(test)]
mod tests;
