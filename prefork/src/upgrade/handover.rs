//! What one program in a process hands to the next.
//!
//! A text in JSON, in a sealed memory file: its reader can be sure that nobody changes it
//! meanwhile. Fields that are added need a default, so that programs built with an older or newer
//! library understand each other. A change that cannot be understood so gets a new [`FORMAT`]; then the
//! probe of a program that does not know it says so, and the old program stays. So does one built with a library that knows
//! of no pools, where it is to be one or their arbiter: see [`OF_POOLS`].

use std::{
    ffi::OsString,
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
};

use prefork_core::{HandedTags, Hangups, SlotId};
use prefork_daemonize::SocketFileId;
use rustix::fs::{SealFlags, fcntl_add_seals, fcntl_get_seals};
use serde::{Deserialize, Serialize};

use super::{Station, handed_arbiter::HandedArbiter};
use crate::{channels::HandedChannels, program::Command, seat::Seated};
use crate::{
    channels::Reports, sockets::listeners::KnownBy, status::Audience,
    status::counters::HandedCounters, sys::memory_file,
};

/// The version of the format.
const FORMAT: u32 = 5;

/// The same, for the arbiter of several pools, and for a pool that has one.
const OF_POOLS: u32 = 6;

/// More than the largest pool needs.
const LONGEST: u64 = 256 << 20;

/// What both the probe and the successor read.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Handover {
    /// The process that it is for: the one that becomes the next program, or the parent of the probe.
    pub(super) parent: u32,
    /// The path of the program.
    pub(super) program: OsString,
    /// The command that started it; earlier libraries know the path alone.
    #[serde(default)]
    pub(super) command: Option<Command>,
    /// Whether the daemon has gone to the background.
    pub(super) in_background: bool,
    /// What is known of its terminal; earlier libraries took no notice.
    #[serde(default)]
    pub(super) hangups: Option<Hangups>,
    pub(super) listeners: Vec<HandedListener>,
    /// The path of the error log, which is standard error by then.
    pub(super) error_log_path: Option<OsString>,
    pub(super) access_log: Option<HandedLog>,
    /// The paths of the pid file and the scoreboard, if there are any.
    pub(super) pid_path: Option<OsString>,
    pub(super) scoreboard_path: Option<OsString>,
    /// Whether there is a scoreboard, if only in memory.
    pub(super) has_board: bool,
    /// How long a program may take to come up, in milliseconds.
    #[serde(default = "default_limit")]
    pub(super) limit_ms: u64,
    /// The socket of the status page.
    #[serde(default)]
    pub(super) status: Option<HandedListener>,
    /// The socket at which everybody is answered.
    #[serde(default)]
    pub(super) metrics: Option<HandedListener>,
    /// What the next program is to be.
    #[serde(default)]
    pub(super) station: Station,
    /// The pools of an arbiter; earlier libraries do not say.
    #[serde(default)]
    pub(super) seats: Vec<Seated>,
    /// What only the successor gets, of a process with children.
    pub(super) pool: Option<HandedPool>,
    /// What only the successor gets, of an arbiter.
    #[serde(default)]
    pub(super) arbiter: Option<HandedArbiter>,
}

/// What [`Args::start_timeout`](crate::Args::start_timeout) is by default, of which earlier libraries say nothing.
const fn default_limit() -> u64 {
    60_000
}

/// A listening socket.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HandedListener {
    pub(super) fd: RawFd,
    #[serde(rename = "asked")]
    pub(super) known_by: KnownBy,
    /// The name that the service manager has given it, if it comes from there.
    #[serde(default)]
    pub(super) activated: Option<String>,
    /// The file of a UNIX socket that the daemon has made: the next program's to remove.
    #[serde(default)]
    pub(super) file: Option<SocketFileId>,
}

/// An open log, for a parent that may not open it again.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HandedLog {
    pub(super) fd: RawFd,
    pub(super) path: OsString,
}

/// The children and all ways between them and the parent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HandedPool {
    pub(super) supervisor: prefork_core::Handover,
    pub(super) children: Vec<HandedChild>,
    #[serde(default)]
    pub(super) tags: HandedTags,
    pub(super) channels: HandedChannels,
    pub(super) board: Option<HandedBoard>,
    #[serde(default)]
    pub(super) counters: HandedCounters,
    #[serde(flatten)]
    pub(super) process: HandedProcess,
}

/// What any process has that becomes another program.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HandedProcess {
    pub(super) pid_file: Option<RawFd>,
    /// The file of the program that hands over, to go back to.
    pub(super) program: RawFd,
    /// The way in which it was executed; earlier libraries execute all programs alike.
    #[serde(default)]
    pub(super) image: Option<HandedImage>,
    /// The probe, a child of this process, which is not needed any more.
    #[serde(default)]
    pub(super) probe: Option<i32>,
}

/// The way in which the program that hands over was executed, and is again on the way back.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HandedImage {
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: Vec<OsString>,
    pub(super) directory: RawFd,
    /// The file that the linker is to load.
    pub(super) loaded: Option<RawFd>,
}

/// A process.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct HandedChild {
    pub(crate) slot: SlotId,
    pub(crate) pid: i32,
    /// The number of its bell.
    pub(crate) bell: u32,
    /// What it has reported, as far as that was read.
    pub(crate) reports: Reports,
}

/// The scoreboard.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct HandedBoard {
    pub(super) file: RawFd,
    pub(super) lock: Option<RawFd>,
}

/// What every version of the format begins with.
#[derive(Debug, Serialize, Deserialize)]
struct Envelope<T> {
    format: u32,
    parent: u32,
    content: T,
}

/// Why a handover cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// It was not written for this process.
    #[error("it is not for this process")]
    NotForUs,
    /// It was written by a library of another time.
    #[error(
        "it is of format {found}, and this program reads {FORMAT} and {OF_POOLS}; restart the daemon instead"
    )]
    Format {
        /// The version found.
        found: u32,
    },
    /// It makes no sense.
    #[error("it cannot be understood; restart the daemon instead")]
    Content {
        /// The place and the reason.
        source: serde_json::Error,
    },
    /// It cannot be read.
    #[error("it cannot be read")]
    Io {
        /// What the system reported.
        #[from]
        source: io::Error,
    },
}

impl Handover {
    /// Writes it down.
    pub(super) fn write(&self) -> io::Result<OwnedFd> {
        let format = if self.station == Station::Alone { FORMAT } else { OF_POOLS };
        let envelope = Envelope { format, parent: self.parent, content: self };
        write(&serde_json::to_vec(&envelope)?)
    }

    /// Reads what was written for the process `parent`, to which `fd` may well not lead.
    pub(super) fn read(fd: BorrowedFd<'_>, parent: u32) -> Result<Self, Unreadable> {
        if !fcntl_get_seals(fd).is_ok_and(|seals| seals.contains(SEALS)) {
            return Err(Unreadable::NotForUs);
        }
        let text = read(fd)?;
        let unclear = |source| Unreadable::Content { source };
        let Ok(envelope) = serde_json::from_slice::<Envelope<serde::de::IgnoredAny>>(&text) else {
            return Err(Unreadable::NotForUs);
        };
        if envelope.parent != parent {
            return Err(Unreadable::NotForUs);
        }
        if ![FORMAT, OF_POOLS].contains(&envelope.format) {
            return Err(Unreadable::Format { found: envelope.format });
        }
        let envelope: Envelope<Self> = serde_json::from_slice(&text).map_err(unclear)?;
        Ok(envelope.content)
    }

    /// What any process has that becomes another program; a probe is not told.
    pub(super) fn process(&self) -> Option<&HandedProcess> {
        let of_pool = self.pool.as_ref().map(|pool| &pool.process);
        of_pool.or_else(|| self.arbiter.as_ref().map(|arbiter| &arbiter.process))
    }

    /// The pids of its children, or of the parents of its pools.
    pub(super) fn children(&self) -> Vec<i32> {
        let of_pool = self.pool.iter().flat_map(|pool| &pool.children).map(|child| child.pid);
        let parents = self.arbiter.iter().flat_map(HandedArbiter::parents);
        of_pool.chain(parents.map(|parent| parent.pid)).collect()
    }

    /// The socket at which an audience is answered.
    pub(super) const fn answering(&self, audience: Audience) -> Option<&HandedListener> {
        match audience {
            Audience::Operators => self.status.as_ref(),
            Audience::Everybody => self.metrics.as_ref(),
        }
    }

    /// All descriptors that it speaks of.
    pub(super) fn descriptors(&self) -> Vec<RawFd> {
        let mut all: Vec<RawFd> = self.listeners.iter().map(|listener| listener.fd).collect();
        all.extend(self.access_log.as_ref().map(|log| log.fd));
        all.extend(self.status.iter().chain(&self.metrics).map(|socket| socket.fd));
        if let Some(pool) = &self.pool {
            let HandedChannels { pages, bells, call, handout, edition: _, metrics } = pool.channels;
            all.extend([pages, bells, call]);
            all.extend(handout.into_iter().flatten());
            all.extend(metrics);
            all.extend(pool.board.map(|board| board.file));
            all.extend(pool.board.and_then(|board| board.lock));
        }
        if let Some(arbiter) = &self.arbiter {
            all.extend(arbiter.ways());
        }
        if let Some(process) = self.process() {
            all.extend(process.pid_file);
            all.push(process.program);
            all.extend(process.image.as_ref().map(|image| image.directory));
            all.extend(process.image.as_ref().and_then(|image| image.loaded));
        }
        all
    }
}

/// The seals that make a memory file one that nobody can change.
const SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// Makes a memory file of a text, which nobody can change any more.
pub(super) fn write(text: &[u8]) -> io::Result<OwnedFd> {
    let mut file = std::fs::File::from(memory_file::create("prefork-handover")?);
    file.write_all(text)?;
    fcntl_add_seals(&file, SEALS)?;
    Ok(file.into())
}

/// Reads one.
pub(super) fn read(fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let length = rustix::fs::fstat(fd)?.st_size.unsigned_abs();
    if length > LONGEST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut text = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    let mut filled = 0;
    while filled < text.len() {
        // From where it begins, wherever others have read to.
        match rustix::io::pread(fd.as_fd(), &mut text[filled..], filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    text.truncate(filled);
    Ok(text)
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::ffi::OsStringExt;

    use rustix::fs::{MemfdFlags, memfd_create};

    use super::*;

    /// One with something in each field.
    pub(in crate::upgrade) fn handover() -> Handover {
        Handover {
            parent: 42,
            program: OsString::from_vec(b"/opt/\xff/hello".to_vec()),
            command: None,
            in_background: true,
            hangups: None,
            listeners: vec![HandedListener {
                fd: 7,
                known_by: KnownBy::Tcp(vec!["127.0.0.1:0".parse().expect("an address")]),
                activated: None,
                file: None,
            }],
            error_log_path: None,
            access_log: None,
            pid_path: Some("/run/hello.pid".into()),
            scoreboard_path: None,
            has_board: false,
            limit_ms: 60_000,
            status: None,
            metrics: None,
            station: Station::Alone,
            seats: Vec::new(),
            pool: None,
            arbiter: None,
        }
    }

    #[test]
    fn libraries_that_know_of_no_pools_cannot_read_what_is_for_one() {
        for station in [Station::Arbiter, Station::Pool("web".to_owned())] {
            let fd = Handover { station: station.clone(), ..handover() }.write().expect("written");
            let text = super::read(fd.as_fd()).expect("read");
            let envelope: Envelope<serde::de::IgnoredAny> =
                serde_json::from_slice(&text).expect("understood");
            assert_ne!(envelope.format, FORMAT);
            assert_eq!(Handover::read(fd.as_fd(), 42).expect("read").station, station);
        }
        let process = r#""pid_file":3,"program":4,"image":null,"probe":5"#;
        let parent = r#"{"pid":12,"page":8,"call":9}"#;
        let pool = r#"{"identity":{"name":"web","is_role":false,"addresses":[":1"],"hands_to":[],"takes":true},"stage":"Down"}"#;
        let text = format!(
            r#"{{"pools":[{{"pool":{pool},"parent":{parent},"way":[10,11]}}],"bell":7,"again":false,{process}}}"#
        );
        let arbiter: HandedArbiter = serde_json::from_str(&text).expect("understood");
        let handover = Handover { arbiter: Some(arbiter), listeners: Vec::new(), ..handover() };
        assert_eq!(
            (handover.descriptors(), handover.children()),
            (vec![7, 8, 9, 10, 11, 3, 4], vec![12])
        );
    }

    #[test]
    fn what_is_written_is_read() {
        let written = handover();
        let fd = written.write().expect("written");
        let read = Handover::read(fd.as_fd(), 42).expect("read");
        assert_eq!(read.program, written.program);
        assert_eq!(read.listeners[0].known_by, written.listeners[0].known_by);
        assert_eq!(read.descriptors(), [7]);
        // Again, as a file is read that others have read.
        assert!(Handover::read(fd.as_fd(), 42).is_ok());
    }

    #[test]
    fn what_is_not_for_us_is_left_alone() {
        let fd = handover().write().expect("written");
        assert!(matches!(Handover::read(fd.as_fd(), 43), Err(Unreadable::NotForUs)));
        for text in [&b""[..], b"{}", b"hello", b"{\"format\":1}"] {
            let fd = write(text).expect("written");
            assert!(matches!(Handover::read(fd.as_fd(), 42), Err(Unreadable::NotForUs)));
        }
        let unsealed = memfd_create("x", MemfdFlags::CLOEXEC).expect("made");
        assert!(matches!(Handover::read(unsealed.as_fd(), 42), Err(Unreadable::NotForUs)));
        assert!(matches!(Handover::read(rustix::stdio::stderr(), 42), Err(Unreadable::NotForUs)));
    }

    #[test]
    fn other_formats_are_known_by_their_number() {
        let newer = write(br#"{"format":9,"parent":42,"content":["anything"]}"#).expect("written");
        let error = Handover::read(newer.as_fd(), 42).expect_err("too new");
        assert!(matches!(error, Unreadable::Format { found: 9 }), "{error}");
        let broken = format!(r#"{{"format":{FORMAT},"parent":42,"content":{{}}}}"#);
        let broken = write(broken.as_bytes()).expect("written");
        let error = Handover::read(broken.as_fd(), 42).expect_err("no sense");
        assert!(matches!(error, Unreadable::Content { .. }), "{error}");
    }

    #[test]
    fn a_handover_of_an_earlier_library_has_no_status_page() {
        let text =
            serde_json::to_string(&Envelope { format: FORMAT, parent: 42, content: handover() });
        let text = text.expect("written").replacen("\"status\":null,\"metrics\":null,", "", 1);
        assert!(!text.contains("status") && !text.contains("metrics"), "{text}");
        let fd = write(text.as_bytes()).expect("written");
        let read = Handover::read(fd.as_fd(), 42).expect("read");
        assert!(read.status.is_none() && read.metrics.is_none());
    }

    #[test]
    fn listeners_of_an_earlier_library_are_understood() {
        let read = |text| serde_json::from_str::<HandedListener>(text).expect("understood");
        let unix = read(r#"{"fd":7,"asked":{"Unix":{"Unix":[47,120]}},"activated":null}"#);
        assert_eq!((unix.known_by, unix.file), (KnownBy::Unix("/x".into()), None));
        let named = read(r#"{"fd":7,"asked":"ByName","activated":"dns"}"#);
        assert_eq!(named.known_by, KnownBy::Name);
    }

    #[test]
    fn fields_of_later_libraries_are_passed_over() {
        let text =
            serde_json::to_string(&Envelope { format: FORMAT, parent: 42, content: handover() });
        let text = text.expect("written").replacen(
            "\"in_background\"",
            "\"new\":[1],\"in_background\"",
            1,
        );
        let fd = write(text.as_bytes()).expect("written");
        assert!(Handover::read(fd.as_fd(), 42).expect("read").in_background);
    }
}
