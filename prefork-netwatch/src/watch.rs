//! Watching the connections of a set of processes.

use crate::holders::Holders;
use crate::{
    Connection, Endpoint, Event, Filter, History, Proto, SockDiag, Source, SourceError, State,
    Tables, Unreadable,
};
use std::collections::{HashMap, HashSet};

/// How many readings must not show a connection that a process holds, until it is gone.
const READINGS: usize = 3;

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
    /// What the next check is to find, and whose it is.
    expected: HashMap<u32, Connection>,
    rows: Vec<Connection>,
}

/// What a check has found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// The connections that have ended, in the order of their sockets' inodes.
    pub events: Vec<Event>,
    /// The processes that could not be looked at when that was needed. They are named again in every
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

impl Watch<Tables> {
    /// Makes a watch over the connections that pass `filter`, read from the kernel in the best way that it offers.
    #[must_use]
    pub fn of_tables(filter: Filter) -> Self {
        Self::with_source(filter, Tables::new())
    }

    /// Goes over to the next best source after a check has failed; returns whether there is one, and a reason for it. The
    /// watch begins again then, with nothing seen.
    pub fn fall_back(&mut self, error: &SourceError) -> bool {
        let Some(next) = self.source.after(error) else { return false };
        *self = Self::with_source(self.filter.clone(), next);
        true
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
            expected: HashMap::new(),
            rows: Vec::new(),
        }
    }

    /// Notes the connection that `pid` has in hand, as it says itself: then its end is noticed although no check has seen
    /// it before, unless the filter keeps it out. A process that says what is not so gets nobody else reported.
    ///
    /// To be noted before each check for as long as the process has it in hand, so that it is not forgotten. Of one by a
    /// UNIX socket nothing but the inode counts.
    ///
    /// What the process holds besides is not reported in that check. Where all processes of a check have said what they
    /// have in hand, and the source [finds directly](Source::finds_directly), only those connections are looked for, and
    /// the check costs the same however many others there are.
    pub fn expect(&mut self, pid: u32, connection: &Connection) {
        if self.filter.matches(connection) {
            self.history.expect(pid, connection);
        }
        self.expected.insert(pid, connection.clone());
    }

    /// Lets connections at one more address pass from now on, as that of a listening socket which another program has: a
    /// connection that it has accepted may be handed to one of these processes.
    pub fn listen_also(&mut self, address: impl Into<Endpoint>) {
        self.filter.add(address);
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
        self.check_reused(pids, |_| false)
    }

    /// Does the same where the addresses of a connection may be those of another since: `was_reused` returns whether
    /// that is so of the one with an inode.
    ///
    /// When a connection is missing that a process holds, and one with the same addresses was closed by this side first,
    /// that is taken to be it, and nothing is reported. But a client that has reset may have used its port again.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub fn check_reused(
        &mut self,
        pids: impl IntoIterator<Item = u32>,
        was_reused: impl Fn(u64) -> bool,
    ) -> Result<Report, SourceError> {
        let pids: Vec<u32> = pids.into_iter().collect();
        let expected = std::mem::take(&mut self.expected);
        self.rows.clear();
        if !self.find_expected(&pids, &expected)? {
            self.rows.clear();
            self.source.read(&self.filter, &mut self.rows)?;
        }
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
        self.make_sure(was_reused)?;
        let is_in_hand = |pid: u32, inode| expected.get(&pid).is_none_or(|it| it.inode == inode);
        let held = |inode| {
            let holder = self.holders.of(inode);
            holder.filter(|it| is_in_hand(it.pid, inode) && it.still_holds(inode))
        };
        report.events = self.history.report(|inode| held(inode).map(|holder| holder.pid));
        Ok(report)
    }

    /// Finds the connections that these processes have in hand, if that is known of all of them; returns whether nothing
    /// else need be read. Where one is missing that is held, and the source is not sure, a whole reading is to show the
    /// same: that distinguishes a source that shows nothing from a connection that is not there.
    fn find_expected(
        &mut self,
        pids: &[u32],
        expected: &HashMap<u32, Connection>,
    ) -> Result<bool, SourceError> {
        let is_known = pids.iter().all(|pid| expected.contains_key(pid));
        let Some(unix) = self.filter.about_unix().filter(|_| is_known) else { return Ok(false) };
        if !self.source.finds_directly() {
            return Ok(false);
        }
        let ours = pids.iter().filter_map(|pid| expected.get(pid));
        let wanted: Vec<_> = ours.filter(|it| self.filter.matches(it)).cloned().collect();
        let is_sure = self.source.find_all(&wanted, &mut self.rows)?;
        let found: HashSet<u64> = self.rows.iter().map(|row| row.inode).collect();
        self.holders.clear();
        for pid in pids {
            let is_missing = |inode| !found.contains(&inode);
            if let Some(connection) = expected.get(pid).filter(|it| is_missing(it.inode)) {
                // Else it was closed meanwhile, or cannot be looked at, which is for later to say.
                let _ = self.holders.look_at(*pid, |inode| inode == connection.inode);
            }
        }
        if self.holders.len() > 0 && !is_sure {
            return Ok(false);
        }
        if unix.wants(Proto::Unix) {
            self.source.read(&unix, &mut self.rows)?;
        }
        Ok(true)
    }

    /// Looks again for missing connections that are held: a reading may skip one that is there,
    /// and one may be missing because this side closed it in an orderly way.
    fn make_sure(&mut self, was_reused: impl Fn(u64) -> bool) -> Result<(), SourceError> {
        let missing: Vec<_> = self
            .history
            .suspects()
            .filter(|suspect| suspect.missing)
            .map(|suspect| suspect.connection)
            .filter(|connection| self.holders.of(connection.inode).is_some())
            .cloned()
            .collect();
        for connection in missing {
            let Some(found) = self.find(&connection)? else { continue };
            if found.inode == connection.inode {
                self.history.recall(&found);
            } else if found.inode == 0 && closed_first(found.state) && !was_reused(connection.inode)
            {
                self.history.settle(connection.inode);
            }
        }
        Ok(())
    }

    /// Finds a connection. A table that is read from end to end may skip any row while others come and go, so that there
    /// is none only if several readings agree.
    fn find(&mut self, connection: &Connection) -> Result<Option<Connection>, SourceError> {
        let most = if self.source.finds_directly() { 1 } else { READINGS };
        for _ in 0..most {
            let found = self.source.find(connection)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

/// Returns whether a connection in this state was closed by this side, and first.
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
