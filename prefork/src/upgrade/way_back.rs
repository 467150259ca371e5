//! Where the way back leads, from a program that has not taken over (`sys/way_back.rs`), and what the old program
//! reads there.

use std::{
    env,
    fmt::{self, Display},
    process,
    time::Duration,
};

use super::handover::Handover;
use crate::program::{HANDOVER_VARIABLE, arguments, c_strings, environment};
use crate::sys::{
    self,
    way_back::{Cause, Route},
};

/// How often the way back was taken before the program that reads this runs, and why the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Return {
    pub(crate) attempt: u8,
    pub(crate) cause: Cause,
}

impl Return {
    /// Reads the end of the message of a program that has come back; one of an earlier library has none.
    pub(super) fn read<'a>(mut words: impl Iterator<Item = &'a str>) -> Self {
        let mut number = || words.next().and_then(|word| word.parse().ok());
        let attempt = number().and_then(|number| u8::try_from(number).ok()).unwrap_or(1);
        Self { attempt: attempt.max(1), cause: Cause::of_number(number().unwrap_or(0)) }
    }

    /// Whether it is the program itself that did not get far enough the last time, and was ended.
    pub(super) fn was_ended_itself(self) -> bool {
        self.attempt > 1 && self.cause != Cause::REFUSED
    }
}

/// What has become of the program that was tried; empty if it has logged that itself.
impl Display for Return {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause.signal() {
            Some(nix::sys::signal::Signal::SIGALRM) => f.write_str("it was not ready in time"),
            Some(signal) => write!(f, "it was ended by {signal}"),
            None if self.cause == Cause::EXITED => f.write_str("it exited"),
            None => Ok(()),
        }
    }
}

/// Finds out, before anything of this program has run, where to go back to if it fails; `None` if it is not one that
/// takes a daemon over.
pub(crate) fn way_back() -> Option<Route> {
    let message = env::var_os(HANDOVER_VARIABLE)?.into_string().ok()?;
    if sys::is_privileged_by_file() {
        return None;
    }
    let mut words = message.split(':');
    let (role, memory) = (words.next()?, words.next()?.parse().ok()?);
    let (attempt, pause) = match role {
        "successor" => (1, 0),
        "returned" => {
            let Return { attempt, .. } = Return::read(words);
            (attempt.saturating_add(1), 1 << (attempt - 1).min(6))
        }
        _ => return None,
    };
    let handover = Handover::read(sys::borrow_descriptor(memory)?, process::id()).ok()?;
    let process = handover.process()?;
    let mut left = handover.descriptors();
    left.push(memory);
    // Earlier libraries execute all programs alike.
    let (arguments, environment) = match &process.image {
        Some(image) => (c_strings(&image.arguments), c_strings(&image.environment)),
        None => (arguments().ok()?, environment().ok()?),
    };
    Some(Route {
        program: process.program,
        directory: process.image.as_ref().map(|image| image.directory),
        arguments,
        environment,
        variable: format!("{HANDOVER_VARIABLE}=returned:{memory}:{attempt}:"),
        left,
        children: handover.children(),
        pause,
        limit: Duration::from_millis(handover.limit_ms),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_says_how_often_and_why() {
        let read = |text: &str| Return::read(text.split(':').skip(2));
        // As of an earlier library.
        assert_eq!(read("returned:7"), Return { attempt: 1, cause: Cause::REFUSED });
        assert_eq!(read("returned:7:2:00"), Return { attempt: 2, cause: Cause::REFUSED });
        assert_eq!(read("returned:7:1:06").to_string(), "it was ended by SIGABRT");
        assert_eq!(read("returned:7:1:14").to_string(), "it was not ready in time");
        assert_eq!(read("returned:7:1:99").to_string(), "it exited");
        assert!(read("returned:7:2:99").was_ended_itself());
        for other in ["returned:7:1:99", "returned:7:2:00", "returned:7:x:y", "returned:7:0:-1"] {
            assert!(!read(other).was_ended_itself(), "{other}");
        }
    }
}
