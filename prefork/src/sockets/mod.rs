//! The sockets on which a daemon listens: made, found, taken over, and the files of UNIX sockets.

pub(crate) mod activation;
pub(crate) mod address;
pub(crate) mod bound;
pub(crate) mod listeners;
pub(crate) mod predecessor;
pub(crate) mod socket_file;
