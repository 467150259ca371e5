//! Handing a connection to another pool.

use std::{os::fd::AsFd, time::Duration};

use prefork_core::Allowance;

use super::Child;
use crate::{
    logs::ClientMessage,
    sockets::hand_over::{HandOverError, NotHanded, Unfit},
    system::clock,
};

/// How often it is logged that something else than a connection was handed over.
pub(super) const COMPLAINTS: Allowance = Allowance::new(3, Duration::from_secs(60));

impl Child {
    /// Hands a connection to a child of another pool, with what was read of it, and is done with it.
    ///
    /// The pool is one of [`Args::hands_to`](crate::Args::hands_to): see [hand-over](crate::docs::hand_over). One of its children gets the connection by
    /// [`accept`](Self::accept) from what [`Init::hand_overs`](crate::Init::hand_overs) returns, and reads `bytes_read` first;
    /// 64 KiB can go with a connection. It waits there until a child is free. This one counts as idle from then on, as after
    /// [`idle`](Self::idle), and what it has read and not passed on is lost.
    ///
    /// It never waits: where it cannot be handed over, the connection comes back with the reason, and is to be answered here.
    /// A connection of TLS or another protocol that has a state in this process cannot be handed over as such.
    ///
    /// # Errors
    ///
    /// Fails if the pool is not one of those, too many connections wait there, it takes none any more, or too much was read.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::Args;
    /// use std::io::{Read, Write};
    ///
    /// let args = Args::new()
    ///     .hands_to(["reports"])
    ///     .after_init(|init| Ok(init.listen("127.0.0.1:0")?))
    ///     .main_loop(|child, listener| {
    ///         let mut bytes = [0; 4096];
    ///         while let Some((mut connection, _peer)) = child.accept(listener)? {
    ///             let Ok(count) = connection.read(&mut bytes) else { continue };
    ///             if bytes.starts_with(b"GET /reports/") {
    ///                 let Err(refused) = child.hand_to("reports", connection, &bytes[..count]) else {
    ///                     continue;
    ///                 };
    ///                 connection = refused.connection;
    ///                 let _ = connection.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    ///                 continue;
    ///             }
    ///             let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    ///         }
    ///         Ok(())
    ///     });
    /// # drop(args);
    /// ```
    pub fn hand_to<C: AsFd>(
        &mut self,
        pool: &str,
        connection: C,
        bytes_read: &[u8],
    ) -> Result<(), NotHanded<C>> {
        let handed = match self.require_here() {
            Ok(()) => self.outlets.hand_over(pool, connection.as_fd(), bytes_read),
            Err(source) => Err(HandOverError::System { pool: pool.to_owned(), source }),
        };
        match handed {
            Ok(()) => {
                drop(connection);
                self.idle();
                Ok(())
            }
            Err(error) => Err(NotHanded { connection, error }),
        }
    }

    /// Logs, now and then, that something else than a connection was handed over.
    pub(super) fn complain(&mut self, unfit: Unfit) {
        if self.complaints.take(clock::now()) {
            self.log.write(&ClientMessage::BadHandOver { error: &unfit });
        }
    }
}
