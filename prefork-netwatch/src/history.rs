//! What was seen of connections from one reading of the tables to the next.
//!
//! Problem: a table shows the moment, an end is a change. A reset connection is no longer in the
//! table, but neither is one that its process has closed. A reading is not of one moment either: the
//! kernel walks its table while connections come and go, and may skip one that is there.
//!
//! Idea: the history keeps what every connection of interest looked like, by the inode of its
//! socket, in whatever process. A reading turns some into *suspects*: the peer's FIN was seen, or the
//! connection is missing though this side was not seen to close it. Only for suspects is it worth
//! finding out who holds them. Those that one of the processes in question holds are reported, once.
//!
//! Assumptions: an inode that comes back with other addresses is another socket. Suspects missing for
//! [`PATIENCE`] readings that nobody in question holds were closed by their process.

use crate::{Connection, Event, Seen, State};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// How many readings a missing connection is remembered for. The first may have skipped it, and
/// its process may be in question only from the next on.
const PATIENCE: u8 = 3;

/// What is known of the connections of interest.
#[derive(Clone, Debug, Default)]
pub struct History {
    known: HashMap<u64, Known>,
    reading: u32,
}

#[derive(Clone, Debug)]
struct Known {
    connection: Connection,
    phase: Phase,
    /// The reading that showed the connection last.
    shown: u32,
    /// How many readings have not shown it since.
    missed: u8,
    /// Who says that there is such a connection, as long as no reading has shown it.
    claimant: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Neither side was seen to close.
    Open,
    /// The peer closed; it is not reported yet.
    Ended(Seen),
    /// It was reported, or this side closed: there is nothing to report ever.
    Settled,
}

impl Known {
    fn new(row: &Connection, reading: u32) -> Self {
        let phase = Phase::Open.after(row.state);
        Self { connection: row.clone(), phase, shown: reading, missed: 0, claimant: None }
    }

    fn suspect(&self) -> Option<Suspect<'_>> {
        let missing = self.missed > 0;
        let seen = match self.phase {
            Phase::Open | Phase::Ended(_) if missing => Seen::Gone,
            Phase::Ended(seen) => seen,
            Phase::Open | Phase::Settled => return None,
        };
        Some(Suspect { connection: &self.connection, seen, missing })
    }
}

impl Phase {
    fn after(self, state: State) -> Self {
        match (self, state) {
            (Self::Settled, _)
            | (
                Self::Open | Self::Ended(_),
                State::FinWait1
                | State::FinWait2
                | State::TimeWait
                | State::LastAck
                | State::Closing
                | State::Listen,
            ) => Self::Settled,
            (Self::Open | Self::Ended(_), State::CloseWait) => Self::Ended(Seen::PeerClosed),
            (Self::Open | Self::Ended(_), State::Close) => Self::Ended(Seen::Gone),
            (phase, State::Established | State::SynSent | State::SynRecv) => phase,
        }
    }
}

/// A connection that has ended as far as the tables show.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Suspect<'a> {
    /// The connection, as it was seen last.
    pub connection: &'a Connection,
    /// What was seen of its end.
    pub seen: Seen,
    /// Whether the table shows it no more. It may have been closed by its process, or skipped.
    pub missing: bool,
}

impl History {
    /// Makes a history of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in a whole reading of the tables: all connections of interest, in any order.
    ///
    /// Those that no process has, whose inode is 0, say nothing.
    pub fn take_in<'a>(&mut self, rows: impl IntoIterator<Item = &'a Connection>) {
        self.reading = self.reading.wrapping_add(1);
        for row in rows {
            if row.inode != 0 {
                self.note(row);
            }
        }
        let reading = self.reading;
        self.known.retain(|_, known| {
            if known.shown != reading {
                known.missed += 1;
            }
            known.missed < PATIENCE
        });
    }

    /// Takes in that `pid` has accepted a connection, as it says itself: if the next reading does not show it, it is a
    /// suspect as if this one had, and of that process alone.
    ///
    /// What a reading has shown is not changed by what somebody says. A connection that was reported is remembered
    /// for as long as it is expected before each reading.
    pub fn expect(&mut self, pid: u32, row: &Connection) {
        match self.known.entry(row.inode) {
            Entry::Occupied(mut occupied) => {
                let known = occupied.get_mut();
                if known.phase == Phase::Settled && known.connection.has_addresses_of(row) {
                    known.missed = 0;
                }
            }
            Entry::Vacant(_) if row.inode == 0 => {}
            Entry::Vacant(vacant) => {
                vacant.insert(Known { claimant: Some(pid), ..Known::new(row, self.reading) });
            }
        }
    }

    fn note(&mut self, row: &Connection) {
        match self.known.entry(row.inode) {
            Entry::Vacant(vacant) => {
                vacant.insert(Known::new(row, self.reading));
            }
            Entry::Occupied(mut occupied) => {
                let known = occupied.get_mut();
                if known.connection.has_addresses_of(row) {
                    known.phase = known.phase.after(row.state);
                    known.connection.state = row.state;
                    known.connection.interface = row.interface;
                    known.claimant = None;
                    known.shown = self.reading;
                    known.missed = 0;
                } else {
                    *known = Known::new(row, self.reading);
                }
            }
        }
    }

    /// Returns the connections that have ended as far as the readings show, and that were neither
    /// reported nor closed by this side.
    pub fn suspects(&self) -> impl Iterator<Item = Suspect<'_>> {
        self.known.values().filter_map(Known::suspect)
    }

    /// Returns whether the connection with this inode is one of the [`suspects`](Self::suspects).
    #[must_use]
    pub fn is_suspect(&self, inode: u64) -> bool {
        self.known.get(&inode).and_then(Known::suspect).is_some()
    }

    /// Returns an event for each suspect that has a holder, in the order of their inodes, and never
    /// again for the same connection. `holder` returns which process in question holds the socket
    /// with an inode.
    ///
    /// Make sure of missing suspects first, with [`recall`](Self::recall) and
    /// [`settle`](Self::settle).
    pub fn report(&mut self, mut holder: impl FnMut(u64) -> Option<u32>) -> Vec<Event> {
        let mut events = Vec::new();
        for (inode, known) in &mut self.known {
            let Some(Suspect { connection, seen, .. }) = known.suspect() else { continue };
            let is_believed = |pid: &u32| known.claimant.is_none_or(|claimant| claimant == *pid);
            let Some(pid) = holder(*inode).filter(is_believed) else { continue };
            events.push((*inode, Event::new(pid, connection, seen)));
            known.phase = Phase::Settled;
        }
        events.sort_unstable_by_key(|(inode, _)| *inode);
        events.into_iter().map(|(_, event)| event).collect()
    }

    /// Notes that the connection with this inode was closed by this side, or was reported by
    /// other means.
    pub fn settle(&mut self, inode: u64) {
        if let Some(known) = self.known.get_mut(&inode) {
            known.phase = Phase::Settled;
        }
    }

    /// Notes that a missing connection is there after all: the reading had skipped it.
    pub fn recall(&mut self, row: &Connection) {
        self.note(row);
    }
}
