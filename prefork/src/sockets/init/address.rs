//! Addresses as they are written.

use std::io;

use prefork_sockets::{EXAMPLES, Written};

use super::Init;

impl Init {
    /// Finds out whether a text is an address for [`listen_any`](Self::listen_any), and opens nothing: for programs that
    /// check their settings.
    ///
    /// # Errors
    ///
    /// Fails as that would where the text is neither an address nor a path. Whether a name can be resolved, or somebody else
    /// listens there already, is found out by listening alone.
    pub fn check_address(address: impl AsRef<str>) -> io::Result<()> {
        written(address.as_ref()).map(drop)
    }
}

pub(super) fn written(text: &str) -> io::Result<Written<'_>> {
    Written::read(text).ok_or_else(|| {
        let problem = format!("cannot listen on {text:?}: it is no address; {EXAMPLES}");
        io::Error::new(io::ErrorKind::InvalidInput, problem)
    })
}
