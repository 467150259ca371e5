//! The files that a daemon has.

use std::path::PathBuf;

use super::{AccessTarget, ErrorLog, Faults};
use crate::{
    args::Data,
    board::Place,
    status::{Address, Audiences},
};

/// What the arguments say of files, each with a place of its own.
pub(super) struct Files {
    pub(super) pid_path: Option<PathBuf>,
    pub(super) error_log_path: Option<PathBuf>,
    pub(super) error_log: Option<ErrorLog>,
    pub(super) access_log: Option<AccessTarget>,
    pub(super) scoreboard: Option<Place>,
}

impl Files {
    pub(super) fn check(data: &mut Data, status: &Audiences<Address>, faults: &mut Faults) -> Self {
        let mut path = |name, path: Option<_>| path.and_then(|path| faults.path(name, path));
        let pid_path = path("pid_path", data.settings.pid_path.as_deref());
        let error_log_path = path("error_log_path", data.settings.error_log_path.as_deref());
        let access_log_path = path("access_log_path", data.settings.access_log_path.as_deref());
        let scoreboard_path = path("scoreboard_path", data.settings.scoreboard_path.as_deref());
        let all = [
            ("pid_path", pid_path.as_deref()),
            ("scoreboard_path", scoreboard_path.as_deref()),
            ("error_log_path", error_log_path.as_deref()),
            ("access_log_path", access_log_path.as_deref()),
            ("status_listen", status.operators.as_ref().and_then(Address::path)),
            ("metrics_listen", status.everybody.as_ref().and_then(Address::path)),
        ];
        faults.distinct(&all);
        for (name, path) in all {
            if let Some(path) = path {
                faults.way(name, path);
            }
        }
        let scoreboard = faults.one_of(
            ["scoreboard_path", "scoreboard_in_memory"],
            scoreboard_path.map(Place::File),
            (data.settings.scoreboard_in_memory == Some(true)).then_some(Place::Memory),
        );
        let error_log = faults.one_of(
            ["error_log_path", "error_log_handle"],
            error_log_path.clone().map(ErrorLog::Path),
            data.error_log_handle.take().map(ErrorLog::Handle),
        );
        let access_log = faults.one_of(
            ["access_log_path", "access_log_handle"],
            access_log_path.map(AccessTarget::Path),
            data.access_log_handle.take().map(AccessTarget::Handle),
        );
        Self { pid_path, error_log_path, error_log, access_log, scoreboard }
    }

    /// Demands what a daemon in the background cannot do without.
    pub(super) fn require_all(&self, faults: &mut Faults) {
        for (name, alternative, is_given) in [
            ("pid_path", "", self.pid_path.is_some()),
            ("error_log_path", " (or error_log_handle)", self.error_log.is_some()),
            ("access_log_path", " (or access_log_handle)", self.access_log.is_some()),
        ] {
            if !is_given {
                faults.required(name, &format!("{alternative} when daemonize is on"));
            }
        }
    }
}
