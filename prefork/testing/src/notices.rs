//! What a daemon reports to its service manager, which is the test (see `sd_notify(3)`).

use std::{
    io::IoSliceMut,
    mem::MaybeUninit,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg, sockopt::set_socket_passcred,
};

/// A socket for `NOTIFY_SOCKET`, and what has arrived there.
#[derive(Debug)]
pub(crate) struct Notices {
    socket: UnixDatagram,
    name: String,
    taken: Mutex<Vec<Notice>>,
}

/// A message, and who has sent it, as the kernel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) pid: u32,
    text: String,
}

/// How a reload or an upgrade has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The daemon has not said that it has begun, or that it is over.
    Running,
    /// It serves, with this to report.
    Ended(String),
}

impl Notices {
    /// Opens one whose name is `name`, in the abstract namespace: a path may be too long for a socket.
    pub(crate) fn open(name: &str) -> std::io::Result<Self> {
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
        socket.set_nonblocking(true)?;
        set_socket_passcred(&socket, true)?;
        Ok(Self { socket, name: format!("@{name}"), taken: Mutex::default() })
    }

    /// Returns the value of `NOTIFY_SOCKET`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns how many have come so far.
    pub(crate) fn count(&self) -> usize {
        self.taken().len()
    }

    /// Returns who has said first that it is ready.
    pub(crate) fn ready(&self) -> Option<u32> {
        self.taken().iter().find(|notice| notice.says("READY=1")).map(|notice| notice.pid)
    }

    /// Returns what has become of what was asked for after the first `before` notices had come.
    pub(crate) fn change_since(&self, before: usize) -> Change {
        outcome(self.taken().get(before..).unwrap_or_default())
    }

    /// Returns whether the last that the daemon has said is that it changes.
    pub(crate) fn is_changing(&self) -> bool {
        let taken = self.taken();
        let last = taken.iter().rev().find(|notice| notice.says("READY=1") || notice.begins());
        last.is_some_and(Notice::begins)
    }

    /// Takes in what waits.
    fn taken(&self) -> MutexGuard<'_, Vec<Notice>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.extend(std::iter::from_fn(|| self.receive()));
        taken
    }

    fn receive(&self) -> Option<Notice> {
        let mut buffer = [0; 4096];
        let mut space =
            [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4), ScmCredentials(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = recvmsg(&self.socket, &mut parts, &mut control, flags).ok()?;
        // Descriptors that come along are closed here, which is what a barrier waits for.
        let sender = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmCredentials(sender) => Some(sender.pid),
            _ => None,
        });
        let pid = sender.map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs());
        let text = String::from_utf8_lossy(&buffer[..received.bytes]).into_owned();
        Some(Notice { pid, text })
    }
}

impl Notice {
    fn says(&self, line: &str) -> bool {
        self.text.lines().any(|found| found == line)
    }

    /// Whether it says that something begins that ends with `READY=1`.
    fn begins(&self) -> bool {
        self.says("RELOADING=1")
    }

    fn status(&self) -> Option<&str> {
        self.text.lines().find_map(|line| line.strip_prefix("STATUS="))
    }
}

/// Returns what has become of a change whose first notices these are.
fn outcome(notices: &[Notice]) -> Change {
    let mut notices = notices.iter().skip_while(|notice| !notice.begins());
    match notices.find(|notice| notice.says("READY=1")) {
        Some(ended) => Change::Ended(ended.status().unwrap_or_default().to_owned()),
        None => Change::Running,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notices(texts: &[&str]) -> Vec<Notice> {
        texts.iter().map(|text| Notice { pid: 1, text: (*text).to_owned() }).collect()
    }

    #[test]
    fn a_change_ends_when_the_daemon_is_ready_after_it_has_begun() {
        let begins = "RELOADING=1\nMONOTONIC_USEC=5\nSTATUS=replacing all children";
        let ready = "READY=1\nSTATUS=serving, 2 children";
        for (texts, expected) in [
            (&[][..], Change::Running),
            // That of something before.
            (&[ready], Change::Running),
            (&[begins], Change::Running),
            (&[ready, begins, "STATUS=x"], Change::Running),
            (&[ready, begins, ready], Change::Ended("serving, 2 children".into())),
        ] {
            assert_eq!(outcome(&notices(texts)), expected, "{texts:?}");
        }
    }

    #[test]
    fn a_notice_has_its_sender() {
        let notices = Notices::open(&format!("prefork-testing-notices-{}", std::process::id()))
            .expect("a socket");
        assert_eq!(notices.ready(), None);
        let sender = UnixDatagram::unbound().expect("a socket");
        let name = notices.name().strip_prefix('@').expect("abstract");
        let address = SocketAddr::from_abstract_name(name).expect("short");
        sender.send_to_addr(b"READY=1\nSTATUS=serving", &address).expect("sent");
        assert_eq!(notices.ready(), Some(std::process::id()));
        assert_eq!(notices.count(), 1);
        assert!(!notices.is_changing());
    }
}
