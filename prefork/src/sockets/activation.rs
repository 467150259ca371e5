//! Sockets that the service manager has bound (see `sd_listen_fds(3)`).
//!
//! They come with the numbers from 3 upwards and without close-on-exec, and three variables say so. Both
//! is undone first thing: the descriptors get owners and close-on-exec, and the variables go, so that
//! nothing that the daemon starts takes them for its own. After an upgrade the numbers mean something
//! else, while the pid is still the one that was meant: the sockets are in the handover then, and the
//! variables are not handed on.
//!
//! The manager keeps its copies, and hands them to the next start. So nothing may be done to these sockets
//! that outlasts this daemon: neither are their doors closed at the end, nor their queues changed.

use std::{
    env, fs,
    net::{IpAddr, SocketAddr},
    os::fd::{OwnedFd, RawFd},
    path::Path,
};

use prefork_core::one_line;
use prefork_sockets::{listens, tcp_address, unix_address};
use rustix::{
    io::{FdFlags, fcntl_getfd},
    net::sockopt,
};

use crate::{logs::ClientMessage, logs::log::Log, program::ACTIVATION_VARIABLES, sys};

const FIRST: RawFd = 3;

/// A descriptor that was passed, and the name that the manager has given it.
#[derive(Debug)]
pub(crate) struct Activated {
    pub(crate) name: String,
    pub(crate) socket: OwnedFd,
}

/// Takes over what was passed to this process, and takes the variables out of the environment.
///
/// What has close-on-exec set was opened, or taken over, by code of this program.
pub(crate) fn take(log: &Log) -> Vec<Activated> {
    let read = |name| env::var(name).ok();
    let [pid, count, names, _] = ACTIVATION_VARIABLES.map(read);
    forget();
    let is_for_us = pid.is_some_and(|pid| pid == std::process::id().to_string());
    let Some(count) = count.filter(|_| is_for_us) else { return Vec::new() };
    let numbers = match numbers(&count) {
        Some(numbers) => numbers,
        None => {
            let value = format!("{count:?}");
            log.write(&ClientMessage::BadListenFds { value: &value });
            return Vec::new();
        }
    };
    let mut names = names.as_deref().map(|names| names.split(':')).into_iter().flatten();
    // As sd_listen_fds(3), up to the first that is not there: the count may be anything.
    let open = numbers.map_while(|number| Some((number, sys::borrow_descriptor(number)?)));
    let passed = open.filter_map(|(number, open)| {
        // As sd_listen_fds_with_names(3) calls what has no name.
        let name = names.next().unwrap_or("unknown").to_owned();
        let is_inherited = fcntl_getfd(open).is_ok_and(|flags| !flags.contains(FdFlags::CLOEXEC));
        let socket = if is_inherited { sys::adopt_descriptor(number) } else { None };
        Some(Activated { name, socket: socket? })
    });
    passed.collect()
}

/// Takes the variables out of the environment.
pub(crate) fn forget() {
    for name in ACTIVATION_VARIABLES {
        if env::var_os(name).is_some() {
            sys::forget_variable(name);
        }
    }
}

/// The numbers of so many descriptors; no process has more than the kernel can number.
fn numbers(count: &str) -> Option<std::ops::Range<RawFd>> {
    let count: RawFd = count.parse().ok().filter(|count| *count >= 0)?;
    Some(FIRST..FIRST.checked_add(count)?)
}

/// Shows a descriptor that was passed under a name, by where it is bound and by that name.
pub(crate) fn describe(socket: &OwnedFd, name: &str) -> String {
    format!("{} (FileDescriptorName={})", prefork_sockets::name(socket), one_line(name))
}

impl Activated {
    /// Whether it listens where listening on one of these addresses would.
    pub(crate) fn is_tcp(&self, wanted: &[SocketAddr]) -> bool {
        listens(&self.socket)
            && tcp_address(&self.socket).is_some_and(|bound| {
                let serves_both = || sockopt::ipv6_v6only(&self.socket).is_ok_and(|only| !only);
                wanted.iter().any(|wanted| is_same(*wanted, bound, serves_both))
            })
    }

    /// Whether it listens at this path.
    pub(crate) fn is_unix(&self, wanted: &Path) -> bool {
        listens(&self.socket)
            && unix_address(&self.socket).is_some_and(|bound| {
                let bound = bound.as_pathname();
                bound.is_some_and(|bound| bound == wanted || is_same_file(bound, wanted))
            })
    }
}

/// Whether a socket bound to `bound` is what binding to `wanted` would be. One that is bound to more, as to
/// all addresses where one is wanted, is not.
fn is_same(wanted: SocketAddr, bound: SocketAddr, serves_both: impl Fn() -> bool) -> bool {
    let is_any_of_both = || {
        wanted.port() == bound.port()
            && wanted.ip() == IpAddr::from([0; 4])
            && bound.ip() == IpAddr::from([0u8; 16])
            && serves_both()
    };
    wanted == bound || is_any_of_both()
}

/// Whether two paths, such as `/var/run/x` and `/run/x`, lead to one file.
fn is_same_file(a: &Path, b: &Path) -> bool {
    fs::canonicalize(a).is_ok_and(|a| fs::canonicalize(b).is_ok_and(|b| a == b))
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, UdpSocket},
        os::unix::net::UnixListener,
    };

    use super::*;

    fn activated(socket: impl Into<OwnedFd>) -> Activated {
        Activated { name: "test".to_owned(), socket: socket.into() }
    }

    #[test]
    fn numbers_begin_behind_the_standard_descriptors() {
        assert_eq!(numbers("2"), Some(3..5));
        assert_eq!(numbers("0"), Some(3..3));
        for nonsense in ["", "-1", "x", "2147483647", "4294967296"] {
            assert_eq!(numbers(nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn an_address_is_the_same_or_that_of_both_protocols() {
        let table = [
            ("127.0.0.1:80", "127.0.0.1:80", false, true),
            ("127.0.0.1:80", "127.0.0.1:81", false, false),
            ("127.0.0.1:80", "127.0.0.2:80", false, false),
            ("0.0.0.0:80", "0.0.0.0:80", false, true),
            ("[::]:80", "[::]:80", false, true),
            ("[::1]:80", "[::1]:80", false, true),
            // A socket for IPv6 that takes IPv4 too.
            ("0.0.0.0:80", "[::]:80", true, true),
            ("0.0.0.0:80", "[::]:80", false, false),
            ("0.0.0.0:80", "[::]:81", true, false),
            // Open to more than was asked for.
            ("127.0.0.1:80", "0.0.0.0:80", true, false),
            ("127.0.0.1:80", "[::]:80", true, false),
            // Open to less.
            ("[::]:80", "0.0.0.0:80", true, false),
        ];
        for (wanted, bound, both, expected) in table {
            let address = |text: &str| text.parse().expect("an address");
            let same = is_same(address(wanted), address(bound), || both);
            assert_eq!(same, expected, "{wanted} at {bound}");
        }
    }

    #[test]
    fn only_what_listens_is_a_listener() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound");
        assert!(activated(listener).is_tcp(&[address]));
        let datagrams = UdpSocket::bind("127.0.0.1:0").expect("bound");
        let address = datagrams.local_addr().expect("bound");
        assert!(!activated(datagrams).is_tcp(&[address]));
        let file = fs::File::open("/dev/null").expect("opened");
        assert!(!activated(file).is_tcp(&[address]));
    }

    #[test]
    fn a_path_is_known_by_another_way_to_it() {
        let folder = env::temp_dir().join(format!("prefork-activation-{}", std::process::id()));
        fs::create_dir_all(folder.join("run")).expect("made");
        std::os::unix::fs::symlink(folder.join("run"), folder.join("var")).expect("linked");
        let socket = activated(UnixListener::bind(folder.join("run/socket")).expect("bound"));
        assert!(socket.is_unix(&folder.join("run/socket")));
        assert!(socket.is_unix(&folder.join("var/socket")));
        assert!(!socket.is_unix(&folder.join("run/other")));
        fs::remove_dir_all(folder).expect("removed");
    }
}
