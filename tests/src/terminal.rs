//! A terminal, and what stands on it.

use std::{
    cell::RefCell,
    fmt,
    fs::File,
    num::NonZero,
    os::fd::OwnedFd,
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::{
    fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl, open},
    io::Errno,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Action, LocalModes, Termios, Winsize, tcflow, tcgetattr, tcsetwinsize},
};

use crate::wait_until;

/// A pseudo-terminal (see `pty(7)`), with somebody who looks at it and types.
#[derive(Debug)]
pub struct Terminal {
    /// The side of the person, until it is closed.
    near: RefCell<Option<File>>,
    /// The side of programs, kept open so that the modes can be looked at when they have gone.
    far: File,
    screen: RefCell<Screen>,
}

struct Screen(vt100::Parser);

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Screen").field(&self.0.screen().contents()).finish()
    }
}

impl Terminal {
    /// Opens a terminal.
    ///
    /// # Panics
    ///
    /// Panics if the system has none to give.
    #[must_use]
    pub fn new(columns: u16, rows: u16) -> Self {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .expect("a terminal can be had");
        grantpt(&near).and_then(|()| unlockpt(&near)).expect("it is ours");
        let name = ptsname(&near, Vec::new()).expect("it has a name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let far = open(&*name, flags, Mode::empty()).expect("it has another side");
        let flags = fcntl_getfl(&near).expect("it is open");
        fcntl_setfl(&near, flags | OFlags::NONBLOCK).expect("it is open");
        let screen = RefCell::new(Screen(vt100::Parser::new(length(rows), length(columns), 0)));
        let terminal = Self { near: RefCell::new(Some(near.into())), far: far.into(), screen };
        terminal.resize(columns, rows);
        terminal
    }

    /// Gives it another size. A program on it has to be sent SIGWINCH: it is nobody's controlling
    /// terminal.
    ///
    /// # Panics
    ///
    /// Panics if the system refuses.
    pub fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.far, size).expect("any size will do");
        self.screen.borrow_mut().0.screen_mut().set_size(length(rows), length(columns));
    }

    /// Types.
    ///
    /// # Panics
    ///
    /// Panics if nothing more can be typed, because nobody reads it.
    pub fn press(&self, keys: &str) {
        let near = self.near.borrow();
        let written = rustix::io::write(near.as_ref().expect("it is open"), keys.as_bytes());
        assert_eq!(written, Ok(keys.len()), "{keys:?} cannot be typed");
    }

    /// Stops what is printed there, as Ctrl-S does, or lets it go on.
    ///
    /// # Panics
    ///
    /// Panics if the system refuses.
    pub fn flow(&self, action: Action) {
        tcflow(&self.far, action).expect("it is a terminal");
    }

    /// Goes away, as when a window is closed.
    pub fn close(&self) {
        *self.near.borrow_mut() = None;
    }

    /// Returns what stands on it.
    #[must_use]
    pub fn text(&self) -> String {
        self.read();
        self.screen.borrow().0.screen().contents()
    }

    /// Returns whether a program has the whole screen, and will leave what stood there before.
    #[must_use]
    pub fn is_taken_over(&self) -> bool {
        self.read();
        self.screen.borrow().0.screen().alternate_screen()
    }

    /// Returns whether anything on it has a colour or is bold.
    #[must_use]
    pub fn is_coloured(&self) -> bool {
        self.read();
        let screen = self.screen.borrow();
        let (rows, columns) = screen.0.screen().size();
        let mut places =
            (0..rows.get()).flat_map(|row| (0..columns.get()).map(move |column| (row, column)));
        places.any(|(row, column)| {
            let cell = screen.0.screen().cell(row, column);
            cell.is_some_and(|cell| cell.fgcolor() != vt100::Color::Default || cell.bold())
        })
    }

    /// Returns whether one sees where typing goes.
    #[must_use]
    pub fn has_cursor(&self) -> bool {
        self.read();
        !self.screen.borrow().0.screen().hide_cursor()
    }

    /// Waits until `text` stands on it.
    ///
    /// # Panics
    ///
    /// Panics with what stands there instead, after `limit`.
    #[track_caller]
    pub fn wait_for(&self, limit: Duration, text: &str) {
        let begun = Instant::now();
        wait_until(limit + limit, &format!("{text:?} is on the terminal"), || {
            let found = self.text();
            assert!(
                begun.elapsed() < limit || found.contains(text),
                "{text:?} is not on the terminal after {limit:?}, but\n{found}"
            );
            found.contains(text)
        });
    }

    /// Returns its modes, to be compared.
    ///
    /// # Panics
    ///
    /// Panics if the system does not report them.
    #[must_use]
    pub fn modes(&self) -> String {
        let Termios { input_modes, output_modes, control_modes, local_modes, .. } = self.termios();
        format!("{input_modes:?} {output_modes:?} {control_modes:?} {local_modes:?}")
    }

    /// Returns whether keys are passed on one by one.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        !self.termios().local_modes.contains(LocalModes::ICANON)
    }

    fn termios(&self) -> Termios {
        tcgetattr(&self.far).expect("it has modes")
    }

    /// Returns the side of programs.
    ///
    /// # Panics
    ///
    /// Panics if no further descriptor can be had.
    #[must_use]
    pub fn end(&self) -> OwnedFd {
        self.far.try_clone().expect("descriptors are left").into()
    }

    pub(crate) fn other_end(&self) -> Stdio {
        self.end().into()
    }

    /// Takes in what has been written to it since.
    fn read(&self) {
        let near = self.near.borrow();
        let Some(near) = near.as_ref() else { return };
        let mut buffer = [0; 4096];
        loop {
            match rustix::io::read(near, &mut buffer) {
                Ok(0) | Err(Errno::AGAIN) => return,
                Ok(count) => self.screen.borrow_mut().0.process(&buffer[..count]),
                Err(Errno::INTR) => {}
                Err(error) => panic!("the terminal cannot be read: {error}"),
            }
        }
    }
}

fn length(number: u16) -> NonZero<u16> {
    NonZero::new(number).expect("a terminal has a size")
}
