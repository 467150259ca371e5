//! The sockets on which a daemon listens: made, found, taken over, and the files of UNIX sockets.

pub(crate) mod activation;
mod inherited;
mod init;
pub(crate) mod listeners;
mod offered;
pub(crate) mod predecessor;
pub(crate) mod unix_socket;

pub(crate) use inherited::InheritedListener;
pub use init::Init;
