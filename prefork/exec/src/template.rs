//! What stands in for the placeholders in a program's arguments.

use std::{
    ffi::OsStr,
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
};

use crate::sockets::{FIRST, Sockets};

/// What one child's program has in the places of the placeholders.
pub(crate) struct Values<'a> {
    pub(crate) pid: u32,
    pub(crate) slot: u32,
    pub(crate) sockets: &'a Sockets,
}

impl Values<'_> {
    pub(crate) fn fill_in(&self, text: &OsStr) -> OsString {
        let path = self.sockets.0.first().map_or_else(String::new, crate::sockets::Socket::place);
        let text = String::from_utf8_lossy(text.as_bytes()).into_owned();
        let text = text
            .replace("{fd}", &FIRST.to_string())
            .replace("{path}", &path)
            .replace("{slot}", &self.slot.to_string())
            .replace("{pid}", &self.pid.to_string());
        OsString::from_vec(text.into_bytes())
    }
}
