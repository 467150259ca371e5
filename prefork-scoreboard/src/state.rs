//! What a slot says its process is doing, and what a reader makes of it.

use std::fmt;

/// What a process is doing, in the alphabet of Apache's server status.
///
/// The letter is what the board stores and what [`letter`](Self::letter) gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// `S`: started or about to be, not serving yet.
    Starting,
    /// `_`: waiting for a request.
    Idle,
    /// `R`: reading a request.
    Reading,
    /// `W`: working on a request or sending the answer.
    Writing,
    /// `K`: holding a connection open for its next request.
    Keepalive,
    /// `D`: looking a name up.
    Dns,
    /// `C`: closing a connection.
    Closing,
    /// `L`: logging.
    Logging,
    /// `G`: finishing the request in hand, then leaving.
    Draining,
    /// `I`: leaving because there is nothing to do.
    IdleCleanup,
}

impl State {
    /// All states, in the order of Apache's legend.
    pub const ALL: [Self; 10] = [
        Self::Idle,
        Self::Starting,
        Self::Reading,
        Self::Writing,
        Self::Keepalive,
        Self::Dns,
        Self::Closing,
        Self::Logging,
        Self::Draining,
        Self::IdleCleanup,
    ];

    /// Returns the letter of the state.
    #[must_use]
    pub const fn letter(self) -> char {
        self.byte() as char
    }

    pub(crate) const fn byte(self) -> u8 {
        match self {
            Self::Starting => b'S',
            Self::Idle => b'_',
            Self::Reading => b'R',
            Self::Writing => b'W',
            Self::Keepalive => b'K',
            Self::Dns => b'D',
            Self::Closing => b'C',
            Self::Logging => b'L',
            Self::Draining => b'G',
            Self::IdleCleanup => b'I',
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.byte() == byte)
    }

    /// Returns the class that scaling looks at.
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::Starting => Class::Starting,
            Self::Idle => Class::Idle,
            Self::Reading
            | Self::Writing
            | Self::Keepalive
            | Self::Dns
            | Self::Closing
            | Self::Logging => Class::Busy,
            Self::Draining | Self::IdleCleanup => Class::Draining,
        }
    }

    /// True for the states between the first byte of a request and the last of its answer.
    pub(crate) const fn has_request(self) -> bool {
        match self {
            Self::Reading | Self::Writing | Self::Dns | Self::Logging => true,
            Self::Starting
            | Self::Idle
            | Self::Keepalive
            | Self::Closing
            | Self::Draining
            | Self::IdleCleanup => false,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.letter(), f)
    }
}

/// What a reader found in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Nobody's slot; printed as `.`.
    Empty,
    /// A whole record with a known state.
    Live(State),
    /// No state that can be believed; printed as `?`.
    Stalled(Stall),
}

impl Status {
    /// Returns the letter of the state, `.` for an empty slot and `?` for a stalled one.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Empty => '.',
            Self::Live(state) => state.letter(),
            Self::Stalled(_) => '?',
        }
    }

    /// Returns the class that scaling looks at.
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::Empty => Class::Empty,
            Self::Live(state) => state.class(),
            Self::Stalled(_) => Class::Stalled,
        }
    }

    /// Returns the state of a live slot.
    #[must_use]
    pub const fn state(self) -> Option<State> {
        match self {
            Self::Live(state) => Some(state),
            Self::Empty | Self::Stalled(_) => None,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.letter(), f)
    }
}

/// Why a slot's record cannot be believed.
///
/// Most often its process was killed, or put to sleep by the scheduler, in the middle of a change.
/// A stall seen once proves little; look again before acting on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stall {
    /// The sequence stayed odd for as long as the reader was willing to look.
    HalfWritten,
    /// The checksum did not match for as long as the reader was willing to look.
    Damaged,
    /// The record is whole, but its state letter is none of the alphabet.
    UnknownState(u8),
}

/// The classes of slots that a decision to grow or shrink looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Nobody's slot.
    Empty,
    /// Not serving yet: `S`.
    Starting,
    /// Waiting for work: `_`.
    Idle,
    /// At work: `R`, `W`, `K`, `D`, `C`, `L`.
    Busy,
    /// On the way out: `G`, `I`.
    Draining,
    /// No state that can be believed.
    Stalled,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_leads_back_to_its_state() {
        for state in State::ALL {
            assert_eq!(State::from_byte(state.byte()), Some(state));
        }
        let known = (0..=u8::MAX).filter(|&byte| State::from_byte(byte).is_some()).count();
        assert_eq!(known, State::ALL.len(), "bytes that are no letter must not be states");
    }

    #[test]
    fn classes_are_those_of_the_documentation() {
        let table = [
            ("S", Class::Starting),
            ("_", Class::Idle),
            ("RWKDCL", Class::Busy),
            ("GI", Class::Draining),
        ];
        for (letters, class) in table {
            for letter in letters.bytes() {
                let state = State::from_byte(letter).expect("a letter of the alphabet");
                assert_eq!(state.class(), class, "class of {state}");
            }
        }
    }
}
