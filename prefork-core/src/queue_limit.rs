//! Which clients have waited for so long that serving them helps nobody.
//!
//! # Problem
//!
//! Where more clients come than can be served, the queue grows until each of them gives up before its turn. Then all
//! children work, and nobody gets an answer: what was asked first is served first, and is the oldest. A queue that a burst
//! has filled looks the same for a moment, and is no reason to turn anybody away.
//!
//! # Idea
//!
//! `CoDel`'s rule (RFC 8289): not the length of a queue is bad, but that it stays. As long as the waiting time has been above a
//! *target* for a whole *interval*, clients that have waited longer than the target are refused; what is left has waited less,
//! so it is answered in time, and the children have work as before. It ends when somebody has waited for less than half of the
//! target: at the target itself the queue is held by refusing, which says nothing of the load.
//!
//! Each child decides alone, at accept, from what it sees itself, and nobody has to be asked. What it does not see of the
//! queue, follows from the order of it: who has waited for the target and a time more was in the queue all that time, and
//! everybody who was taken before had waited as long. So one client may prove a whole interval. Two are taken for one
//! stretch if what nobody has seen between them is at most a quarter of the interval.
//!
//! # Assumptions
//!
//! Clients are taken in the order in which they came.

use std::time::Duration;

use crate::Time;

/// How long clients may wait before a queue that stays is shortened.
///
/// # Examples
///
/// Clients give up after a second. Two come while one is served, for long:
///
/// ```
/// use prefork_core::{Admission, QueueGate, QueueLimit, Time, Waited};
/// use std::time::Duration;
///
/// let ms = Duration::from_millis;
/// let mut gate = QueueGate::new(QueueLimit { target: ms(500), interval: ms(1000) });
/// let mut queued = ms(0);
/// let mut refused = 0;
/// for tenth in 0..100 {
///     let now = Time::after_origin(tenth * ms(100));
///     // Each took 100 ms, in which twice as much has come.
///     queued += ms(50);
///     while gate.admit(now, Waited::there(queued)) == Admission::Refuse {
///         refused += 1;
///         queued -= ms(50);
///     }
///     assert!(queued <= ms(1000), "nobody has waited too long");
/// }
/// assert!((80..100).contains(&refused), "about as many as were served: {refused}");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimit {
    /// How long a client may have waited that is served while the queue stays. Longer than 0.
    pub target: Duration,
    /// For how long everybody must have waited longer than that before anybody is refused.
    pub interval: Duration,
}

/// What is known of a client when its connection is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waited {
    /// How long it has waited; `None` if that is not known.
    pub time: Option<Duration>,
    /// What it has done with its side of the connection.
    pub side: ClientSide,
}

impl Waited {
    /// Makes it of a client that has waited so long and still does.
    #[must_use]
    pub const fn there(time: Duration) -> Self {
        Self { time: Some(time), side: ClientSide::Open }
    }
}

/// What a client has done with its side of a connection before anybody has accepted that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientSide {
    /// It can still send, so it waits.
    Open,
    /// It sends nothing more: it has given up, or has asked and waits for the answer.
    Finished,
    /// It has given up: nothing can reach it.
    Gone,
}

/// What becomes of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is served.
    Serve,
    /// It is told at once that it is not.
    Refuse,
    /// Nobody is there any more to be served.
    Abandoned,
}

/// Decides in one child which clients are served.
#[derive(Clone, Copy, Debug)]
pub struct QueueGate {
    limit: QueueLimit,
    /// Since when everybody has waited longer than the target.
    above: Option<Time>,
    /// When it was last asked.
    asked: Time,
    is_refusing: bool,
}

impl QueueGate {
    /// Begins with an empty queue.
    #[must_use]
    pub const fn new(limit: QueueLimit) -> Self {
        Self { limit, above: None, asked: Time::ZERO, is_refusing: false }
    }

    /// Decides on the client whose connection was just accepted.
    ///
    /// One that has closed its side is taken for gone if it has waited longer than the target, or it is not known how long:
    /// the kernel does not tell it from one that has asked for all that it wants.
    pub fn admit(&mut self, now: Time, waited: Waited) -> Admission {
        let QueueLimit { target, .. } = self.limit;
        let Some(time) = waited.time else {
            return match waited.side {
                ClientSide::Open | ClientSide::Finished => Admission::Serve,
                ClientSide::Gone => Admission::Abandoned,
            };
        };
        let is_late = self.note(now, time);
        match waited.side {
            ClientSide::Gone => Admission::Abandoned,
            ClientSide::Finished if time > target => Admission::Abandoned,
            ClientSide::Open | ClientSide::Finished if is_late => Admission::Refuse,
            ClientSide::Open | ClientSide::Finished => Admission::Serve,
        }
    }

    /// Returns whether clients are being refused, as far as what was asked last still counts.
    #[must_use]
    pub fn is_refusing(&self, now: Time) -> bool {
        self.is_refusing && now.since(self.asked) <= self.limit.interval
    }

    /// Takes in how long somebody has waited; returns whether that is too long.
    fn note(&mut self, now: Time, time: Duration) -> bool {
        let QueueLimit { target, interval } = self.limit;
        let unasked = now.since(std::mem::replace(&mut self.asked, now));
        if unasked > interval {
            self.is_refusing = false;
        }
        if time <= target {
            self.above = None;
            self.is_refusing &= time > target / 2;
            return false;
        }
        // So long it was seen to have waited longer than the target, and all before it.
        let proven = time - target;
        let is_one_stretch = unasked <= proven.saturating_add(interval / 4);
        let before = self.above.filter(|_| is_one_stretch);
        let since = before.map_or(proven, |above| now.since(above).max(proven));
        self.above = Some(earlier(now, since));
        self.is_refusing |= since >= interval;
        self.is_refusing
    }
}

/// The time so long before.
fn earlier(now: Time, by: Duration) -> Time {
    Time::after_origin(now.since_origin().saturating_sub(by))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: u64 = 500;
    const INTERVAL: u64 = 1000;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A gate with what it is asked, in ms.
    struct Asked(QueueGate);

    impl Asked {
        fn new() -> Self {
            let limit = QueueLimit { target: ms(TARGET), interval: ms(INTERVAL) };
            Self(QueueGate::new(limit))
        }

        fn at(&mut self, now: u64, waited: u64) -> Admission {
            self.0.admit(Time::after_origin(ms(1_000_000 + now)), Waited::there(ms(waited)))
        }
    }

    #[test]
    fn a_queue_that_stays_is_shortened_to_the_target() {
        let mut gate = Asked::new();
        for now in (0..1000).step_by(100) {
            assert_eq!(gate.at(now, 510), Admission::Serve, "{now}");
        }
        assert_eq!(gate.at(1000, 510), Admission::Refuse);
        assert_eq!(gate.at(1000, 501), Admission::Refuse);
        assert_eq!(gate.at(1000, 500), Admission::Serve);
        assert_eq!(gate.at(1100, 520), Admission::Refuse, "it is held at the target by refusing");
        assert_eq!(gate.at(1100, 251), Admission::Serve);
        assert_eq!(gate.at(1200, 501), Admission::Refuse);
        assert_eq!(gate.at(1200, 250), Admission::Serve, "it is over");
        assert_eq!(gate.at(1300, 501), Admission::Serve);
    }

    #[test]
    fn who_has_waited_for_target_and_interval_proves_a_queue_that_stays() {
        assert_eq!(Asked::new().at(0, TARGET + INTERVAL - 1), Admission::Serve);
        assert_eq!(Asked::new().at(0, TARGET + INTERVAL), Admission::Refuse);
    }

    #[test]
    fn what_nobody_has_seen_is_a_stretch_only_if_it_is_short() {
        let mut gate = Asked::new();
        assert_eq!(gate.at(0, 600), Admission::Serve);
        // Of the last 350 ms 100 are proven.
        assert_eq!(gate.at(350, 600), Admission::Serve);
        assert_eq!(gate.at(700, 600), Admission::Serve);
        assert_eq!(gate.at(1050, 600), Admission::Refuse, "100 before the first, and all since");
        let mut gate = Asked::new();
        for now in (0..3510).step_by(351) {
            assert_eq!(gate.at(now, 600), Admission::Serve, "{now}");
        }
    }

    #[test]
    fn it_is_known_whether_it_refuses() {
        let mut gate = Asked::new();
        let at = |now: u64| Time::after_origin(ms(1_000_000 + now));
        assert!(!gate.0.is_refusing(at(0)));
        assert_eq!(gate.at(0, 1500), Admission::Refuse);
        assert!(gate.0.is_refusing(at(1000)) && !gate.0.is_refusing(at(1001)), "for one interval");
        assert_eq!(gate.at(1000, 250), Admission::Serve);
        assert!(!gate.0.is_refusing(at(1000)));
    }

    #[test]
    fn what_was_long_ago_refuses_nobody() {
        let mut gate = Asked::new();
        assert_eq!(gate.at(0, 1500), Admission::Refuse);
        assert_eq!(gate.at(1000, 501), Admission::Refuse);
        assert_eq!(gate.at(2001, 501), Admission::Serve);
    }

    #[test]
    fn a_clock_that_stands_or_goes_back_is_no_harm() {
        let mut gate = Asked::new();
        assert_eq!(gate.at(1000, 600), Admission::Serve);
        assert_eq!(gate.at(0, 600), Admission::Serve);
        let mut gate = QueueGate::new(QueueLimit { target: ms(1), interval: Duration::MAX });
        let all = Waited::there(Duration::MAX);
        assert_eq!(gate.admit(Time::ZERO, all), Admission::Serve, "less than target and interval");
    }

    #[test]
    fn nobody_is_served_who_has_gone() {
        use Admission::{Abandoned, Serve};
        use ClientSide::{Finished, Gone, Open};
        let limit = QueueLimit { target: ms(TARGET), interval: ms(INTERVAL) };
        for (time, side, expected) in [
            (Some(TARGET + 1), Open, Serve),
            (Some(TARGET + 1), Finished, Abandoned),
            // As `nc -N` does, which waits for its answer.
            (Some(TARGET), Finished, Serve),
            (Some(0), Gone, Abandoned),
            (Some(TARGET + 1), Gone, Abandoned),
            (None, Open, Serve),
            (None, Finished, Serve),
            (None, Gone, Abandoned),
        ] {
            let waited = Waited { time: time.map(ms), side };
            let admitted = QueueGate::new(limit).admit(Time::ZERO + ms(10_000), waited);
            assert_eq!(admitted, expected, "{waited:?}");
        }
    }
}
