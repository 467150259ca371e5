//! Clients that come when it is time, and give up.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// Clients, one after the other at equal distances.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    /// How many come a second.
    pub(crate) rate: f64,
    pub(crate) time: Duration,
    pub(crate) patience: Duration,
}

/// What has become of them.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) asked: usize,
    /// How long those have waited who were answered in time, the shortest first.
    pub(crate) waits: Vec<Duration>,
    /// Who was told that there is no time for them, or had the connection closed, before giving up.
    pub(crate) refused: usize,
}

impl Seen {
    /// The time that so many of a hundred have not waited longer than.
    pub(crate) fn within(&self, percent: usize) -> Duration {
        let rank = (self.waits.len() * percent).div_ceil(100);
        self.waits.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

enum End {
    Answered(Duration),
    Refused,
    GivenUp,
}

impl Crowd {
    pub(crate) fn ask(self, address: SocketAddr) -> Seen {
        let (ends, all) = mpsc::channel();
        let (begun, mut asked) = (Instant::now(), 0_u32);
        loop {
            let due = Duration::from_secs_f64(f64::from(asked) / self.rate);
            if due >= self.time {
                break;
            }
            thread::sleep(due.saturating_sub(begun.elapsed()));
            asked += 1;
            let ends = ends.clone();
            // Each is gone after its patience, so there are never more than come in that time.
            thread::spawn(move || {
                let _ = ends.send(one(address, self.patience));
            });
        }
        drop(ends);
        let mut seen = Seen { asked: asked as usize, ..Seen::default() };
        for end in all {
            match end {
                End::Answered(wait) => seen.waits.push(wait),
                End::Refused => seen.refused += 1,
                End::GivenUp => {}
            }
        }
        seen.waits.sort_unstable();
        seen
    }
}

fn one(address: SocketAddr, patience: Duration) -> End {
    let begun = Instant::now();
    match answer(address, begun, patience) {
        Ok(answer) if answer.ends_with(b"hello\n") && begun.elapsed() <= patience => {
            End::Answered(begun.elapsed())
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            End::GivenUp
        }
        Ok(_) | Err(_) => End::Refused,
    }
}

fn answer(address: SocketAddr, begun: Instant, patience: Duration) -> io::Result<Vec<u8>> {
    let left = || match patience.checked_sub(begun.elapsed()) {
        Some(left) if !left.is_zero() => Ok(left),
        Some(_) | None => Err(io::Error::from(ErrorKind::TimedOut)),
    };
    let mut connection = TcpStream::connect_timeout(&address, left()?)?;
    connection
        .write_all(b"GET /sleep?ms=100 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let (mut answer, mut part) = (Vec::new(), [0; 1024]);
    loop {
        connection.set_read_timeout(Some(left()?))?;
        match connection.read(&mut part)? {
            0 => return Ok(answer),
            length => answer.extend(&part[..length]),
        }
    }
}
