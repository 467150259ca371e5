//! What a daemon is made of once it may go to the background.

use crate::{args::AfterInit, child::Body, parent::Basis, sockets::activation::Activated};

/// The plan, with its logs opened and the sockets of the service manager taken.
pub(crate) struct Prepared<S> {
    pub(crate) basis: Basis,
    pub(crate) activated: Vec<Activated>,
    pub(crate) after_init: AfterInit<S>,
    pub(crate) body: Body<S>,
}
