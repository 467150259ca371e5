//! The live view.

mod app;
mod columns;
mod draw;
mod filter;
mod help;
mod history;
mod keys;
mod kill;
mod palette;
mod screen;
mod sort;
mod watched;

use std::{
    env,
    io::{self, IsTerminal},
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::{Duration, Instant},
};

use crossterm::event::KeyEvent;
use prefork_core::ErrorChain;
use signal_hook::{
    consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH},
    iterator::Signals,
    low_level::emulate_default_handler,
};

use crate::{exit::Exit, failure::Failure, find::Found};
use app::{App, Verdict};
use keys::Keys;
use palette::Palette;
use screen::Screen;
use watched::Watched;

/// What the view waits for besides the next look.
#[derive(Debug)]
enum Happening {
    Key(KeyEvent),
    Signal(i32),
    /// The terminal is gone.
    Lost(io::Error),
}

/// Why the view ends.
enum End {
    Quit,
    Signal(i32),
}

/// Shows the board of a daemon, or those of its pools, until asked to quit.
pub(crate) fn run(found: Found, interval: Duration) -> Result<Exit, Failure> {
    let mut watched = Watched::new(found)?;
    if !io::stdout().is_terminal() {
        return Err(Failure::NoTerminal);
    }
    if env::var_os("TERM").is_none_or(|kind| kind.is_empty() || kind == "dumb") {
        return Err(Failure::DumbTerminal);
    }
    // A wrong path is said at once; one that vanishes later is waited for.
    let (view, tabs) = watched.look();
    let view = view?;
    let terminal = |source| Failure::Terminal { source };
    let (sender, receiver) = mpsc::channel();
    watch_signals(sender.clone()).map_err(terminal)?;
    let mut screen = Screen::enter().map_err(terminal)?;
    watch_keys(sender).map_err(terminal)?;
    let mut app = App::new(interval, view);
    app.take_tabs(tabs);
    let end = show(watched, app, &mut screen, &receiver);
    drop(screen);
    match end.map_err(terminal)? {
        End::Quit => Ok(Exit::Done),
        End::Signal(signal) => {
            emulate_default_handler(signal).map_err(terminal)?;
            Ok(Exit::Failed)
        }
    }
}

fn show(
    mut watched: Watched,
    mut app: App,
    screen: &mut Screen,
    happenings: &Receiver<Happening>,
) -> io::Result<End> {
    let palette = Palette::of_environment();
    let mut due = Instant::now() + app.interval();
    loop {
        screen.draw(|frame| draw::draw(frame, &mut app, &palette))?;
        // Everything that has happened is taken in before the next drawing.
        let mut next = if app.is_paused() {
            happenings.recv().ok()
        } else {
            happenings.recv_timeout(due.saturating_duration_since(Instant::now())).ok()
        };
        while let Some(happening) = next {
            match happening {
                Happening::Key(key) => match app.key(key) {
                    Verdict::Stay => {}
                    Verdict::Quit => return Ok(End::Quit),
                    Verdict::Suspend => screen.suspend()?,
                    Verdict::Pool(step) => {
                        if watched.step(step)
                            && let (Ok(view), tabs) = watched.look()
                        {
                            app.go_to(view, tabs);
                        }
                    }
                    Verdict::Send(target, signal) => {
                        app.report(kill::send(watched.board(), &target, signal));
                    }
                },
                // Drawing looks at the size each time.
                Happening::Signal(SIGWINCH) => {}
                Happening::Signal(SIGTSTP) => screen.suspend()?,
                Happening::Signal(SIGCONT) => screen.resume()?,
                Happening::Signal(signal) => return Ok(End::Signal(signal)),
                Happening::Lost(error) => return Err(error),
            }
            next = happenings.try_recv().ok();
        }
        let now = Instant::now();
        if now >= due && !app.is_paused() {
            let (found, tabs) = watched.look();
            app.take_tabs(tabs);
            app.take(found.map_err(|failure| ErrorChain(&failure).to_string()));
            due = now + app.interval();
        }
    }
}

/// Waits for signals on a thread of its own, so that nothing has to poll for them.
fn watch_signals(sender: Sender<Happening>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGTSTP, SIGCONT, SIGWINCH])?;
    thread::spawn(move || {
        for signal in signals.forever() {
            if sender.send(Happening::Signal(signal)).is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// Waits for keys on a thread of its own, likewise.
fn watch_keys(sender: Sender<Happening>) -> io::Result<()> {
    let keys = Keys::open()?;
    thread::spawn(move || {
        if let Err(error) = keys.watch(|key| sender.send(Happening::Key(key)).is_ok()) {
            // Nobody takes it when the view has ended already.
            let _ = sender.send(Happening::Lost(error));
        }
    });
    Ok(())
}
