//! What clients have seen.

use std::{
    fmt, io,
    time::{Duration, Instant},
};

use crate::Reply;

/// How many failures are described, and how many of them are printed.
const DESCRIBED: usize = 10_000;
const PRINTED: usize = 20;

/// What clients have seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// How many requests were answered as they should be, and in time.
    pub answered: usize,
    /// How many were answered as they should be, but later than they may.
    pub late: usize,
    /// How many could not be made, as nobody listened.
    pub refused: usize,
    /// How many connections were reset, and not closed in order.
    pub reset: usize,
    /// How many requests have come to nothing in another way: the connection was closed before the answer was whole, or
    /// the client has given up.
    pub lost: usize,
    /// How many were answered otherwise than they should be.
    pub wrong: usize,
    /// The longest time that an answer has taken.
    pub slowest: Duration,
    /// What has failed, at most 10,000, by the time at which it was asked for.
    pub failures: Vec<Failure>,
}

/// A request that was not answered as it should be, or late.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// What kind of failure it is.
    pub kind: FailureKind,
    /// When the client asked, from the start of the load.
    pub asked: Duration,
    /// How long it took to fail.
    pub took: Duration,
    /// What was seen.
    pub text: String,
}

/// In which way a request has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// It was answered as it should be, but later than it may.
    Late,
    /// Nobody listened.
    Refused,
    /// The connection was reset, and not closed in order.
    Reset,
    /// The connection was closed before the answer was whole, or the client has given up.
    Lost,
    /// It was answered otherwise than it should be.
    Wrong,
}

impl Tally {
    /// Returns how many requests were made.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.answered + self.late + self.failed()
    }

    /// Returns how many have failed, those not among them that were answered late.
    #[must_use]
    pub const fn failed(&self) -> usize {
        self.refused + self.reset + self.lost + self.wrong
    }

    /// Asserts that there were requests, and that each was answered as it should be and in time.
    ///
    /// # Panics
    ///
    /// Panics otherwise, and says what has failed.
    #[track_caller]
    pub fn assert_all_answered(&self) {
        assert!(self.answered > 0, "no request was answered: {self}");
        assert!(self.failed() + self.late == 0, "not all requests were answered: {self}");
    }

    /// Adds what other clients have seen.
    pub(crate) fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.late += other.late;
        self.refused += other.refused;
        self.reset += other.reset;
        self.lost += other.lost;
        self.wrong += other.wrong;
        self.slowest = self.slowest.max(other.slowest);
        self.failures.extend(other.failures);
        self.failures.sort_by_key(|failure| failure.asked);
        self.failures.truncate(DESCRIBED);
    }

    /// Notes what a request has come to.
    pub(crate) fn note(&mut self, asked: Asked, came: io::Result<Reply>, terms: &Terms) -> bool {
        let (asked, took) = (asked.begun.duration_since(asked.start), asked.begun.elapsed());
        let (kind, text) = match came {
            Ok(reply) if !terms.is_right(&reply) => (FailureKind::Wrong, format!("{reply:?}")),
            Ok(_) => {
                self.slowest = self.slowest.max(took);
                if took <= terms.late_after {
                    self.answered += 1;
                    return true;
                }
                (FailureKind::Late, format!("answered after {took:.3?}"))
            }
            Err(error) => (kind_of(&error), error.to_string()),
        };
        *self.count(kind) += 1;
        if self.failures.len() < DESCRIBED {
            self.failures.push(Failure { kind, asked, took, text });
        }
        false
    }

    const fn count(&mut self, kind: FailureKind) -> &mut usize {
        match kind {
            FailureKind::Late => &mut self.late,
            FailureKind::Refused => &mut self.refused,
            FailureKind::Reset => &mut self.reset,
            FailureKind::Lost => &mut self.lost,
            FailureKind::Wrong => &mut self.wrong,
        }
    }
}

/// When a client asked, and when the load began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) start: Instant,
    pub(crate) begun: Instant,
}

/// What a right answer is, and when it is late.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) late_after: Duration,
    pub(crate) body: Option<String>,
}

impl Terms {
    fn is_right(&self, reply: &Reply) -> bool {
        let is_body = self.body.as_ref().is_none_or(|body| body.trim() == reply.body.trim());
        (200..400).contains(&reply.status) && is_body
    }
}

fn kind_of(error: &io::Error) -> FailureKind {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => FailureKind::Refused,
        // A request that is written to a connection that was reset before.
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => FailureKind::Reset,
        io::ErrorKind::InvalidData => FailureKind::Wrong,
        _ => FailureKind::Lost,
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answered, late, refused, reset, lost, wrong, slowest, failures } = self;
        write!(
            f,
            "{answered} answered, {late} late, {refused} refused, {reset} reset, {lost} lost, {wrong} wrong; \
             the slowest answer took {slowest:.3?}"
        )?;
        for Failure { kind, asked, took, text } in failures.iter().take(PRINTED) {
            write!(f, "\n  {kind:?} {asked:.3?} after the start, in {took:.3?}: {text}")?;
        }
        match failures.len().saturating_sub(PRINTED) {
            0 => {}
            more => write!(f, "\n  and {more} more")?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_is_told_from_the_others() {
        let terms = Terms { late_after: Duration::from_secs(60), body: Some("a".to_owned()) };
        let start = Instant::now();
        let asked = Asked { start, begun: start };
        let reply = |status, body: &str| Reply { status, fields: vec![], body: body.to_owned() };
        let error = |kind: io::ErrorKind| io::Error::from(kind);
        let mut tally = Tally::default();
        for (came, expected) in [
            (Ok(reply(200, "a")), None),
            (Ok(reply(200, "b")), Some(FailureKind::Wrong)),
            (Ok(reply(503, "a")), Some(FailureKind::Wrong)),
            (Err(error(io::ErrorKind::ConnectionRefused)), Some(FailureKind::Refused)),
            (Err(error(io::ErrorKind::ConnectionReset)), Some(FailureKind::Reset)),
            (Err(error(io::ErrorKind::BrokenPipe)), Some(FailureKind::Reset)),
            (Err(error(io::ErrorKind::UnexpectedEof)), Some(FailureKind::Lost)),
            (Err(error(io::ErrorKind::TimedOut)), Some(FailureKind::Lost)),
            (Err(error(io::ErrorKind::InvalidData)), Some(FailureKind::Wrong)),
        ] {
            let before = tally.failures.len();
            assert_eq!(tally.note(asked, came, &terms), expected.is_none());
            let noted = tally.failures.get(before).map(|failure| failure.kind);
            assert_eq!(noted, expected);
        }
        let impatient = Terms { late_after: Duration::ZERO, body: None };
        std::thread::sleep(Duration::from_millis(1));
        assert!(!tally.note(asked, Ok(reply(200, "")), &impatient));
        let Tally { answered, late, refused, reset, lost, wrong, .. } = tally;
        assert_eq!((answered, late, refused, reset, lost, wrong), (1, 1, 1, 2, 2, 3));
        assert_eq!((tally.total(), tally.failed()), (10, 8));
        let mut sum = Tally::default();
        sum.add(tally.clone());
        sum.add(tally);
        assert_eq!((sum.total(), sum.failures.len()), (20, 18));
    }

    #[test]
    #[should_panic(expected = "no request was answered")]
    fn nothing_asked_is_nothing_shown() {
        Tally::default().assert_all_answered();
    }
}
