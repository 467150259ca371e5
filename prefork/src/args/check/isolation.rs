//! What is to hold children apart, and whether it can.

use prefork_isolate::{Layer, Layers, Missing};

use super::Faults;
use crate::args;

/// Finds out which layers are possible here; refuses what must be and is not.
pub(super) fn check(settings: &args::Settings, faults: &mut Faults) -> Layers {
    // Without children nothing is isolated, which is said with all else that has no effect then.
    let Some(isolation) = settings.isolate.as_ref().filter(|_| settings.prefork != Some(0)) else {
        return Layers::default();
    };
    if settings.rlimit_nofile.is_some() && isolation.wants(Layer::OpenFiles) {
        faults.add("isolate", "open-files is the same as rlimit_nofile; give one of them");
    }
    if settings.drop_parent == Some(true) && isolation.wants(Layer::PrivateTmp) {
        faults.add("isolate", "private-tmp takes rights that the parent gives up by drop_parent");
    }
    let layers = Layers::probe(isolation);
    for Missing { layer, why, .. } in layers.report().missing().iter().filter(|it| it.is_required) {
        faults.add("isolate", format!("{layer} is required, but not possible here: {why}"));
    }
    layers
}
