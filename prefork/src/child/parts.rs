//! What a child is made of.

use prefork_core::{Generation, SlotId};
use prefork_scoreboard::metrics::Cells;

use super::{
    Child, Clients, OwnSetting, Queueing, Stop, Work, counting, drain::Drain, hand_to,
    starvation::Starvation,
};
use crate::{
    AccessLog,
    channels::Reporter,
    logs::log::Log,
    sockets::hand_over::Outlets,
    system::os::{Poller, Tether},
};

/// What a [`Child`] is made of.
#[derive(Debug)]
pub(crate) struct ChildParts {
    pub(crate) slot: SlotId,
    pub(crate) generation: Generation,
    pub(crate) stop: Stop,
    pub(crate) work: Work,
    pub(crate) tether: Option<Tether>,
    pub(crate) reporter: Option<Reporter>,
    /// Waits for what asks the child to leave, but for no listener yet.
    pub(crate) poller: Poller,
    /// The listening sockets that outlive the daemon, by their cookies.
    pub(crate) outliving: Vec<u64>,
    /// The ways to other pools.
    pub(crate) outlets: Outlets,
    /// How many requests it can have in hand at once.
    pub(crate) concurrency: u32,
    /// How many clients it serves.
    pub(crate) clients: Clients,
    /// What it does about how long clients have waited.
    pub(crate) queueing: Queueing,
    /// Settings of the program's own.
    pub(crate) own: Vec<OwnSetting>,
    pub(crate) access_log: AccessLog,
    /// Where it counts what the program has declared.
    pub(crate) cells: Option<Cells>,
    pub(crate) log: Log,
}

impl Child {
    pub(crate) fn new(seat: ChildParts) -> Self {
        let ChildParts { slot, generation, stop, work, tether, reporter, poller, .. } = seat;
        let ChildParts { access_log, log, cells, .. } = seat;
        Self {
            pid: std::process::id(),
            is_cut_off: false,
            slot,
            generation,
            stop,
            work,
            tether,
            reporter,
            drain: Drain::new(seat.outliving),
            outlets: seat.outlets,
            complaints: hand_to::COMPLAINTS,
            starvation: Starvation::default(),
            deaf: 0,
            concurrency: seat.concurrency,
            clients: seat.clients,
            queueing: seat.queueing,
            own: seat.own,
            has_entered: false,
            said_ready: false,
            said_worked: false,
            poller,
            cells: counting::begin(cells, &log),
            access_log,
            log,
        }
    }
}
