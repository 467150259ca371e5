//! The sockets on which a daemon listens: made, found, taken over, and the files of UNIX sockets.

pub(crate) mod activation;
pub(crate) mod address;
mod any;
pub(crate) mod bound;
mod inherited;
mod init;
pub(crate) mod listeners;
mod offered;
pub(crate) mod predecessor;
pub(crate) mod unix_socket;

pub(crate) use address::UnixPeer;
pub use any::{AnyAddr, AnyListener, AnyStream};
pub(crate) use inherited::InheritedListener;
pub use init::Init;
