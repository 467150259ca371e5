//! The last child that did not end in order.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prefork_core::Exit;
use serde::{Deserialize, Serialize};

use super::counters::Counter;

/// So many words it takes in the page of figures.
pub(super) const WORDS: usize = 3;

/// That a child has ended otherwise than with status 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// When, since the epoch.
    pub(crate) at_unix: Duration,
    pub(crate) pid: u32,
    /// How, as `wait(2)` has it.
    wait_status: u32,
}

impl Failure {
    /// Notes how a child has ended just now; `None` if that was in order.
    pub(super) fn of(pid: u32, exit: Exit) -> Option<Self> {
        let wait_status = match exit {
            Exit::Code(0) => return None,
            Exit::Code(code) => (code.cast_unsigned() & 0xff) << 8,
            Exit::Signal { number, core_dumped } => {
                number.cast_unsigned() & 0x7f | if core_dumped { 0x80 } else { 0 }
            }
        };
        let at_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(Self { at_unix, pid, wait_status })
    }

    /// Returns how it has ended.
    pub(super) const fn exit(self) -> Exit {
        let status = self.wait_status.cast_signed();
        match status & 0x7f {
            0 => Exit::Code(status >> 8 & 0xff),
            number => Exit::Signal { number, core_dumped: status & 0x80 != 0 },
        }
    }

    /// Returns the word for what has ended it: part of the JSON and of the metrics.
    pub(super) fn cause(self) -> &'static str {
        let name = Counter::of_end(self.exit()).name();
        name.strip_prefix("deaths_").unwrap_or(name)
    }

    /// What stands in the page of figures; zeros for none.
    pub(super) fn words(failure: Option<Self>) -> [u64; WORDS] {
        let Some(Self { at_unix, pid, wait_status }) = failure else { return [0; WORDS] };
        let nanos = u64::try_from(at_unix.as_nanos()).unwrap_or(u64::MAX);
        [nanos, pid.into(), wait_status.into()]
    }

    pub(super) fn of_words([nanos, pid, status]: [u64; WORDS]) -> Option<Self> {
        let (pid, wait_status) = (u32::try_from(pid).ok()?, u32::try_from(status).ok()?);
        let at_unix = Duration::from_nanos(nanos);
        (nanos > 0).then_some(Self { at_unix, pid, wait_status })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_but_one_in_order_is_read_back() {
        let signal = |number, core_dumped| Exit::Signal { number, core_dumped };
        for exit in
            [Exit::Code(1), Exit::Code(255), signal(9, false), signal(11, true), signal(64, false)]
        {
            let failure = Failure::of(7, exit);
            assert_eq!(failure.map(Failure::exit), Some(exit));
            assert_eq!(Failure::of_words(Failure::words(failure)), failure);
        }
        assert_eq!(Failure::of(7, Exit::Code(0)), None);
        assert_eq!(Failure::of_words(Failure::words(None)), None);
    }
}
