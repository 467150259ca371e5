//! Connections as netstat(8) prints them.

use super::command::output;
use crate::{Connection, Endpoint, Filter, Proto, Source, SourceError, State, UnixName};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long it may take: the caller waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs `netstat` of net-tools and reads what it prints: see `netstat(8)`.
///
/// For where that is all there is. Each reading starts a process, which itself reads
/// `/proc/net/tcp`, so prefer [`ProcNet`](crate::ProcNet). It shows nothing of when UNIX sockets
/// lose their peer.
#[derive(Debug)]
pub struct Netstat {
    program: PathBuf,
}

impl Netstat {
    /// Makes the source; the program is looked for where systems have it, and not in `PATH`, as this may
    /// run as root.
    #[must_use]
    pub fn new() -> Self {
        let places = ["/usr/bin/netstat", "/bin/netstat", "/usr/sbin/netstat", "/sbin/netstat"];
        let there = places.into_iter().find(|place| Path::new(place).exists());
        Self::at(there.unwrap_or(places[0]))
    }

    /// Makes the source with the path of the program.
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into() }
    }

    fn run(&self) -> Result<Vec<u8>, SourceError> {
        let mut command = Command::new(&self.program);
        // Whose a socket is takes netstat long to find out, and is known better here: so no "-p",
        // but "-e", which shows the inode. "-W" keeps long addresses whole.
        command.arg("-antxeW").env("LC_ALL", "C");
        let program = || self.program.clone();
        let output = output(&mut command, PATIENCE)
            .map_err(|source| SourceError::Run { program: program(), source })?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let message = said.lines().next().unwrap_or("it said nothing").to_owned();
        Err(SourceError::Failed { program: program(), status: output.status, message })
    }
}

impl Default for Netstat {
    fn default() -> Self {
        Self::new()
    }
}

impl Source for Netstat {
    fn read(&mut self, filter: &Filter, rows: &mut Vec<Connection>) -> Result<(), SourceError> {
        let text = self.run()?;
        rows.extend(parse(&text).filter(|row| row.state.may_be_held() && filter.matches(row)));
        Ok(())
    }

    fn find(&mut self, connection: &Connection) -> Result<Option<Connection>, SourceError> {
        let text = self.run()?;
        Ok(parse(&text).find(|row| row.has_addresses_of(connection)))
    }
}

/// The width of the column with pid and program, which a program's name with blanks fills too.
const PROGRAM_WIDTH: usize = 20;

/// Which columns there are behind the state, as the heading says.
#[derive(Clone, Copy, Default)]
struct Columns {
    inode: bool,
    program: bool,
}

/// Parses what `netstat -an` prints, with `-p`, `-e` and `-W` or without.
///
/// Lines that are no rows of TCP or of UNIX stream sockets are left out, and so are those with an
/// address that was cut off to fit its column. Without `-e` the inodes of TCP are 0.
pub(crate) fn parse(text: &[u8]) -> impl Iterator<Item = Connection> {
    let mut columns = Columns::default();
    text.split(|&byte| byte == b'\n').filter_map(move |line| {
        let line = String::from_utf8_lossy(line);
        let (proto, rest) = line.split_once(' ')?;
        match proto {
            "Proto" => {
                let inode = rest.split_ascii_whitespace().any(|word| word == "Inode");
                columns = Columns { inode, program: rest.contains("PID/Program") };
                None
            }
            "tcp" => tcp(Proto::Tcp, rest, columns),
            "tcp6" => tcp(Proto::Tcp6, rest, columns),
            "unix" => unix(rest, columns),
            _ => None,
        }
    })
}

fn tcp(proto: Proto, rest: &str, columns: Columns) -> Option<Connection> {
    let mut fields = rest.split_ascii_whitespace().skip(2);
    let (local, foreign) = (address(fields.next()?)?, address(fields.next()?)?);
    let state = state(fields.next()?)?;
    let inode = if columns.inode { fields.nth(1)?.parse().ok()? } else { 0 };
    let pid = if columns.program { fields.next().and_then(pid) } else { None };
    Some(Connection { proto, local, foreign, state, inode, pid, interface: 0 })
}

fn unix(rest: &str, columns: Columns) -> Option<Connection> {
    // The flags stand in brackets, with blanks between them.
    let (_, rest) = rest.split_once(']')?;
    let (kind, rest) = word(rest)?;
    let (state, rest) = word(rest)?;
    let (inode, rest) = word(rest)?;
    let inode = inode.parse().ok()?;
    if kind != "STREAM" || state != "CONNECTED" {
        return None;
    }
    let (pid, path) = if columns.program {
        let end = rest.char_indices().nth(PROGRAM_WIDTH).map_or(rest.len(), |(end, _)| end);
        let (program, path) = rest.split_at(end);
        (pid(program), path)
    } else {
        (None, rest)
    };
    let local = match path.trim().as_bytes() {
        [b'@', name @ ..] => Endpoint::Unix(UnixName::of_abstract(name)),
        path => UnixName::new(path).map_or(Endpoint::Unnamed, Endpoint::Unix),
    };
    let (proto, foreign, state) = (Proto::Unix, Endpoint::Unnamed, State::Established);
    Some(Connection { proto, local, foreign, state, inode, pid, interface: 0 })
}

/// Splits off a word, with the blanks on both sides of it.
fn word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let end = text.find(' ').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (!word.is_empty()).then(|| (word, rest.trim_start()))
}

fn pid(program: &str) -> Option<u32> {
    program.split_once('/')?.0.parse().ok()
}

/// Parses `192.0.2.1:80`, `::1:80`, or either with `*` for no port.
fn address(text: &str) -> Option<Endpoint> {
    let (ip, port) = text.rsplit_once(':')?;
    let port = if port == "*" { 0 } else { port.parse().ok()? };
    let ip: IpAddr = ip.parse().ok()?;
    Some(Endpoint::Ip(SocketAddr::new(ip.to_canonical(), port)))
}

fn state(name: &str) -> Option<State> {
    Some(match name {
        "ESTABLISHED" => State::Established,
        "SYN_SENT" => State::SynSent,
        "SYN_RECV" => State::SynRecv,
        "FIN_WAIT1" => State::FinWait1,
        "FIN_WAIT2" => State::FinWait2,
        "TIME_WAIT" => State::TimeWait,
        "CLOSE" => State::Close,
        "CLOSE_WAIT" => State::CloseWait,
        "LAST_ACK" => State::LastAck,
        "LISTEN" => State::Listen,
        "CLOSING" => State::Closing,
        _ => return None,
    })
}
