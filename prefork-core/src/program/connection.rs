//! What a connection that a program holds is: a request in hand, or one that is kept alive.
//!
//! Of TCP the kernel reports when data came last and when data was sent last. Data that came after the last answer is a
//! request in hand. Both times are counted in ticks of 1 to 10 ms, so often they are the same: of a quick answer, and of a
//! request that follows an answer at once. What tells them apart is that the kernel puts off the acknowledgement of a request
//! for 40 to 200 ms, to send it along with the answer. Where no answer comes it sends it alone, and leaves the mode in which
//! it puts acknowledgements off (see `TCP_QUICKACK` in `tcp(7)`). So the mode, read after that time, says whether the
//! last request was answered.

use std::time::Duration;

/// What the kernel reports of a connection that a program holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Bytes that have come and that the program has not read.
    pub unread: u32,
    /// Bytes that the program has written and that the client has not acknowledged, or not read of a UNIX socket.
    pub unsent: u32,
    /// Whether the client has closed its side.
    pub peer_closed: bool,
    /// What has come and gone, where the kernel says so: of TCP.
    pub exchange: Option<Exchange>,
}

/// What has come and gone by a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// How many segments with data have come.
    pub received: u32,
    /// How many were sent.
    pub sent: u32,
    /// How long ago data came last; since the connection was made, if none has.
    pub received_ago: Duration,
    /// The same of data that was sent.
    pub sent_ago: Duration,
    /// For how long the acknowledgement of data that comes may be put off.
    pub ack_delay: Duration,
    /// How acknowledgements are sent.
    pub acked: Acked,
}

/// How the kernel acknowledges what comes by a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acked {
    /// With the answers: the last request was answered before its acknowledgement was due.
    WithAnswers,
    /// At once, or alone: an answer was late, or none has come yet.
    Alone,
    /// Not known.
    Unknown,
}

/// What a connection is to the program that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Judgement {
    /// A request is in hand.
    AtWork,
    /// The last that happened is that an answer was sent, not long ago: it may go on.
    Answered,
    /// Nothing is in hand.
    KeptAlive,
    /// Nothing has come yet.
    Silent,
}

impl Judgement {
    /// Returns whether a program that serves many connections is at work for this one.
    #[must_use]
    pub const fn is_in_hand(self) -> bool {
        match self {
            Self::AtWork | Self::Answered => true,
            Self::KeptAlive | Self::Silent => false,
        }
    }
}

/// For how long after data was sent more of the same answer may follow.
const ANSWERING: Duration = Duration::from_millis(100);
/// For how long a program that holds a UNIX connection must have rested to be done with it.
const RESTED: Duration = Duration::from_secs(5);
/// How much later than it may be an acknowledgement can be sent: two ticks of the slowest clock.
const TICKS: Duration = Duration::from_millis(20);

impl Facts {
    /// Judges the connection; `rested` is for how long the program has not run at all.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork_core::program::{Facts, Judgement};
    /// use std::time::Duration;
    ///
    /// // A request of 20 bytes that waits to be read, of a UNIX socket.
    /// let facts = Facts { unread: 20, unsent: 0, peer_closed: false, exchange: None };
    /// assert_eq!(facts.judge(Duration::ZERO), Judgement::AtWork);
    /// ```
    #[must_use]
    pub fn judge(&self, rested: Duration) -> Judgement {
        if self.unread > 0 || self.unsent > 0 {
            return Judgement::AtWork;
        }
        match &self.exchange {
            Some(exchange) => exchange.judge(self.peer_closed),
            None if self.peer_closed || rested >= RESTED => Judgement::KeptAlive,
            None => Judgement::AtWork,
        }
    }
}

impl Exchange {
    /// Returns whether the times do not show what came last, so that it matters how data is [acknowledged](Self::acked).
    #[must_use]
    pub fn is_unclear(&self) -> bool {
        // One segment came, and something was sent: not before it, as servers of requests do not speak first.
        self.received_ago == self.sent_ago && self.received > 1 && self.sent > 0
    }

    fn judge(&self, peer_closed: bool) -> Judgement {
        if self.received == 0 {
            // Who has left without a word wants nothing.
            return if peer_closed { Judgement::KeptAlive } else { Judgement::Silent };
        }
        if self.sent == 0 || self.received_ago < self.sent_ago {
            return Judgement::AtWork;
        }
        if self.is_unclear() {
            if self.sent_ago < self.ack_delay + TICKS {
                return Judgement::AtWork;
            }
            match self.acked {
                Acked::Alone => return Judgement::AtWork,
                Acked::WithAnswers | Acked::Unknown => {}
            }
        }
        if self.sent_ago < ANSWERING { Judgement::Answered } else { Judgement::KeptAlive }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// received, sent, received_ago, sent_ago in ms, how acknowledged, and what it is.
    type Row = (u32, u32, u64, u64, Acked, Judgement);

    const TABLE: &[Row] = {
        use Acked::{Alone, Unknown, WithAnswers};
        use Judgement::{Answered, AtWork, KeptAlive, Silent};
        &[
            (0, 0, 5, 5, Unknown, Silent),
            (0, 0, 50_000, 50_000, Alone, Silent),
            // The first request, in the tick in which the connection was made.
            (1, 0, 0, 0, Alone, AtWork),
            (1, 0, 9000, 9000, Unknown, AtWork),
            (3, 2, 4, 8, WithAnswers, AtWork),
            (3, 2, 60_000, 60_004, Alone, AtWork),
            // Answered within the tick in which it came.
            (1, 1, 0, 0, WithAnswers, Answered),
            (1, 1, 100, 100, Alone, KeptAlive),
            // The answer came later.
            (5, 9, 300, 20, Alone, Answered),
            (5, 9, 300, 99, Alone, Answered),
            (5, 9, 300, 100, Alone, KeptAlive),
            // A second request: in the tick of its answer, or of the answer before it.
            (2, 1, 59, 59, WithAnswers, AtWork),
            (2, 1, 60, 60, WithAnswers, Answered),
            (2, 1, 100, 100, WithAnswers, KeptAlive),
            (2, 1, 100, 100, Unknown, KeptAlive),
            (2, 1, 100, 100, Alone, AtWork),
            (2, 1, 100_000, 100_000, Alone, AtWork),
        ]
    };

    fn facts(row: &Row) -> Facts {
        let &(received, sent, received_ago, sent_ago, acked, _) = row;
        Facts {
            unread: 0,
            unsent: 0,
            peer_closed: false,
            exchange: Some(Exchange {
                received,
                sent,
                received_ago: Duration::from_millis(received_ago),
                sent_ago: Duration::from_millis(sent_ago),
                ack_delay: Duration::from_millis(40),
                acked,
            }),
        }
    }

    #[test]
    fn a_connection_is_judged_by_what_came_last() {
        for row in TABLE {
            for rested in [Duration::ZERO, Duration::from_secs(60)] {
                assert_eq!(facts(row).judge(rested), row.5, "{row:?}");
            }
        }
    }

    #[test]
    fn what_waits_to_be_read_or_sent_is_work() {
        for row in TABLE {
            for (unread, unsent) in [(1, 0), (0, 1)] {
                let facts = Facts { unread, unsent, peer_closed: true, ..facts(row) };
                assert_eq!(facts.judge(Duration::from_secs(60)), Judgement::AtWork, "{row:?}");
            }
        }
    }

    #[test]
    fn a_client_that_has_left_without_a_word_wants_nothing() {
        let silent = Facts { peer_closed: true, ..facts(&TABLE[0]) };
        assert_eq!(silent.judge(Duration::ZERO), Judgement::KeptAlive);
        // One that has asked may still read.
        let asked = Facts { peer_closed: true, ..facts(&TABLE[2]) };
        assert_eq!(asked.judge(Duration::ZERO), Judgement::AtWork);
    }

    #[test]
    fn a_unix_connection_is_in_hand_until_its_program_has_rested() {
        let facts = Facts { unread: 0, unsent: 0, peer_closed: false, exchange: None };
        assert_eq!(facts.judge(Duration::from_millis(4999)), Judgement::AtWork);
        assert_eq!(facts.judge(RESTED), Judgement::KeptAlive);
        let left = Facts { peer_closed: true, ..facts };
        assert_eq!(left.judge(Duration::ZERO), Judgement::KeptAlive);
    }
}
