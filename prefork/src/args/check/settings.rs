//! What the arguments amount to.

use std::{io::Write, os::fd::OwnedFd, path::PathBuf, rc::Rc, time::Duration};

use prefork_core::Config;
use prefork_daemonize::Privileges;
use prefork_isolate::Layers;
use prefork_scoreboard::metrics::Metrics;

use crate::{
    args::settings::InForce,
    board::Place,
    child::Limits,
    manager::Manager,
    status::{Address, Audiences},
    system::os::ChildLimits,
};

/// The plain data among the arguments.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) name: String,
    /// Of the program.
    pub(crate) version: Option<String>,
    /// What children count.
    pub(crate) metrics: Option<Metrics>,
    /// The pools to which children hand connections.
    pub(crate) hands_to: Vec<String>,
    pub(crate) daemonize: bool,
    /// The directory in which the program was started, from which relative paths are taken; none if that is gone.
    pub(crate) directory: Option<PathBuf>,
    pub(crate) pid_path: Option<PathBuf>,
    pub(crate) error_log_path: Option<PathBuf>,
    /// The place of the scoreboard; `None` for none.
    pub(crate) scoreboard: Option<Place>,
    pub(crate) pool: Pool,
    /// The file of the lock that a role's process has.
    pub(crate) role_lock: Option<PathBuf>,
    /// Whether more children were asked for than a pool without a scoreboard can ever have.
    pub(crate) wants_scoreboard: bool,
    pub(crate) limits: Limits,
    /// What each child may have.
    pub(crate) child_limits: ChildLimits,
    pub(crate) start_timeout: Duration,
    pub(crate) graceful_timeout: Duration,
    pub(crate) hook_timeout: Duration,
    /// The service manager; known once the daemon is run.
    pub(crate) manager: Manager,
    /// The addresses of the status page, and of what of it is for everybody.
    pub(crate) status: Audiences<Address>,
    /// The arguments that have no effect, as there are no children.
    pub(crate) without_effect: Vec<&'static str>,
    /// What has no effect, and was probably meant to have one.
    pub(crate) warnings: Vec<String>,
    /// The settings with which later ones are compared.
    pub(crate) in_force: Box<InForce>,
}

impl Settings {
    /// How many slots the pool has.
    pub(crate) fn slots(&self) -> u32 {
        match &self.pool {
            Pool::Solo => 1,
            Pool::Children(config) => config.slots(),
        }
    }
}

/// The users of the daemon's processes.
#[derive(Clone, Debug)]
pub(crate) struct Users {
    pub(crate) children: Rc<Privileges>,
    /// What holds children apart.
    pub(crate) layers: Rc<Layers>,
    /// What children run as, as it was given: `www-data`, `www-data:adm`; `None` if that is what the parent runs as.
    pub(crate) named: Option<String>,
    /// Whether the parent becomes what its children are.
    pub(crate) drop_parent: bool,
}

/// The process that runs the main loop.
#[derive(Clone, Debug)]
pub(crate) enum Pool {
    /// The parent itself.
    Solo,
    /// Children.
    Children(Box<Config>),
}

/// The destination of standard error.
#[derive(Debug)]
pub(crate) enum ErrorLog {
    Path(PathBuf),
    Handle(OwnedFd),
}

/// The destination of the access log.
pub(crate) enum AccessTarget {
    Path(PathBuf),
    Handle(Box<dyn Write>),
}
