//! The names of other pools.

use super::{Data, Faults, name::is_visible};

/// Returns the pools to which connections are handed. A colon would end the name of what is passed (`LISTEN_FDNAMES`).
pub(super) fn check(data: &mut Data, faults: &mut Faults) -> Vec<String> {
    let pools = std::mem::take(&mut data.hands_to);
    for (place, pool) in pools.iter().enumerate() {
        if !is_visible(pool) || pool.contains(':') {
            faults.add("hands_to", format!("{pool:?} is no name of a pool"));
        } else if pools[..place].contains(pool) {
            faults.add("hands_to", format!("names pool {pool} twice"));
        }
    }
    pools
}
