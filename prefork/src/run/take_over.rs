//! Coming up in the process of a daemon that an old program has run there.

use std::os::fd::OwnedFd;

use prefork_core::{Config, Hangups};

use super::{Prepared, Returned, open_signals, own_stderr, supervise};
use crate::{
    RunError,
    args::check::Pool,
    child::Body,
    logs::log::{Log, Role},
    parent::{self, Basis},
    seat::Seat,
    start::drop_privileges,
    start::logs::redirect,
    sys,
    system::os::{Signals, terminal},
    upgrade::{Inherited, Station, Takeover},
};

/// A program that has come up so far that nothing can fail any more, with nothing claimed.
pub(crate) struct Successor<S> {
    pub(crate) basis: Basis,
    pub(crate) config: Box<Config>,
    pub(crate) body: Body<S>,
    pub(crate) inherited: Inherited,
    pub(crate) takeover: Takeover<S>,
    pub(crate) signals: Signals,
    pub(crate) hangups: Hangups,
    pub(crate) log: Log,
}

/// Takes over the daemon that the old program has run in this process; or, as a probe, finds out
/// whether that would work, and never returns if it would.
pub(super) fn take_over<S>(
    prepared: Prepared<S>,
    error_log: Option<OwnedFd>,
    inherited: Inherited,
) -> Result<Returned, RunError> {
    let seat = prepared.basis.seat.as_ref();
    let station = seat.map_or(Station::Alone, |seat: &Seat| Station::Pool(seat.pool().to_owned()));
    let Successor { basis, config, body, inherited, takeover, signals, hangups, log } =
        come_up(prepared, error_log, inherited, &station)?;
    let Some((initialized, channels, adopted)) = inherited.claim(&basis.settings, takeover, &log)
    else {
        return Err(RunError::NoPool);
    };
    sys::way_back::close();
    let adopted = Some(adopted);
    let pool = parent::Pool { config: *config, signals, hangups, channels, adopted };
    supervise(basis, pool, initialized, body, &mut None)
}

/// Does what can fail, and claims nothing; as a probe, reports how that went and ends.
pub(crate) fn come_up<S>(
    prepared: Prepared<S>,
    error_log: Option<OwnedFd>,
    inherited: Inherited,
    station: &Station,
) -> Result<Successor<S>, RunError> {
    let Prepared { basis, after_init, opened, body, .. } = prepared;
    let settings = &basis.settings;
    let attempt = || {
        inherited.require(station)?;
        let Pool::Children(config) = &settings.pool else { return Err(RunError::NoPool) };
        // A probe ends by any signal, as it has nothing to put in order.
        let signals = if inherited.is_probe() { None } else { Some(open_signals()?) };
        let takeover = inherited.initialize(settings, after_init, opened)?;
        if !inherited.is_probe() {
            error_log.map(|log| redirect(settings, log)).transpose()?;
            own_stderr()?;
        }
        Ok((config.clone(), signals, takeover))
    };
    let (config, signals, takeover) = match attempt().map_err(RunError::name_limit) {
        Ok(ready) => ready,
        Err(error) => {
            inherited.refuse(Some(&settings.name), &error);
            return Err(error);
        }
    };
    let log = Log::new(&settings.name, Role::Parent);
    let Some(mut signals) = signals else {
        takeover.leave(&log);
        inherited.report(basis.invocation.as_ref().ok());
        // The last that can fail of what is to come, tried here by a process that is thrown away.
        if let Err(error) = drop_privileges(&basis.users.children) {
            inherited.refuse(None, &error);
            return Err(error);
        }
        inherited.pass()
    };
    inherited.log_return(&log);
    let hangups = inherited.hangups().unwrap_or_else(|| terminal::hangups(signals.hangups()));
    signals.take_over(hangups.at_start());
    Ok(Successor { basis, config, body, inherited, takeover, signals, hangups, log })
}
