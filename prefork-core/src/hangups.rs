//! What `SIGHUP` means: a wish of an operator's, or that the terminal has gone.
//!
//! The kernel sends it when a terminal goes, but not to all who are on it: shells pass it on to their jobs, by the same
//! call as `kill -HUP`. So it takes the terminal, which is gone by then, and the sender to distinguish them.

/// What `SIGHUP` did when the daemon was started: `nohup(1)` has it ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum HangupsAtStart {
    /// It would have ended the program, or was handled by it.
    Heeded,
    /// It was ignored.
    Ignored,
}

/// The sender of a `SIGHUP`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HangupSender {
    /// The process of this pid.
    Process(u32),
    /// The kernel by itself.
    Kernel,
    /// It is not known.
    Unknown,
}

/// What a `SIGHUP` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hangup {
    /// Somebody wants a reload.
    Reload,
    /// The terminal has gone, and the daemon is to end with it.
    Stop,
    /// The terminal has gone, and the daemon was started so as to outlive it.
    Outlive,
}

/// Whether there is a terminal that can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
enum Terminal {
    Never,
    There,
    Gone,
}

/// What is known of a daemon's terminal, and of `SIGHUP`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Hangups {
    at_start: HangupsAtStart,
    terminal: Terminal,
    /// The processes that pass such a signal on: the leader of the session, and who has started the daemon.
    shells: [u32; 2],
}

impl Hangups {
    /// Begins without a terminal, as in the background or under a service manager.
    #[must_use]
    pub const fn without_terminal(at_start: HangupsAtStart) -> Self {
        Self { at_start, terminal: Terminal::Never, shells: [0; 2] }
    }

    /// Begins on a terminal; `shells` are the pids of the leader of the session and of who has started the daemon.
    #[must_use]
    pub const fn on_terminal(at_start: HangupsAtStart, shells: [u32; 2]) -> Self {
        Self { at_start, terminal: Terminal::There, shells }
    }

    /// Returns what `SIGHUP` did when the daemon was started.
    #[must_use]
    pub const fn at_start(&self) -> HangupsAtStart {
        self.at_start
    }

    /// Returns what a `SIGHUP` means, now that the process has a terminal or has none.
    pub fn meaning(&mut self, sender: HangupSender, has_terminal: bool) -> Hangup {
        let has_gone = self.terminal == Terminal::There && !has_terminal;
        let is_of_terminal = match sender {
            HangupSender::Kernel => true,
            HangupSender::Process(pid) => has_gone && self.shells.contains(&pid),
            HangupSender::Unknown => has_gone,
        };
        if !is_of_terminal {
            return Hangup::Reload;
        }
        if has_gone {
            self.terminal = Terminal::Gone;
        }
        match self.at_start {
            HangupsAtStart::Heeded => Hangup::Stop,
            HangupsAtStart::Ignored => Hangup::Outlive,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELLS: [u32; 2] = [10, 11];

    #[test]
    fn a_terminal_that_goes_is_no_wish() {
        use HangupSender::{Kernel, Process, Unknown};
        let table = [
            // While the terminal is there a reload is wanted, by the shell too.
            (Process(99), true, Hangup::Reload),
            (Process(10), true, Hangup::Reload),
            (Unknown, true, Hangup::Reload),
            // When it has gone, shells pass that on; others ask for something.
            (Process(10), false, Hangup::Stop),
            (Process(11), false, Hangup::Stop),
            (Process(99), false, Hangup::Reload),
            (Unknown, false, Hangup::Stop),
            // The kernel wants nothing of a daemon.
            (Kernel, true, Hangup::Stop),
            (Kernel, false, Hangup::Stop),
        ];
        for (sender, has_terminal, expected) in table {
            let mut hangups = Hangups::on_terminal(HangupsAtStart::Heeded, SHELLS);
            assert_eq!(
                hangups.meaning(sender, has_terminal),
                expected,
                "{sender:?} {has_terminal}"
            );
            let mut hangups = Hangups::on_terminal(HangupsAtStart::Ignored, SHELLS);
            let expected = if expected == Hangup::Stop { Hangup::Outlive } else { expected };
            assert_eq!(
                hangups.meaning(sender, has_terminal),
                expected,
                "{sender:?} {has_terminal}"
            );
        }
    }

    #[test]
    fn a_terminal_goes_once() {
        let mut hangups = Hangups::on_terminal(HangupsAtStart::Ignored, SHELLS);
        assert_eq!(hangups.meaning(HangupSender::Process(10), false), Hangup::Outlive);
        // Whose pid somebody else has by now, who asks for a reload.
        assert_eq!(hangups.meaning(HangupSender::Process(10), false), Hangup::Reload);
        assert_eq!(hangups.meaning(HangupSender::Unknown, false), Hangup::Reload);
    }

    #[test]
    fn where_there_was_no_terminal_everybody_wants_a_reload() {
        let mut hangups = Hangups::without_terminal(HangupsAtStart::Heeded);
        for sender in [HangupSender::Process(0), HangupSender::Process(1), HangupSender::Unknown] {
            assert_eq!(hangups.meaning(sender, false), Hangup::Reload);
        }
    }
}
