//! What a daemon is made of once it may go to the background.

use std::io;

use crate::{
    AccessLog,
    args::{
        AfterInit,
        check::{Settings, Users},
    },
    child::Body,
    hooks::ParentHooks,
    program::{AutoReload, Invocation},
    sockets::activation::Activated,
};

/// The plan, with its logs opened and the sockets of the service manager taken.
pub(crate) struct Prepared<S> {
    pub(crate) settings: Settings,
    pub(crate) users: Users,
    pub(crate) access_log: AccessLog,
    /// How this program was started, or why that is not known.
    pub(crate) invocation: io::Result<Invocation>,
    pub(crate) activated: Vec<Activated>,
    pub(crate) after_init: AfterInit<S>,
    pub(crate) body: Body<S>,
    pub(crate) hooks: ParentHooks,
    pub(crate) auto_reload: Option<AutoReload>,
}
