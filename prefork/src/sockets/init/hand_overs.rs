//! The ways to other pools and from them, among what was passed.

use std::io;

use super::{
    super::hand_over::{End, HandOvers, Outlet, TAKES, name_of_outlet},
    Found, Init, KnownBy, Listeners, Listening,
};
use crate::RunError;

impl Init {
    /// Takes connections that children of other pools hand over to this one, for
    /// [`Child::accept`](crate::Child::accept): see [pools](crate::docs::hand_over).
    ///
    /// # Errors
    ///
    /// Fails if no pool hands connections to this one, or the process can have no more descriptors.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::{Args, Came};
    /// use std::io::Write;
    ///
    /// let args = Args::new()
    ///     .after_init(|init| Ok((init.listen("127.0.0.1:0")?, init.hand_overs()?)))
    ///     .main_loop(|child, both| {
    ///         while let Some(came) = child.accept(both)? {
    ///             // A client that has gone is no reason to end the child.
    ///             let _ = match came {
    ///                 Came::Accepted((mut connection, _peer)) => connection.write_all(b"from outside\n"),
    ///                 Came::Handed(mut handed) => handed.write_all(b"from another pool\n"),
    ///             };
    ///         }
    ///         Ok(())
    ///     });
    /// # drop(args);
    /// ```
    pub fn hand_overs(&mut self) -> io::Result<HandOvers> {
        let is_end = |found: &Found| End::of(Some(TAKES), &found.socket) == Some(End::Takes);
        let Some(found) = self.offered.take_named(TAKES).filter(is_end) else {
            let problem = format!(
                "no pool hands connections to this one: name it in the hands_to of another, or pass a SOCK_SEQPACKET \
                 socket named {TAKES} (LISTEN_FDS)"
            );
            return Err(io::Error::new(io::ErrorKind::NotFound, problem));
        };
        self.watch(found, KnownBy::Name).and_then(HandOvers::new)
    }

    /// Takes the ends that lead to other pools, for the children.
    pub(crate) fn take_outlets(&mut self, pools: &[String]) -> Result<(), RunError> {
        for pool in pools {
            let name = name_of_outlet(pool);
            let found = self.offered.take_named(&name);
            let is_end = |found: &Found| End::of(Some(&name), &found.socket).is_some();
            let Some(found) = found.filter(is_end) else {
                return Err(RunError::NoWayToPool { pool: pool.clone(), name });
            };
            let Found { socket, activated, file, owns_file: _ } = found;
            Outlet::close_for_reading(&socket)
                .map_err(RunError::system("close the way from another pool for reading"))?;
            self.listeners.push(Listening { known_by: KnownBy::Name, activated, file, socket });
        }
        Ok(())
    }

    /// The identities of what children share on purpose, though it looks like a connection.
    pub(crate) fn shared_on_purpose(&self) -> Vec<(u64, u64)> {
        Listeners::shared_on_purpose(&self.listeners)
    }
}
