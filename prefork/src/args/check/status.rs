//! Where the status process answers.

use super::Faults;
use crate::{
    StatusAddress,
    args::Data,
    status::{self, Address, Audience, Audiences},
};

/// Checks the addresses. Without children there are none: it takes a process of its own.
pub(super) fn check(data: &mut Data, faults: &mut Faults) -> Audiences<Address> {
    let mut one = |audience, address: Option<StatusAddress>| check_one(address?, audience, faults);
    let found = Audiences {
        operators: one(Audience::Operators, data.settings.status_listen.take()),
        everybody: one(Audience::Everybody, data.settings.metrics_listen.take()),
    };
    if let (Some(Address::Tcp(page)), Some(Address::Tcp(metrics))) =
        (&found.operators, &found.everybody)
        && page == metrics
        && page.port() != 0
    {
        faults.add("metrics_listen", format!("{metrics} is the address of status_listen"));
    }
    if data.settings.prefork == Some(0) { Audiences::default() } else { found }
}

fn check_one(address: StatusAddress, audience: Audience, faults: &mut Faults) -> Option<Address> {
    let argument = audience.argument();
    if cfg!(not(feature = "status")) {
        faults.add(argument, "needs the feature `status` of the crate `prefork`");
    }
    status::check(address, audience).map_err(|problem| faults.add(argument, problem)).ok()
}
