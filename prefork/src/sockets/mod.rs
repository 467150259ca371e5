//! The sockets on which a daemon listens: made, found, taken over, and the files of UNIX sockets.

pub(crate) mod activation;
pub(crate) mod hand_over;
mod inherited;
mod init;
pub(crate) mod kept;
pub(crate) mod listeners;
mod offered;
pub(crate) mod predecessor;
pub(crate) mod unix_socket;

pub use hand_over::{Came, HandOverError, HandOvers, Handed, NotHanded};
pub(crate) use inherited::InheritedListener;
pub use init::Init;
