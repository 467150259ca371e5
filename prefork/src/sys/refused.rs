//! The name of the call that the kernel has refused, in errors that do not have it.
//!
//! An old kernel answers ENOSYS to what it does not know, a sandbox ENOSYS or EPERM to what it does not allow. Without
//! the name of the call nobody could find out what to allow.

use std::{borrow::Cow, io};

use rustix::io::Errno;

/// Results whose errors can name the call.
pub(crate) trait Refusable<T> {
    /// Names the call whose error it is.
    fn of_call(self, call: &'static str) -> io::Result<T>;

    /// Names the calls of which one was refused, if that is what the error means. The others are the caller's to
    /// explain.
    fn if_refused(self, calls: &'static str) -> io::Result<T>;
}

impl<T, E: Into<io::Error>> Refusable<T> for Result<T, E> {
    fn of_call(self, call: &'static str) -> io::Result<T> {
        self.map_err(|error| named(call, error.into()))
    }

    fn if_refused(self, calls: &'static str) -> io::Result<T> {
        self.map_err(|error| {
            let error = error.into();
            match Errno::from_io_error(&error) {
                Some(Errno::NOSYS | Errno::PERM) => named(calls, error),
                Some(_) | None => error,
            }
        })
    }
}

/// The error of a call, with its name, or what was attempted by it.
#[derive(Debug, thiserror::Error)]
#[error("{attempt}: {error}")]
struct Named {
    attempt: Cow<'static, str>,
    error: io::Error,
}

/// Names what was attempted when the kernel refused it, so that [`errno`] still returns its answer.
pub(crate) fn named(attempt: impl Into<Cow<'static, str>>, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), Named { attempt: attempt.into(), error })
}

/// Returns what the kernel has answered, with the name of the call or without.
pub(crate) fn errno(error: &io::Error) -> Option<Errno> {
    let mut error = error;
    while let Some(named) = error.get_ref().and_then(|inner| inner.downcast_ref::<Named>()) {
        error = &named.error;
    }
    Errno::from_io_error(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_call_is_named_and_other_errors_are_left_alone() {
        let refused = Err::<(), _>(Errno::NOSYS).of_call("setsid(2)").expect_err("refused");
        assert_eq!(refused.to_string(), "setsid(2): Function not implemented (os error 38)");
        assert_eq!(errno(&refused), Some(Errno::NOSYS));
        let refused = named("cannot begin", refused);
        assert_eq!(errno(&refused), Some(Errno::NOSYS));
        for (errno, is_named) in
            [(Errno::NOSYS, true), (Errno::PERM, true), (Errno::ADDRINUSE, false)]
        {
            let error = Err::<(), _>(errno).if_refused("bind(2)").expect_err("an error");
            assert_eq!(error.to_string().contains("bind(2)"), is_named, "{error}");
            assert_eq!(Errno::from_io_error(&error).is_some(), !is_named);
        }
    }
}
