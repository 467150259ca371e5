//! What does harm when several processes have it from one that has opened it.

use std::{
    fmt::{self, Display},
    os::fd::{BorrowedFd, RawFd},
};

use prefork_core::one_line;
use prefork_sockets::peer_name;
use rustix::{
    io::pread,
    net::{SocketType, sockopt::socket_type},
};

use crate::system::os::OpenFile;

/// How many files are looked into at most.
const MOST_FILES: usize = 256;

/// With what a file begins that is a database of SQLite: see its "Database File Format".
const SQLITE: &[u8] = b"SQLite format 3\0";

/// What SQLite has open beside a database: the name of that, and one of these.
const BESIDE_SQLITE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Where the library of SSSD connects to, when a user is looked up. It notices a fork, and connects again.
const SSSD: &str = "/var/lib/sss/";

/// What is open and does harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Harm {
    /// To a peer, or to one without a name. Its inode tells it from others.
    Connection {
        inode: u64,
        peer: Option<String>,
    },
    Epoll,
    Event,
    Timer,
    Signals,
    Changes,
    Rings,
    /// At a path, to be shown, as all of these.
    Database {
        path: String,
    },
    Locked {
        path: String,
    },
}

/// Finds what does harm, each with its descriptors. What is among `harmless` does none: what standard input, output or error
/// is too, which leads to a log.
pub(super) fn find(of_program: &[&OpenFile], harmless: &[(u64, u64)]) -> Vec<(Harm, Vec<RawFd>)> {
    let others = of_program.iter().filter(|file| !harmless.contains(&file.identity));
    let (files, others): (Vec<&OpenFile>, Vec<_>) = others.partition(|file| file.is_regular);
    let files = &files[..files.len().min(MOST_FILES)];
    let databases: Vec<_> = files.iter().filter(|it| is_database(it)).map(|it| path(it)).collect();
    let harms = others.into_iter().map(|it| (harm_of(it), it.number));
    let harms = harms.chain(files.iter().map(|it| (harm_of_file(it, &databases), it.number)));
    let mut found: Vec<(Harm, Vec<RawFd>)> = Vec::new();
    for (harm, number) in harms.filter_map(|(harm, number)| Some((harm?, number))) {
        match found.iter_mut().find(|(known, _)| *known == harm) {
            Some((_, numbers)) => numbers.push(number),
            None => found.push((harm, vec![number])),
        }
    }
    found
}

fn harm_of(file: &OpenFile) -> Option<Harm> {
    match &*path(file) {
        "anon_inode:[eventpoll]" => Some(Harm::Epoll),
        "anon_inode:[eventfd]" => Some(Harm::Event),
        "anon_inode:[timerfd]" => Some(Harm::Timer),
        "anon_inode:[signalfd]" => Some(Harm::Signals),
        "anon_inode:inotify" | "anon_inode:[fanotify]" => Some(Harm::Changes),
        "anon_inode:[io_uring]" => Some(Harm::Rings),
        _ => connection(file.descriptor()?, file.identity.1),
    }
}

fn harm_of_file(file: &OpenFile, databases: &[String]) -> Option<Harm> {
    let path = path(file);
    let belongs_to = |database: &&String| {
        let rest = path.strip_prefix(database.as_str());
        rest.is_some_and(|rest| rest.is_empty() || BESIDE_SQLITE.contains(&rest))
    };
    match databases.iter().find(belongs_to) {
        Some(database) => Some(Harm::Database { path: database.clone() }),
        None => file.holds_a_lock_of_this_process().then_some(Harm::Locked { path }),
    }
}

fn path(file: &OpenFile) -> String {
    one_line(&file.target).to_string()
}

fn is_database(file: &OpenFile) -> bool {
    let mut head = [0; SQLITE.len()];
    let read = file.descriptor().map(|fd| pread(fd, &mut head, 0));
    matches!(read, Some(Ok(length)) if head[..length] == *SQLITE)
}

/// Returns a connection by which answers come. Datagrams are mostly sent and not received, as to a log, and whoever
/// receives some shares the socket on purpose.
fn connection(fd: BorrowedFd<'_>, inode: u64) -> Option<Harm> {
    match socket_type(fd).ok()? {
        SocketType::STREAM | SocketType::SEQPACKET => {}
        _ => return None,
    }
    let peer = peer_name(fd).ok()?;
    let is_of_sssd = peer.as_ref().is_some_and(|peer| peer.starts_with(SSSD));
    (!is_of_sssd).then_some(Harm::Connection { inode, peer })
}

impl Harm {
    /// What follows from it.
    pub(super) const fn consequence(&self) -> &'static str {
        match self {
            Self::Connection { peer: Some(_), .. } => "children read each other's answers",
            Self::Connection { peer: None, .. } => {
                "children take from each other what is sent by it"
            }
            Self::Epoll => "children take each other's events",
            Self::Event => "children take each other's wake-ups",
            Self::Timer => "each expiry reaches one child alone",
            Self::Signals => "an epoll reports the parent's signals by it, and no child's",
            Self::Changes => "each change reaches one child alone",
            Self::Rings => "children write over each other's requests",
            Self::Database { .. } => "children do not have its locks, and can damage it",
            Self::Locked { .. } => "children do not have the lock",
        }
    }
}

/// What it is.
impl Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection { peer: Some(peer), .. } => write!(f, "connection to {peer}"),
            Self::Connection { peer: None, .. } => f.write_str("one end of a pair of sockets"),
            Self::Epoll => f.write_str("epoll"),
            Self::Event => f.write_str("eventfd"),
            Self::Timer => f.write_str("timerfd"),
            Self::Signals => f.write_str("signalfd"),
            Self::Changes => f.write_str("inotify or fanotify"),
            Self::Rings => f.write_str("io_uring"),
            Self::Database { path } => write!(f, "SQLite database {path}"),
            Self::Locked { path } => write!(f, "{path}, locked by fcntl(2)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        os::{
            fd::{AsFd, AsRawFd},
            unix::net::{UnixDatagram, UnixListener, UnixStream},
        },
    };

    use super::*;
    use crate::system::os::open_files;

    /// What is found among these, each in words.
    fn found(descriptors: &[BorrowedFd<'_>], standard: &[(u64, u64)]) -> Vec<(String, Vec<RawFd>)> {
        let open = open_files().expect("it can be read");
        let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let of_program: Vec<_> =
            open.iter().filter(|file| numbers.contains(&file.number)).collect();
        let found = find(&of_program, standard);
        found.into_iter().map(|(harm, numbers)| (harm.to_string(), numbers)).collect()
    }

    #[test]
    fn a_connection_is_found_once_and_what_listens_or_only_sends_is_not() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).expect("bound");
        let connection = UnixStream::connect(&path).expect("connected");
        let again = connection.try_clone().expect("copied");
        let log = UnixDatagram::bind(folder.path().join("log")).expect("bound");
        let to_log = UnixDatagram::unbound().expect("a socket");
        to_log.connect(folder.path().join("log")).expect("connected");
        let null = File::open("/dev/null").expect("there");
        let all = [
            listener.as_fd(),
            connection.as_fd(),
            again.as_fd(),
            to_log.as_fd(),
            log.as_fd(),
            null.as_fd(),
        ];
        let mut numbers = vec![connection.as_raw_fd(), again.as_raw_fd()];
        numbers.sort_unstable();
        assert_eq!(found(&all, &[]), [(format!("connection to {}", path.display()), numbers)]);
        let stat = rustix::fs::fstat(&connection).expect("open");
        assert_eq!(
            found(&all, &[(stat.st_dev, stat.st_ino)]),
            [],
            "it is a standard descriptor too"
        );
    }

    #[test]
    fn a_database_is_one_with_what_lies_beside_it() {
        let folder = tempfile::tempdir().expect("a directory");
        let database = folder.path().join("a.db");
        std::fs::write(&database, [SQLITE, &[0; 84]].concat()).expect("written");
        std::fs::write(folder.path().join("a.db-wal"), "").expect("written");
        std::fs::write(folder.path().join("b.db"), "SQLite format").expect("written");
        let [first, log, other] = ["a.db", "a.db-wal", "b.db"]
            .map(|name| File::open(folder.path().join(name)).expect("there"));
        let all = [first.as_fd(), log.as_fd(), other.as_fd()];
        let mut numbers = vec![first.as_raw_fd(), log.as_raw_fd()];
        numbers.sort_unstable();
        assert_eq!(
            found(&all, &[]),
            [(format!("SQLite database {}", database.display()), numbers)]
        );
    }
}
