//! When a connection is closed on which nothing happens.

/// How far a connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Serving,
    /// The child is to leave: what comes is answered, and it is the last.
    Leaving,
    /// It is being closed.
    Closing,
}

/// What happens to a connection now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Wait,
    /// It is closed in order.
    Close,
    /// It is closed, as its client takes no part in that.
    Drop,
}

/// What has been seen of a connection so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// How many requests are in hand.
    pub(super) in_hand: u32,
    /// How many requests have come.
    pub(super) requests: u32,
    /// How often something was read or written.
    pub(super) moves: u32,
    /// Something has come that was not read.
    pub(super) has_unread: bool,
    /// What was to be written waits for the client to read.
    pub(super) is_blocked: bool,
    pub(super) is_http2: bool,
    /// Part of it may have been handed over for another protocol.
    pub(super) is_tunnel: bool,
}

/// What was seen when it was last asked.
#[derive(Debug, Default)]
pub(super) struct Idle {
    phase: Phase,
    last: Seen,
}

impl Idle {
    pub(super) const fn phase(&self) -> Phase {
        self.phase
    }

    /// Decides when the child is asked to leave.
    pub(super) fn leave(&mut self, seen: Seen) -> Next {
        (self.phase, self.last) = (Phase::Leaving, seen);
        if seen.is_http2 { self.close() } else { Next::Wait }
    }

    /// Decides after a pause.
    pub(super) fn next(&mut self, seen: Seen) -> Next {
        let last = std::mem::replace(&mut self.last, seen);
        let is_quiet = match self.phase {
            // Whoever sends a request byte by byte has not begun one.
            Phase::Serving => seen.requests == last.requests,
            Phase::Leaving | Phase::Closing => seen.moves == last.moves,
        };
        let is_idle = is_quiet && seen.in_hand == 0 && !seen.has_unread && !seen.is_tunnel;
        match self.phase {
            // It says so to the client, and takes what is on its way: there is nothing to wait for.
            Phase::Leaving if seen.is_http2 => self.close(),
            Phase::Serving | Phase::Leaving if is_idle => self.close(),
            Phase::Closing if is_idle && !seen.is_blocked => Next::Drop,
            Phase::Serving | Phase::Leaving | Phase::Closing => Next::Wait,
        }
    }

    const fn close(&mut self) -> Next {
        self.phase = Phase::Closing;
        Next::Close
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Seen = Seen {
        in_hand: 0,
        requests: 0,
        moves: 0,
        has_unread: false,
        is_blocked: false,
        is_http2: false,
        is_tunnel: false,
    };

    /// What comes of these sights, one after the other, the first of which is that of the stop.
    fn after_a_stop(seen: &[Seen]) -> Vec<Next> {
        let mut idle = Idle::default();
        let (first, rest) = seen.split_first().expect("one is given");
        let mut all = vec![idle.leave(*first)];
        all.extend(rest.iter().map(|seen| idle.next(*seen)));
        all
    }

    #[test]
    fn a_silent_connection_is_closed_after_a_stop() {
        use Next::{Close, Drop, Wait};
        let moved = Seen { moves: 1, ..NOTHING };
        for (seen, expected) in [
            (vec![NOTHING, NOTHING], vec![Wait, Close]),
            // Something came: it waits as long again.
            (vec![NOTHING, moved, moved], vec![Wait, Wait, Close]),
            (vec![NOTHING, Seen { has_unread: true, ..NOTHING }], vec![Wait, Wait]),
            (vec![NOTHING, Seen { in_hand: 1, ..NOTHING }], vec![Wait, Wait]),
            (vec![NOTHING, Seen { is_tunnel: true, ..NOTHING }], vec![Wait, Wait]),
            // A client that does not close its side is not waited for without end.
            (vec![NOTHING, NOTHING, NOTHING], vec![Wait, Close, Drop]),
            (vec![NOTHING, NOTHING, moved, moved], vec![Wait, Close, Wait, Drop]),
            // One that has not read its answer yet is.
            (vec![NOTHING, NOTHING, Seen { is_blocked: true, ..NOTHING }], vec![Wait, Close, Wait]),
        ] {
            assert_eq!(after_a_stop(&seen), expected, "{seen:?}");
        }
    }

    #[test]
    fn http2_is_told_at_once() {
        use Next::{Close, Drop, Wait};
        let busy = Seen { is_http2: true, in_hand: 2, ..NOTHING };
        let idle = Seen { in_hand: 0, ..busy };
        assert_eq!(after_a_stop(&[busy, busy, idle]), [Close, Wait, Drop]);
        // It begins with the stop.
        assert_eq!(after_a_stop(&[NOTHING, busy, idle]), [Wait, Close, Drop]);
    }

    #[test]
    fn a_connection_without_requests_is_closed_while_serving() {
        let mut idle = Idle::default();
        let one = Seen { requests: 1, moves: 2, ..NOTHING };
        assert_eq!(idle.next(one), Next::Wait);
        assert_eq!(idle.next(Seen { in_hand: 1, ..one }), Next::Wait, "it is being answered");
        assert_eq!(idle.next(Seen { requests: 2, ..one }), Next::Wait);
        // Bytes, but no request.
        assert_eq!(idle.next(Seen { requests: 2, moves: 3, ..one }), Next::Close);
        assert_eq!(idle.phase(), Phase::Closing);
    }
}
