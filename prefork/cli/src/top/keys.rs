//! Keys, as they are pressed.

use std::{
    fs::File,
    io::{self, IsTerminal},
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use rustix::event::{PollFd, PollFlags, poll};

/// Long enough for crossterm to look at all; it does not wait where something is to be read.
const LOOK: Duration = Duration::from_millis(1);

/// The keyboard of the terminal.
#[derive(Debug)]
pub(super) struct Keys {
    terminal: OwnedFd,
}

impl Keys {
    /// Opens what crossterm reads from, too: standard input if it is a terminal.
    pub(super) fn open() -> io::Result<Self> {
        let stdin = io::stdin();
        let terminal = if stdin.is_terminal() {
            stdin.as_fd().try_clone_to_owned()?
        } else {
            File::open("/dev/tty")?.into()
        };
        Ok(Self { terminal })
    }

    /// Waits for keys, and hands them over until there is nobody to take them.
    ///
    /// crossterm is asked only when there is something to read: at the end of a terminal, it would
    /// look for more without a rest.
    pub(super) fn watch(&self, mut take: impl FnMut(KeyEvent) -> bool) -> io::Result<()> {
        loop {
            self.wait()?;
            while event::poll(LOOK)? {
                if let Event::Key(key) = event::read()?
                    && key.kind != KeyEventKind::Release
                    && !take(key)
                {
                    return Ok(());
                }
            }
        }
    }

    fn wait(&self) -> io::Result<()> {
        let mut polled = [PollFd::new(&self.terminal, PollFlags::IN)];
        loop {
            match poll(&mut polled, None) {
                Ok(_) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        if polled[0].revents().intersects(gone) {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it was closed"));
        }
        Ok(())
    }
}
