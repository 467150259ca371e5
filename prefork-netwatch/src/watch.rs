//! Watching the connections of a set of processes.

use crate::holders::Holders;
use crate::{Connection, Event, Filter, History, SockDiag, Source, SourceError, State, Unreadable};

/// Notices when connections that some processes have in hand come to their end.
///
/// Made once and [`check`](Self::check)ed every while, say every 2 s, with the processes that are
/// at work at that moment.
///
/// # Fork
///
/// Nothing is held open between checks. A child that goes on checking starts from what its parent
/// has seen.
///
/// # Examples
///
/// ```
/// use prefork_netwatch::{Endpoint, Filter, Seen, Watch};
/// use std::net::{TcpListener, TcpStream};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let mut watch = Watch::new(Filter::listening([Endpoint::of_socket(&listener)?]));
/// let busy = [std::process::id()];
///
/// let client = TcpStream::connect(listener.local_addr()?)?;
/// let (_connection, _) = listener.accept()?;
/// assert!(watch.check(busy)?.events.is_empty());
///
/// drop(client);
/// let report = watch.check(busy)?;
/// assert_eq!(report.events[0].seen, Seen::PeerClosed);
/// assert_eq!(report.events[0].local_port(), Some(listener.local_addr()?.port()));
/// assert!(watch.check(busy)?.events.is_empty(), "an end is reported once");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Watch<S = SockDiag> {
    filter: Filter,
    source: S,
    history: History,
    holders: Holders,
    rows: Vec<Connection>,
}

/// What a check has found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// The connections that have ended, in the order of their sockets' inodes.
    pub events: Vec<Event>,
    /// The processes that could not be looked at when that was needed. They are named anew in every
    /// such check.
    pub unreadable: Vec<Unreadable>,
}

impl Watch {
    /// Makes a watch over the connections that pass `filter`, read from [`SockDiag`].
    #[must_use]
    pub fn new(filter: Filter) -> Self {
        Self::with_source(filter, SockDiag::new())
    }
}

impl<S: Source> Watch<S> {
    /// Makes a watch over the connections that pass `filter`, read from `source`.
    #[must_use]
    pub fn with_source(filter: Filter, source: S) -> Self {
        Self {
            filter,
            source,
            history: History::new(),
            holders: Holders::default(),
            rows: Vec::new(),
        }
    }

    /// Notes a connection that `pid` has accepted, as it says itself, unless the filter keeps it out: then its end is
    /// noticed although no check has seen it before. A process that says what is not so gets nobody else reported.
    ///
    /// To be noted before each check for as long as the process has it in hand, so that it is not forgotten.
    pub fn expect(&mut self, pid: u32, connection: &Connection) {
        if self.filter.matches(connection) {
            self.history.expect(pid, connection);
        }
    }

    /// Reads the connections, and returns those that have ended since earlier checks while one of
    /// `pids` holds them.
    ///
    /// A connection is reported once, whichever process holds it then. One that ended while no
    /// process asked about held it is reported when one does, if it can still be seen: the peer's
    /// FIN can, a reset for the two checks after it.
    ///
    /// # Errors
    ///
    /// [`SourceError`] if the connections cannot be read. The next check makes up for it.
    pub fn check(&mut self, pids: impl IntoIterator<Item = u32>) -> Result<Report, SourceError> {
        self.rows.clear();
        self.source.read(&self.filter, &mut self.rows)?;
        self.history.take_in(&self.rows);
        let mut report = Report::default();
        let suspects = self.history.suspects().count();
        self.holders.clear();
        for pid in pids {
            if self.holders.len() == suspects {
                break;
            }
            let wanted = |inode| self.history.is_suspect(inode);
            report.unreadable.extend(self.holders.look_at(pid, wanted).err());
        }
        self.make_sure()?;
        let held = |inode| self.holders.of(inode).filter(|it| it.still_holds(inode));
        report.events = self.history.report(|inode| held(inode).map(|holder| holder.pid));
        Ok(report)
    }

    /// Looks again for missing connections that are held: a reading may skip one that is there,
    /// and one may be missing because this side closed it in an orderly way.
    fn make_sure(&mut self) -> Result<(), SourceError> {
        let missing: Vec<_> = self
            .history
            .suspects()
            .filter(|suspect| suspect.missing)
            .map(|suspect| suspect.connection)
            .filter(|connection| self.holders.of(connection.inode).is_some())
            .cloned()
            .collect();
        for connection in missing {
            let Some(found) = self.source.find(&connection)? else { continue };
            if found.inode == connection.inode {
                self.history.recall(&found);
            } else if found.inode == 0 && closed_first(found.state) {
                self.history.settle(connection.inode);
            }
        }
        Ok(())
    }
}

/// Tells whether a connection in this state was closed by this side, and first.
const fn closed_first(state: State) -> bool {
    match state {
        State::FinWait1 | State::FinWait2 | State::TimeWait | State::Closing => true,
        State::Established
        | State::SynSent
        | State::SynRecv
        | State::Close
        | State::CloseWait
        | State::LastAck
        | State::Listen => false,
    }
}
