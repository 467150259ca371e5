//! How logs that were opened again reach processes that may not open them.
//!
//! # Problem
//!
//! Logs are rotated while children write to them, and children mostly run as a user who may not open them. To replace
//! all children takes as long as their longest request, and until then they write to a file that may be compressed
//! and removed already. `/proc/PARENT/fd` is closed to them, as to all that may not trace the parent; a directory
//! that was opened before the change of user does not help, as permissions are looked at when a file is opened; and to
//! give the files to the children's user is how a log becomes a way to root.
//!
//! # Idea
//!
//! A descriptor is passed, which only a UNIX socket can do; and nothing may come to the parent in this way, which
//! would have to close it, and might sleep in that. So this one goes in one direction for good: the parent has shut down
//! reading at its end before it has a child, which nobody can take back, and whatever a child sends fails with `EPIPE`
//! in the child.
//!
//! All children have the same other end, so that the parent needs two descriptors for any number of them. In the socket
//! lies one message: the newest *edition* of the logs, with its number. It is looked at and left there (`MSG_PEEK`),
//! which gives each process descriptors of its own. A word in the child's page says that there is a newer one.
//!
//! A child that takes the message away, or shuts its end down, does so to its siblings too: they find nothing, go on
//! with the old files, and ask to be replaced. What they get is what they had: a log to write to.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    thread,
    time::Duration,
};

use rustix::{
    io::{Errno, retry_on_intr},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, SocketType, recv, recvmsg, sendmsg,
        shutdown, socketpair,
    },
};

use crate::sys::refused::Refusable;

/// The number of an edition, and which logs are in it.
const LENGTH: usize = 9;

const ERROR_LOG: u8 = 1;
const ACCESS_LOG: u8 = 2;

/// How often is looked for an edition that lies there; there is one.
const MOST_STALE: u32 = 16;

/// How often, and how long apart, a process looks again for an edition that is being exchanged for the next.
const LOOKS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(1);

/// Open logs; those that are missing stay what they were.
#[derive(Debug, Default)]
pub(crate) struct Logs<F> {
    pub(crate) error_log: Option<F>,
    pub(crate) access_log: Option<F>,
}

impl<F> Logs<F> {
    pub(crate) const fn is_empty(&self) -> bool {
        self.error_log.is_none() && self.access_log.is_none()
    }
}

/// The parent's side.
#[derive(Debug)]
pub(crate) struct Handout {
    giver: OwnedFd,
    taker: Taker,
    edition: u64,
}

/// The side of all others.
#[derive(Debug)]
pub(crate) struct Taker {
    socket: OwnedFd,
}

impl Handout {
    /// Begins with the logs that the daemon was started with, as the first edition.
    pub(super) fn new() -> io::Result<Self> {
        let (giver, socket) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .of_call("socketpair(2)")?;
        shutdown(&giver, Shutdown::Read).of_call("shutdown(2)")?;
        Ok(Self { giver, taker: Taker { socket }, edition: 1 })
    }

    /// Goes on with those of the old program.
    pub(super) const fn adopt(giver: OwnedFd, taker: OwnedFd, edition: u64) -> Self {
        Self { giver, taker: Taker { socket: taker }, edition }
    }

    /// What the next program in this process needs.
    pub(super) const fn descriptors(&self) -> [&OwnedFd; 2] {
        [&self.giver, &self.taker.socket]
    }

    /// The number of the newest edition, which every child has that is forked now.
    pub(crate) const fn edition(&self) -> u64 {
        self.edition
    }

    /// Puts these logs where all find them, as the next edition.
    ///
    /// # Errors
    ///
    /// Fails if a child has made the socket useless. There is a new one then, for later children.
    pub(super) fn give(&mut self, logs: &Logs<BorrowedFd<'_>>) -> io::Result<()> {
        self.edition += 1;
        let given = self.take_back().and_then(|()| self.send(logs));
        if given.is_err() {
            let edition = self.edition;
            *self = Self { edition, ..Self::new()? };
        }
        Ok(given?)
    }

    fn send(&self, logs: &Logs<BorrowedFd<'_>>) -> Result<(), Errno> {
        let mut message = [0; LENGTH];
        message[..8].copy_from_slice(&self.edition.to_ne_bytes());
        let has = |log: &Option<_>, bit| if log.is_some() { bit } else { 0 };
        message[8] = has(&logs.error_log, ERROR_LOG) | has(&logs.access_log, ACCESS_LOG);
        let files: Vec<_> = logs.error_log.iter().chain(&logs.access_log).copied().collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&files)) {
            return Err(Errno::NOMEM);
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        retry_on_intr(|| sendmsg(&self.giver, &[IoSlice::new(&message)], &mut control, flags))?;
        Ok(())
    }

    /// Takes away the edition that lies there. A child that looks meanwhile finds none, and looks again: see [`Taker::take`].
    fn take_back(&self) -> Result<(), Errno> {
        for _ in 0..MOST_STALE {
            // They were opened by this process, and nobody else can put anything there.
            match recv(&self.taker.socket, &mut [0; LENGTH], RecvFlags::DONTWAIT) {
                // Nothing is there, or somebody has shut it down.
                Err(Errno::AGAIN) | Ok((0, _)) => return Ok(()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Errno::BUSY)
    }

    /// Turns the inherited copy into the side of a process that was forked, and returns which edition it has.
    pub(crate) fn into_taker(self) -> (Taker, u64) {
        (self.taker, self.edition)
    }

    pub(crate) const fn taker(&self) -> &Taker {
        &self.taker
    }
}

impl Taker {
    /// The same once more, for a process that closes the other.
    pub(crate) fn again(&self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()? })
    }

    /// The number of the edition that can be taken; `None` if there is none.
    pub(crate) fn newest(&self) -> Result<Option<u64>, Errno> {
        let mut message = [0; LENGTH];
        let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
        match retry_on_intr(|| recv(&self.socket, &mut message, flags)) {
            Ok((LENGTH, _)) => Ok(Some(number(&message))),
            Ok(_) | Err(Errno::AGAIN) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes the newest edition, with its number, which is `wanted` or a later one.
    ///
    /// # Errors
    ///
    /// Fails if there is none, or this process can have no further descriptor.
    pub(crate) fn take(&self, wanted: u64) -> io::Result<(u64, Logs<OwnedFd>)> {
        let mut looks = 0;
        // The parent may be about to put the next one there.
        while self.newest()?.is_none_or(|newest| newest < wanted) {
            looks += 1;
            if looks == LOOKS {
                return Err(io::Error::other("they were not handed out"));
            }
            thread::sleep(PAUSE);
        }
        self.take_what_is_there()
    }

    fn take_what_is_there(&self) -> io::Result<(u64, Logs<OwnedFd>)> {
        let mut message = [0; LENGTH];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK | RecvFlags::CMSG_CLOEXEC;
        let mut parts = [IoSliceMut::new(&mut message)];
        let received = retry_on_intr(|| recvmsg(&self.socket, &mut parts, &mut control, flags));
        let received = received.map_err(|errno| match errno {
            Errno::AGAIN => io::Error::other("they were not handed out"),
            errno => errno.into(),
        })?;
        if received.bytes != LENGTH {
            return Err(io::Error::other("they were not handed out"));
        }
        let mut files = control.drain().flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => files.collect::<Vec<_>>(),
            _ => Vec::new(),
        });
        let mut file = |bit| -> io::Result<Option<OwnedFd>> {
            if message[8] & bit == 0 {
                return Ok(None);
            }
            // Cut off by the kernel.
            files.next().map(Some).ok_or_else(|| Errno::MFILE.into())
        };
        let logs = Logs { error_log: file(ERROR_LOG)?, access_log: file(ACCESS_LOG)? };
        Ok((number(&message), logs))
    }
}

impl AsFd for Taker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn number(message: &[u8; LENGTH]) -> u64 {
    let [number @ .., _] = *message;
    u64::from_ne_bytes(number)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use rustix::{io::write, net::send};

    use super::*;

    fn file(name: &str, folder: &tempfile::TempDir) -> File {
        File::create(folder.path().join(name)).expect("made")
    }

    fn give(handout: &mut Handout, error_log: Option<&File>, access_log: Option<&File>) {
        let logs =
            Logs { error_log: error_log.map(AsFd::as_fd), access_log: access_log.map(AsFd::as_fd) };
        handout.give(&logs).expect("given");
    }

    #[test]
    fn everybody_finds_the_newest_logs_however_many_were_given() {
        let folder = tempfile::tempdir().expect("made");
        let mut handout = Handout::new().expect("made");
        assert!(handout.taker.newest().expect("looked").is_none());
        handout.taker.take(1).expect_err("nothing was given");
        for name in ["one", "two", "three"] {
            let log = file(name, &folder);
            give(&mut handout, None, Some(&log));
            for _ in 0..3 {
                assert_eq!(handout.taker.newest(), Ok(Some(handout.edition())));
                let (edition, logs) = handout.taker.take(handout.edition()).expect("taken");
                assert_eq!(edition, handout.edition());
                assert!(logs.error_log.is_none());
                write(logs.access_log.expect("given"), b"x").expect("written");
            }
            assert_eq!(std::fs::read(folder.path().join(name)).expect("read"), b"xxx");
        }
    }

    #[test]
    fn the_two_logs_are_not_mixed_up() {
        let folder = tempfile::tempdir().expect("made");
        let (errors, requests) = (file("errors", &folder), file("requests", &folder));
        let mut handout = Handout::new().expect("made");
        give(&mut handout, Some(&errors), Some(&requests));
        let (_, logs) = handout.taker.take(handout.edition()).expect("taken");
        write(logs.error_log.expect("given"), b"error").expect("written");
        write(logs.access_log.expect("given"), b"request").expect("written");
        assert_eq!(std::fs::read(folder.path().join("errors")).expect("read"), b"error");
        assert_eq!(std::fs::read(folder.path().join("requests")).expect("read"), b"request");
    }

    /// Else a child could have the parent close what it likes.
    #[test]
    fn nothing_can_be_sent_to_the_parent() {
        let handout = Handout::new().expect("made");
        let [_, taker] = handout.descriptors();
        for how in [None, Some(Shutdown::Write), Some(Shutdown::Both)] {
            how.map(|how| shutdown(taker, how)).transpose().expect("shut down");
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            assert_eq!(send(taker, b"x", flags), Err(Errno::PIPE));
        }
    }

    #[test]
    fn a_socket_that_a_child_has_spoilt_is_made_again_for_later_children() {
        let folder = tempfile::tempdir().expect("made");
        let log = file("log", &folder);
        let logs = || Logs { error_log: None, access_log: Some(log.as_fd()) };
        let mut handout = Handout::new().expect("made");
        shutdown(&handout.taker.socket, Shutdown::Read).expect("shut down");
        handout.give(&logs()).expect_err("nobody would find it");
        handout.give(&logs()).expect("a new socket");
        assert_eq!(handout.taker.take(3).expect("taken").0, 3);
    }

    /// One that was taken away is missed by the siblings, and given again with the next rotation.
    #[test]
    fn what_a_child_takes_away_is_missing_until_the_next_edition() {
        let folder = tempfile::tempdir().expect("made");
        let log = file("log", &folder);
        let mut handout = Handout::new().expect("made");
        give(&mut handout, None, Some(&log));
        recv(&handout.taker.socket, &mut [0; 99], RecvFlags::DONTWAIT).expect("taken away");
        handout.taker.take(2).expect_err("it is gone");
        give(&mut handout, None, Some(&log));
        handout.taker.take(3).expect("there is another");
    }
}
