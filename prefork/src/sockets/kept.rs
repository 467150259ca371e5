//! Listening sockets that the service manager keeps for the next start, should this daemon be killed (`FDSTORE=1` in
//! `sd_notify(3)`).
//!
//! They come back as those do that the manager has bound, and are known by their names. Between two starts anything may have
//! happened to them, and to the file of a UNIX socket: whatever is not as good as a socket that was just bound is given up,
//! and the address is bound again.

use std::{collections::BTreeSet, os::fd::OwnedFd};

use prefork_daemonize::SocketFileId;
use prefork_sockets::{Terms, listens, unix_path};
use rustix::{
    fs::fstat,
    net::{AddressFamily, SocketType, getsockname, sockopt},
};

use super::{activation::Activated, listeners::Listening};

/// What the names begin with. Others are of the administrator's making.
const PREFIX: &str = "prefork-listener-";

/// Returns the name under which a listening socket is kept: by its number, and by that of the file that it has made.
pub(crate) fn name(socket: &OwnedFd, file: Option<SocketFileId>) -> Option<String> {
    let number = fstat(socket).ok()?.st_ino;
    Some(match file {
        None => format!("{PREFIX}{number}"),
        Some(file) => format!("{PREFIX}{number}-{}-{}", file.device(), file.inode()),
    })
}

/// Returns whether a descriptor of this name was kept by an earlier daemon of this library.
pub(crate) fn is_kept(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Returns the file that a socket of this name has made.
pub(super) fn file_of(name: &str) -> Option<SocketFileId> {
    let mut numbers = name.strip_prefix(PREFIX)?.split('-').skip(1);
    let (device, inode) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
    Some(SocketFileId::new(device, inode))
}

/// Returns the names under which these are to be kept: all that listen and are the daemon's own. Those of the manager it
/// has, and those of other pools end with the arbiter.
pub(crate) fn names<'a>(
    listeners: impl Iterator<Item = &'a Listening>,
) -> impl Iterator<Item = (String, &'a OwnedFd)> {
    let own = listeners.filter(|it| it.activated.is_none());
    let own = own.filter(|it| listens(&it.socket));
    own.filter_map(|it| Some((name(&it.socket, it.file)?, &it.socket)))
}

/// A kept descriptor that is of no use any more, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Useless {
    pub(crate) name: String,
    pub(crate) why: String,
}

/// Takes out those that were kept and are of no use; the others are as good as just bound then.
pub(crate) fn sort(passed: Vec<Activated>) -> (Vec<Activated>, Vec<Useless>) {
    let (mut good, mut useless) = (Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for activated in passed {
        if !is_kept(&activated.name) {
            good.push(activated);
            continue;
        }
        // The same once more is just closed: by its name both would go.
        if !seen.insert(activated.name.clone()) {
            continue;
        }
        match mend(&activated) {
            Ok(()) => good.push(activated),
            Err(why) => useless.push(Useless { name: activated.name, why }),
        }
    }
    (good, useless)
}

/// Makes one as it was when it was bound, if that can be.
fn mend(Activated { name: kept_as, socket }: &Activated) -> Result<(), String> {
    let file = file_of(kept_as);
    if name(socket, file).as_ref() != Some(kept_as) {
        return Err("it is not the one that was kept".to_owned());
    }
    let text = |error: &dyn std::fmt::Display| error.to_string();
    if sockopt::socket_type(socket).map_err(|error| text(&error))? != SocketType::STREAM {
        return Err("it takes no connections".to_owned());
    }
    if sockopt::socket_domain(socket).map_err(|error| text(&error))? == AddressFamily::UNIX {
        let path = unix_path(socket);
        if !path.zip(file).is_some_and(|(path, file)| file.is_at(&path)) {
            return Err("its file is gone".to_owned());
        }
    }
    let address = getsockname(socket).ok();
    // Whatever processes that have shared it have done to it.
    Terms::fresh().mend(socket).map_err(|error| text(&error))?;
    if getsockname(socket).ok() != address {
        // One that was bound to port 0 has lost the port that it became.
        return Err("it has lost its address".to_owned());
    }
    rustix::io::ioctl_fionbio(socket, false).map_err(|error| text(&error))
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
        os::unix::net::{UnixListener, UnixStream},
    };

    use prefork_daemonize::SocketFile;
    use rustix::net::{Shutdown, shutdown};

    use super::*;
    use crate::sockets::unix_socket::tests::alone;

    fn kept(socket: impl Into<OwnedFd>, file: Option<SocketFileId>) -> Activated {
        let socket = socket.into();
        Activated { name: name(&socket, file).expect("it has a number"), socket }
    }

    /// What becomes of one.
    #[track_caller]
    fn sorted(activated: Activated) -> Result<Activated, String> {
        let (mut good, mut useless) = sort(vec![activated]);
        assert_eq!(good.len() + useless.len(), 1);
        good.pop().ok_or_else(|| useless.pop().expect("one of both").why)
    }

    #[test]
    fn names_are_such_as_the_manager_takes_and_are_read_again() {
        let listener = OwnedFd::from(TcpListener::bind("127.0.0.1:0").expect("bound"));
        let file = Some(SocketFileId::new(u64::MAX, 7));
        for file in [None, file] {
            let name = name(&listener, file).expect("it has a number");
            assert!(name.len() < 255 && name.bytes().all(|it| it.is_ascii_graphic() && it != b':'));
            assert!(is_kept(&name));
            assert_eq!(file_of(&name), file);
        }
        for other in ["http", "stored", "prefork-arbiter", ""] {
            assert!(!is_kept(other) && file_of(other).is_none(), "{other}");
        }
        for nonsense in ["prefork-listener-", "prefork-listener-x-y-z", "prefork-listener-1-2"] {
            assert_eq!(file_of(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn what_others_have_done_to_a_kept_socket_is_undone() {
        let bind = |address| TcpListener::bind(address).expect("bound");
        let listener = bind("127.0.0.1:0".parse::<SocketAddr>().expect("an address"));
        let address = listener.local_addr().expect("bound");
        let deaf = kept(listener, None);
        shutdown(&deaf.socket, Shutdown::Both).expect("everybody may");
        assert_eq!(sorted(deaf).expect_err("no"), "it has lost its address");
        let activated = kept(bind(address), None);
        shutdown(&activated.socket, Shutdown::Both).expect("everybody may");
        rustix::io::ioctl_fionbio(&activated.socket, true).expect("set");
        let Activated { socket, .. } = sorted(activated).expect("it is mended");
        let _client = TcpStream::connect(address).expect("it listens again");
        TcpListener::from(socket).accept().expect("and waits for nobody");
    }

    #[test]
    fn descriptors_that_are_no_such_sockets_are_given_up() {
        let null = || File::open("/dev/null").expect("opened");
        let datagrams = UdpSocket::bind("127.0.0.1:0").expect("bound");
        let (one, _other) = UnixStream::pair().expect("made");
        assert!(sorted(kept(null(), None)).is_err());
        assert_eq!(sorted(kept(datagrams, None)).expect_err("no"), "it takes no connections");
        assert_eq!(sorted(kept(one, None)).expect_err("no"), "its file is gone");
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        for name in ["prefork-listener-1", "prefork-listener-", "prefork-listener-\u{e9}"] {
            let socket = listener.try_clone().expect("duplicated").into();
            let wrong = Activated { name: name.to_owned(), socket };
            assert_eq!(sorted(wrong).expect_err("no"), "it is not the one that was kept", "{name}");
        }
    }

    #[test]
    fn a_socket_whose_file_is_gone_or_is_anothers_is_given_up() {
        let _alone = alone();
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("socket");
        let bind = || SocketFile::bind(&path).expect("bound");
        let (listener, file) = bind();
        let id = file.as_ref().map(SocketFile::id);
        let again = |listener: &UnixListener| kept(listener.try_clone().expect("duplicated"), id);
        assert!(sorted(again(&listener)).is_ok());
        drop(file);
        assert_eq!(sorted(again(&listener)).expect_err("no"), "its file is gone");
        let _other = bind();
        assert_eq!(sorted(again(&listener)).expect_err("no"), "its file is gone");
    }

    #[test]
    fn one_that_comes_twice_is_taken_once_and_others_are_left_alone() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let twice = || kept(listener.try_clone().expect("duplicated"), None);
        let other = Activated {
            name: "http".to_owned(),
            socket: File::open("/dev/null").expect("opened").into(),
        };
        let (good, useless) = sort(vec![twice(), other, twice()]);
        let names: Vec<_> = good.iter().map(|it| it.name.clone()).collect();
        assert_eq!((names, useless), (vec![twice().name, "http".to_owned()], vec![]));
    }
}
