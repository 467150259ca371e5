//! Which layers are possible here.
//!
//! What a kernel's version says is not all: a sandbox round this process may refuse any call. So each layer is tried, in
//! threads that are thrown away, as everything but limits can be changed for one thread alone; limits are compared.

use std::{io, thread};

use rustix::thread::set_no_new_privs;

use crate::{
    Isolation, Layer, Layers, Report, domain, domain::Domain, filter, filter::Filter,
    isolation::Wanted, limit, private_tmp, share, value::Value,
};

impl Layers {
    /// Finds out which of the layers that are asked for are possible here: for this process, and those that it forks while it
    /// has the rights that it has now.
    ///
    /// This process stays as it is. It starts threads meanwhile, and waits for them.
    #[must_use]
    pub fn probe(isolation: &Isolation) -> Self {
        let (mut on, mut report) = (Isolation::new(), Report::default());
        for (layer, wanted) in &isolation.wanted {
            let Wanted { is_required, value } = wanted;
            match obstacle(*layer, value) {
                None => {
                    report.add_on(*layer, value);
                    on.wanted.insert(*layer, wanted.clone());
                }
                Some(why) => report.add_missing(*layer, why, *is_required),
            }
        }
        Self::made(on, report)
    }
}

/// Returns why a layer is not possible here, if it is not.
fn obstacle(layer: Layer, value: &Value) -> Option<String> {
    // Required, and never given its value.
    if let Err(wanted) = Value::parse(layer.kind(), None)
        && *value == Value::Nothing
    {
        return Some(format!("takes {wanted}, and was given none"));
    }
    if let Some(limit) = limit::of(layer, value) {
        return limit::obstacle(limit);
    }
    if let Some(why) = domain::obstacle(layer).or_else(|| filter::obstacle(layer)) {
        return Some(why);
    }
    let only = Isolation::new().want(layer, value.clone());
    let attempt = move || -> io::Result<()> {
        if layer == Layer::NoNewPrivileges || domain::has(layer) || filter::has(layer) {
            set_no_new_privs(true)?;
        }
        match value_of(&only, layer) {
            _ if domain::has(layer) => domain::apply(&Domain::of(&only)),
            _ if filter::has(layer) => Filter::of(&only).map_or(Ok(()), |filter| filter.apply()),
            Some(Value::Size(bytes)) if layer == Layer::PrivateTmp => private_tmp::enter(*bytes),
            Some(value) => share::apply(layer, value).unwrap_or(Ok(())),
            None => Ok(()),
        }
    };
    let tried = thread::Builder::new().spawn(attempt).map(thread::JoinHandle::join);
    let error = match tried {
        Ok(Ok(Ok(()))) => return None,
        Ok(Ok(Err(error))) | Err(error) => error,
        Ok(Err(_)) => return Some("trying it has failed".to_owned()),
    };
    Some(in_words(layer, &error))
}

fn value_of(isolation: &Isolation, layer: Layer) -> Option<&Value> {
    isolation.wanted.get(&layer).map(|wanted| &wanted.value)
}

/// Why the kernel has refused a layer, and what it would take.
fn in_words(layer: Layer, error: &io::Error) -> String {
    let remedy = match (layer, error.raw_os_error()) {
        (Layer::PrivateTmp, Some(nix::libc::EPERM)) => "; needs root with CAP_SYS_ADMIN",
        (Layer::Nice, Some(nix::libc::EACCES | nix::libc::EPERM)) => {
            "; needs root with CAP_SYS_NICE"
        }
        (Layer::Cpus, Some(nix::libc::EINVAL)) => "; this process may run on none of these",
        _ => "",
    };
    format!("{error}{remedy}")
}
