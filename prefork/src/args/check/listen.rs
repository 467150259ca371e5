//! Addresses that are said before anything is bound.

use super::Faults;
use crate::{Init, args::Data};

/// Names each that is none.
pub(super) fn check(data: &Data, faults: &mut Faults) {
    for address in &data.listen {
        if let Err(error) = Init::check_address(address) {
            faults.add("listen", error.to_string());
        }
    }
}
