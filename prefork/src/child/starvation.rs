//! Saying once, and not with every call, that nothing can be accepted.

/// An episode in which a process is out of descriptors or memory.
///
/// It is over when a call has accepted a connection without being held up: a process that just gets by, one
/// connection at a time, is in the same episode all the while.
#[derive(Debug, Default)]
pub(super) struct Starvation {
    /// Whether it was said.
    is_said: bool,
    /// Whether the call that runs was held up.
    is_held_up: bool,
}

impl Starvation {
    /// Notes that a call has begun.
    pub(super) const fn begin(&mut self) {
        self.is_held_up = false;
    }

    /// Notes that the call is held up; returns whether that is new.
    pub(super) const fn is_new(&mut self) -> bool {
        self.is_held_up = true;
        !std::mem::replace(&mut self.is_said, true)
    }

    /// Notes that the call has accepted a connection.
    pub(super) const fn end(&mut self) {
        self.is_said = self.is_held_up;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a call that is held up so many times, and returns how many of these are to be logged.
    fn call(starvation: &mut Starvation, held_up: usize) -> usize {
        starvation.begin();
        let said = (0..held_up).filter(|_| starvation.is_new()).count();
        starvation.end();
        said
    }

    #[test]
    fn an_episode_is_said_once() {
        let mut starvation = Starvation::default();
        let calls = [0, 3, 1, 2, 0, 0, 1, 1];
        let said = calls.map(|held_up| call(&mut starvation, held_up));
        assert_eq!(said, [0, 1, 0, 0, 0, 0, 1, 0]);
    }
}
