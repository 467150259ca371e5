//! The hooks that the parent runs.

use prefork_core::Hook;

use super::{ChildExit, HungChild, look_into::LookInto};
use crate::{Result, disconnect, program};

pub(crate) type Ready = Box<dyn FnOnce() -> Result>;
pub(crate) type Observer<T> = Box<dyn FnMut(&T) -> Result>;
pub(crate) type Demand = Box<dyn FnMut() -> Result<u32>>;
pub(crate) type BeforeShutdown = Box<dyn FnOnce() -> Result + Send>;

/// The hooks that the parent runs while there are children.
#[derive(Default)]
pub(crate) struct ParentHooks {
    /// Which comes before `on_timeout`, whether there is one or not.
    pub(super) look_into: LookInto,
    pub(crate) ready: Option<Ready>,
    pub(crate) on_child_exit: Option<Observer<ChildExit>>,
    pub(crate) on_timeout: Option<Observer<HungChild>>,
    pub(crate) before_shutdown: Option<BeforeShutdown>,
    pub(crate) auto_reload_handler: Option<program::Handler>,
    pub(crate) on_client_disconnect: Option<disconnect::Handler>,
    pub(crate) demand: Option<Demand>,
}

impl ParentHooks {
    /// Returns those that are set.
    pub(crate) fn set(&self) -> Vec<Hook> {
        let is_set = |hook: &Hook| match hook {
            Hook::Ready => self.ready.is_some(),
            Hook::BeforeShutdown => self.before_shutdown.is_some(),
            Hook::OnChildExit => self.on_child_exit.is_some(),
            Hook::OnTimeout => self.on_timeout.is_some(),
            Hook::AutoReloadHandler => self.auto_reload_handler.is_some(),
            Hook::OnClientDisconnect => self.on_client_disconnect.is_some(),
            Hook::Demand => self.demand.is_some(),
        };
        Hook::ALL.into_iter().filter(is_set).collect()
    }
}
