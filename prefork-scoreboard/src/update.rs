//! The parts of one change that a process reports.

use crate::clock::Monotonic;
use crate::column::{NumberColumn, TextColumn};
use crate::format::{CLIENT_SIZE, COLUMN_TEXT_SIZE, LABEL_SIZE, record, word};
use crate::protocol::Shadow;
use crate::record::{hands, queued};
use crate::state::State;
use crate::text::{Clipped, head};
use std::fmt::Display;
use std::time::Duration;

/// The parts of one change: see [`Slot::update`](crate::Slot::update).
#[derive(Debug)]
pub struct Update<'a> {
    pub(crate) shadow: &'a mut Shadow,
    /// Of a board with columns.
    pub(crate) values: Option<&'a mut Shadow>,
    pub(crate) now: u64,
}

impl Update<'_> {
    /// Changes the state.
    ///
    /// Going to `R`, `W`, `D` or `L` from any other state begins a request: the time is noted.
    #[inline]
    pub fn state(&mut self, state: State) -> &mut Self {
        let old = self.shadow.get(word(record::STATE));
        let had_request = State::from_byte((old & 0xff) as u8).is_some_and(State::has_request);
        if state.has_request() && !had_request {
            self.begin_request();
        }
        self.shadow.set(word(record::STATE), old & !0xff | u64::from(state.byte()));
        self
    }

    /// Notes that a request begins now, for loops that go from one to the next in the same state.
    #[inline]
    pub fn begin_request(&mut self) -> &mut Self {
        self.shadow.set(word(record::REQUEST_STARTED), self.now);
        self
    }

    /// Notes that the request which the record is about began at that moment: of a process that has several in hand, and
    /// shows another one of them.
    #[inline]
    pub fn request_began(&mut self, at: Monotonic) -> &mut Self {
        self.shadow.set(word(record::REQUEST_STARTED), at.as_nanos());
        self
    }

    /// Reports how many requests are in hand of how many that can be at once, of a process that can have several. The
    /// state goes with it: `W` while there are any, `_` without.
    ///
    /// More than 65,536 at once are taken for as many, and more in hand than there can be for as many as there can.
    #[inline]
    pub fn in_hand(&mut self, requests: u32, concurrency: u32) -> &mut Self {
        let index = word(record::IN_HAND);
        let failed_rollout = self.shadow.get(index) & u64::from(u32::MAX);
        self.shadow.set(index, failed_rollout | hands(requests, concurrency));
        self.state(if requests > 0 { State::Writing } else { State::Idle })
    }

    /// Counts `more` requests.
    #[inline]
    pub fn count_requests(&mut self, more: u64) -> &mut Self {
        let count = self.shadow.get(word(record::REQUESTS)).wrapping_add(more);
        self.shadow.set(word(record::REQUESTS), count);
        self
    }

    /// Reports how long the client had waited whose connection was accepted last, in whole milliseconds; `None` if that is
    /// not known.
    #[inline]
    pub fn queued(&mut self, time: Option<Duration>) -> &mut Self {
        let index = word(record::QUEUED);
        let generation = self.shadow.get(index) & u64::from(u32::MAX);
        self.shadow.set(index, generation | queued(time));
        self
    }

    /// Changes the label; at most 96 bytes of it are kept.
    #[inline]
    pub fn label(&mut self, label: &str) -> &mut Self {
        self.text::<LABEL_SIZE>(record::LABEL, record::LABEL_LENGTH, head(label, LABEL_SIZE));
        self
    }

    /// Changes the client; at most 64 bytes of it are kept.
    #[inline]
    pub fn client(&mut self, client: impl Display) -> &mut Self {
        let clipped = Clipped::<CLIENT_SIZE>::format(client);
        self.text::<CLIENT_SIZE>(record::CLIENT, record::CLIENT_LENGTH, clipped.as_str());
        self
    }

    /// Changes a number in a column.
    ///
    /// # Panics
    ///
    /// Panics if the board of this slot has no columns: then the column is another board's.
    #[inline]
    pub fn set(&mut self, column: NumberColumn, value: u64) -> &mut Self {
        self.values().set(column.word, value);
        self
    }

    /// Adds to a number in a column, up to the largest that there is.
    ///
    /// # Panics
    ///
    /// As [`set`](Self::set).
    #[inline]
    pub fn add(&mut self, column: NumberColumn, more: u64) -> &mut Self {
        let values = self.values();
        values.set(column.word, values.get(column.word).saturating_add(more));
        self
    }

    /// Changes a text in a column; at most 40 bytes of it are kept, and none from a zero on.
    ///
    /// # Panics
    ///
    /// As [`set`](Self::set).
    pub fn set_text(&mut self, column: TextColumn, text: &str) -> &mut Self {
        let text = head(text.split('\0').next().unwrap_or_default(), COLUMN_TEXT_SIZE);
        let mut bytes = [0; COLUMN_TEXT_SIZE];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        let values = self.values();
        for (index, chunk) in bytes.as_chunks().0.iter().enumerate() {
            values.set(column.word + index, u64::from_le_bytes(*chunk));
        }
        self
    }

    #[inline]
    fn values(&mut self) -> &mut Shadow {
        match &mut self.values {
            Some(values) => values,
            None => panic!("the column is of another board: that of this slot has none"),
        }
    }

    /// Changes a text, which the caller has cut to `N` bytes, and its length.
    #[inline]
    fn text<const N: usize>(&mut self, offset: usize, length_offset: usize, text: &str) {
        let shift = 8 * (length_offset - record::STATE);
        let state = self.shadow.get(word(record::STATE));
        let old_length = usize::from((state >> shift & 0xff) as u8);
        let (chunks, rest) = text.as_bytes().as_chunks();
        let mut index = word(offset);
        for chunk in chunks {
            self.shadow.set(index, u64::from_le_bytes(*chunk));
            index += 1;
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.shadow.set(index, u64::from_le_bytes(last));
            index += 1;
        }
        for index in index..word(offset + old_length.min(N) + 7) {
            self.shadow.set(index, 0);
        }
        let state = state & !(0xff << shift) | (text.len() as u64) << shift;
        self.shadow.set(word(record::STATE), state);
    }
}
