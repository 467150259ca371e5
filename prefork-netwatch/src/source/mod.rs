//! Where connections are read from.

mod command;
pub(crate) mod netstat;
pub(crate) mod proc_net;
pub(crate) mod sock_diag;
pub(crate) mod tables;
#[cfg(test)]
mod tests;

use crate::{Connection, Filter, SourceError};

/// Something that shows the connections of this machine, or of this network namespace of it.
///
/// A boxed one is one too, so that it may be chosen at run time.
pub trait Source {
    /// Reads the connections that pass `filter` to the end of `rows`, in any order.
    ///
    /// Those in [`TimeWait`](crate::State::TimeWait) and other states in which no process has a
    /// connection may be left out.
    ///
    /// # Errors
    ///
    /// [`SourceError`]; then `rows` may hold a part of them.
    fn read(&mut self, filter: &Filter, rows: &mut Vec<Connection>) -> Result<(), SourceError>;

    /// Looks again for a connection that was missing in a reading; in any state, but only with the
    /// same protocol and addresses.
    ///
    /// # Errors
    ///
    /// [`SourceError`].
    fn find(&mut self, connection: &Connection) -> Result<Option<Connection>, SourceError>;

    /// Returns whether [`find`](Self::find) costs the same however many connections there are, so that a few are
    /// better found than picked from a reading.
    ///
    /// By default `false`.
    fn finds_directly(&self) -> bool {
        false
    }

    /// Finds several connections, as [`find`](Self::find) does each, and adds those that are there to `rows`. Returns whether
    /// it is sure of those that are not: a source that fails may look like one in which nothing is found.
    ///
    /// By default not.
    ///
    /// # Errors
    ///
    /// [`SourceError`]; then `rows` may hold a part of them.
    fn find_all(
        &mut self,
        connections: &[Connection],
        rows: &mut Vec<Connection>,
    ) -> Result<bool, SourceError> {
        let before = rows.len();
        for connection in connections {
            rows.extend(self.find(connection)?);
        }
        Ok(rows.len() - before == connections.len())
    }
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn read(&mut self, filter: &Filter, rows: &mut Vec<Connection>) -> Result<(), SourceError> {
        (**self).read(filter, rows)
    }

    fn find(&mut self, connection: &Connection) -> Result<Option<Connection>, SourceError> {
        (**self).find(connection)
    }

    fn finds_directly(&self) -> bool {
        (**self).finds_directly()
    }

    fn find_all(
        &mut self,
        connections: &[Connection],
        rows: &mut Vec<Connection>,
    ) -> Result<bool, SourceError> {
        (**self).find_all(connections, rows)
    }
}
