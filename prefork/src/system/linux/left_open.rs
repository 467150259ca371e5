//! What a process was started with beside its standard streams, by whoever has not closed it.
//!
//! The program may know what it is, and have it under its number. But whatever is executed later, by children of
//! another user too, would have it as well, and write to somebody else's pipe or file.

use std::os::fd::RawFd;

use rustix::{
    io::{FdFlags, fcntl_getfd, fcntl_setfd},
    net::sockopt::socket_acceptconn,
};

use super::open_files::OpenFile;
use crate::sys::borrow_descriptor;

/// Descriptors that are not for those who are executed.
#[derive(Debug, Default)]
pub(crate) struct LeftOpen(Vec<RawFd>);

impl LeftOpen {
    /// Returns those of these that are still there, and were not made one's own by setting the flag. Sockets that listen are not
    /// among them: they are handed on on purpose.
    pub(crate) fn of(of_starter: &[OpenFile]) -> Self {
        let is_left_open = |file: &&OpenFile| {
            let is_there = file.number > 2 && file.is_still_there() && !file.closes_on_exec();
            let listens = || file.descriptor().is_some_and(|fd| socket_acceptconn(fd) == Ok(true));
            is_there && !listens()
        };
        Self(of_starter.iter().filter(is_left_open).map(|file| file.number).collect())
    }

    /// Closes them in whatever this process executes. To be called in a process that was just forked.
    pub(crate) fn close_on_exec(&self) {
        for fd in self.0.iter().filter_map(|number| borrow_descriptor(*number)) {
            // It cannot fail for one that is open: see `fcntl(2)`.
            let _ = fcntl_getfd(fd).and_then(|flags| fcntl_setfd(fd, flags | FdFlags::CLOEXEC));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        net::TcpListener,
        os::fd::{AsFd, AsRawFd, BorrowedFd},
    };

    use super::{super::open_files, *};

    fn hand_on(fd: BorrowedFd<'_>) {
        fcntl_setfd(fd, FdFlags::empty()).expect("open");
    }

    fn is_handed_on(fd: impl AsFd) -> bool {
        !fcntl_getfd(fd).expect("open").contains(FdFlags::CLOEXEC)
    }

    #[test]
    fn what_listens_is_handed_on_and_nothing_else_of_the_starter() {
        let (file, own) = (File::open("/dev/null"), File::open("/dev/zero"));
        let (file, own) = (file.expect("there"), own.expect("there"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let gone = File::open("/proc/self/status").expect("there");
        for fd in [file.as_fd(), own.as_fd(), listener.as_fd(), gone.as_fd()] {
            hand_on(fd);
        }
        let mine = [&file.as_fd(), &own.as_fd(), &listener.as_fd(), &gone.as_fd()];
        let mine = mine.map(AsRawFd::as_raw_fd);
        let mut of_starter = open_files().expect("it can be read");
        of_starter.retain(|it| mine.contains(&it.number));
        // The program has made it its own, and closed another one.
        fcntl_setfd(&own, FdFlags::CLOEXEC).expect("open");
        drop(gone);
        let left_open = LeftOpen::of(&of_starter);
        assert_eq!(left_open.0, [file.as_raw_fd()]);
        left_open.close_on_exec();
        assert_eq!((is_handed_on(&file), is_handed_on(&listener)), (false, true));
    }
}
