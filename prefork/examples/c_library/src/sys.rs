//! The library, as Rust sees it. All `unsafe` of this program.

#![expect(unsafe_code, reason = "the library is written in C")]

use std::ffi::{CStr, c_char};

unsafe extern "C" {
    fn count_words(text: *const c_char) -> usize;
}

/// Returns how many words there are in a path. It has a fault: `/crash` ends the process.
pub(crate) fn count(path: &CStr) -> usize {
    // SAFETY: the text ends with a NUL and lives as long as the call, in which the library reads it and keeps nothing. Its
    // fault reads address 0, where nothing is mapped, so that the kernel ends the process before any memory is touched.
    unsafe { count_words(path.as_ptr()) }
}
