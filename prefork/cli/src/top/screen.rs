//! The terminal: taken over, and given back whatever happens.

use std::io;

use crossterm::{
    execute,
    terminal::{EnterAlternateScreen, enable_raw_mode},
};
use ratatui::{
    DefaultTerminal, Frame,
    layout::{Position, Rect},
};
use signal_hook::{consts::SIGSTOP, low_level};

/// The terminal in raw mode, on its other screen, until this is dropped.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    /// Takes the terminal over. A panic, too, gives it back before it says anything.
    pub(super) fn enter() -> io::Result<Self> {
        let terminal = ratatui::try_init().inspect_err(|_| {
            // It may have gone half-way.
            let _ = ratatui::try_restore();
        })?;
        Ok(Self { terminal })
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw).map(drop)
    }

    /// Gives the terminal back and stops, as Ctrl-Z does; goes on at `SIGCONT`.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        self.terminal.show_cursor()?;
        ratatui::try_restore()?;
        low_level::raise(SIGSTOP)?;
        self.resume()
    }

    /// Takes the terminal over again: another program may have left it in another mode.
    pub(super) fn resume(&mut self) -> io::Result<()> {
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen)?;
        // Draws everything again, as `Terminal::clear` would; but that asks the terminal where its
        // cursor is, and the answer goes to the thread that waits for keys.
        let size = self.terminal.size()?;
        self.terminal.resize(Rect::from((Position::ORIGIN, size)))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _ = self.terminal.show_cursor();
        let _ = ratatui::try_restore();
    }
}
