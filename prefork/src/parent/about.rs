//! What the daemon shows of itself on the scoreboard.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

use prefork_core::{AdoptedAs, Progress, Refusal, Stage};

use super::Parent;
use crate::{
    board::Outcome, logs::describe::why_refused, sockets::listeners::Place, start::identity,
    system::clock, system::os::Shortage,
};

impl Parent<'_> {
    /// Shows what has been started, by its settings in force.
    pub(super) fn show_identity(&mut self) {
        let identity = identity(&self.settings, &self.layers, self.invocation.as_ref().ok());
        if let Some(board) = &mut self.runtime_files.board {
            board.about.introduce(identity);
        }
    }

    /// Shows whose scoreboard it is: of a new daemon, or of one that goes on with the children of another program.
    pub(super) fn introduce(&mut self, adopted_as: Option<AdoptedAs>) {
        self.show_identity();
        let size = self.supervisor.config();
        let (prefork, max_children) = (size.prefork(), size.max_children());
        let Some(board) = &mut self.runtime_files.board else { return };
        let (about, now) = (&mut board.about, clock::now());
        about.size(prefork, max_children);
        about.places(self.listeners.places());
        if let Some(store) = &self.channels.metrics {
            about.metrics(store.as_fd().as_raw_fd());
        }
        match adopted_as {
            None => {}
            Some(AdoptedAs::NewProgram) => {
                about.phase(Stage::Serving);
                about.taken_over(now);
            }
            Some(AdoptedAs::SameProgram) => {
                about.phase(Stage::Serving);
                about.upgrading(now);
                let why = "the new program has failed to take over; the error log says why";
                about.upgrade_ended(now, Outcome::Failed(why.to_owned()));
            }
        }
    }

    /// Shows how far it is.
    pub(super) fn show_phase(&mut self, phase: Stage) {
        if let Some(board) = &mut self.runtime_files.board {
            board.about.phase(phase);
        }
    }

    /// Shows how many connections wait at the addresses where it listens.
    pub(super) fn show_places(&mut self, places: Vec<Place>) {
        if let Some(board) = &mut self.runtime_files.board {
            board.about.places(places);
        }
    }

    /// Shows why no child can be forked, or that one was.
    pub(super) fn show_cannot_fork(&mut self, error: Option<&io::Error>) {
        self.cannot_fork = error.map(|it| format!("{it}{}", Shortage::behind(it)));
        if let Some(board) = &mut self.runtime_files.board {
            board.about.cannot_fork(self.cannot_fork.clone());
        }
    }

    /// Shows how far what was asked for has come.
    pub(super) fn show_on_board(&mut self, progress: Progress) {
        let now = clock::now();
        if progress == Progress::Stopping {
            self.title.show_ending();
        }
        let Some(board) = &mut self.runtime_files.board else { return };
        let (pages, log) = (&self.channels.pages, &self.log);
        match progress {
            Progress::SettingsRefused { by } => {
                board.mark_refused_settings(pages, log);
                board.about.reload_ended(now, refused(by, &mut self.reported.settings));
            }
            Progress::ReloadFailed { generation } => {
                board.mark_failed_rollout(generation, pages, log);
                board.about.reload_ended(now, Outcome::of_failed(generation));
            }
            Progress::ReadingSettings => board.about.reading(now),
            Progress::Reloading => board.about.reloading(now),
            Progress::Reloaded => board.about.reload_ended(now, Outcome::Done),
            Progress::Probing => board.about.upgrading(now),
            Progress::UpgradeRefused { by } => {
                board.about.upgrade_ended(now, refused(by, &mut self.reported.program));
            }
            Progress::Resized { prefork, max_children } => board.about.size(prefork, max_children),
            Progress::Stopping => board.about.phase(Stage::Stopping),
            Progress::Reconfigured
            | Progress::Upgrading
            | Progress::Throttled
            | Progress::Unthrottled => {}
        }
    }
}

/// Why settings, or a program, are about to be refused, for those who read the scoreboard. What ends beside a refusal takes
/// nothing of it.
#[derive(Debug, Default)]
pub(super) struct Reported {
    pub(super) settings: String,
    pub(super) program: String,
}

/// Says why something was refused.
fn refused(by: Refusal, reported: &mut String) -> Outcome {
    Outcome::Refused(why_refused(by, || std::mem::take(reported)))
}
