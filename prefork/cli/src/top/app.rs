//! What the live view knows, and what keys do to it; nothing here draws or waits.

use std::{collections::HashMap, time::Duration};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use rustix::process::Signal;

use super::{
    filter::Filter,
    history::{History, Sample},
    kill::{OFFERED, Target},
    sort::Sort,
    watched::{Step, Tab},
};
use prefork_view::{Row, View};

/// For how many looks it is said that the board was replaced.
const NEWS: u32 = 10;

/// What comes of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Stay,
    Quit,
    Suspend,
    /// Another pool is to be shown.
    Pool(Step),
    /// A child is to be sent the signal of this name.
    Send(Target, (&'static str, Signal)),
}

/// What keys are for at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    Watch,
    /// What is typed is what children must have to be shown.
    Filter,
    /// All keys are shown; the next one ends that.
    Help,
    /// The next key says which signal this child is sent, if any.
    Ask(Target),
}

/// The children that there is room for.
#[derive(Debug)]
pub(super) struct Shown<'a> {
    pub(super) rows: Vec<&'a Row>,
    /// Which of them keys are about.
    pub(super) chosen: Option<usize>,
}

/// The state of the live view.
#[derive(Debug)]
pub(super) struct App {
    interval: Duration,
    view: View,
    /// All pools, of a daemon that has several.
    tabs: Vec<Tab>,
    /// Why there is no newer view.
    trouble: Option<String>,
    /// For how many looks there has been none.
    lost_for: u32,
    news: Option<(String, u32)>,
    history: History,
    rate: Option<f64>,
    sort: Sort,
    filter: Filter,
    mode: Mode,
    paused: bool,
    /// How many children are scrolled away at the top.
    offset: usize,
    /// The place of the chosen child.
    place: usize,
    /// That child, once one was chosen: it stays chosen wherever it is moved.
    chosen: Option<Target>,
}

impl App {
    /// Begins with the board as it was found first.
    pub(super) fn new(interval: Duration, view: View) -> Self {
        let mut history = History::default();
        history.push(Some(sample(&view)));
        let trouble = left_behind(&view);
        Self {
            interval,
            view,
            tabs: Vec::new(),
            trouble,
            lost_for: 0,
            news: None,
            history,
            rate: None,
            sort: Sort::DEFAULT,
            filter: Filter::default(),
            mode: Mode::Watch,
            paused: false,
            offset: 0,
            place: 0,
            chosen: None,
        }
    }

    /// Takes in how all pools are.
    pub(super) fn take_tabs(&mut self, tabs: Vec<Tab>) {
        self.tabs = tabs;
    }

    /// Goes on with another pool; how they are shown stays as it was chosen.
    pub(super) fn go_to(&mut self, view: View, tabs: Vec<Tab>) {
        let Self { sort, filter, paused, .. } = self;
        let (sort, filter, paused) = (*sort, std::mem::take(filter), *paused);
        *self = Self { sort, filter, paused, tabs, ..Self::new(self.interval, view) };
    }

    /// Takes in what the next look found: a board, or why there is none.
    pub(super) fn take(&mut self, found: Result<View, String>) {
        self.news = self.news.take().filter(|(_, left)| *left > 1).map(|(text, n)| (text, n - 1));
        match found {
            Ok(view) => {
                self.history.push(Some(sample(&view)));
                if is_same(&self.view, &view) {
                    let gap = self.interval * (self.lost_for + 1);
                    self.rate = Some(requests_between(&self.view, &view) / gap.as_secs_f64());
                } else {
                    self.rate = None;
                    self.news = Some((replaced(&view), NEWS));
                }
                self.trouble = left_behind(&view);
                let is_lost = self.trouble.is_some();
                self.lost_for = if is_lost { self.lost_for.saturating_add(1) } else { 0 };
                self.view = view;
            }
            Err(trouble) => {
                self.history.push(None);
                self.rate = None;
                self.trouble = Some(trouble);
                self.lost_for = self.lost_for.saturating_add(1);
            }
        }
    }

    /// Does what a key asks for.
    pub(super) fn key(&mut self, key: KeyEvent) -> Verdict {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Verdict::Quit,
                KeyCode::Char('z') => Verdict::Suspend,
                // Keys that mean nothing here.
                _ => Verdict::Stay,
            };
        }
        match std::mem::replace(&mut self.mode, Mode::Watch) {
            Mode::Watch => return self.watch_key(key.code),
            Mode::Filter => self.filter_key(key.code),
            Mode::Help => {}
            Mode::Ask(target) => {
                let answer = OFFERED.iter().find(|(answer, ..)| key.code == KeyCode::Char(*answer));
                if let Some((_, signal, name, _)) = answer {
                    return Verdict::Send(target, (name, *signal));
                }
            }
        }
        Verdict::Stay
    }

    fn watch_key(&mut self, code: KeyCode) -> Verdict {
        match code {
            KeyCode::Esc if !self.filter.text().is_empty() => self.filter.clear(),
            KeyCode::Char('q') | KeyCode::Esc => return Verdict::Quit,
            KeyCode::Char(' ') => self.paused = !self.paused,
            KeyCode::Char('r') => self.sort.reverse(),
            KeyCode::Char('/') => self.mode = Mode::Filter,
            KeyCode::Char('i') => self.filter.toggle_idle(),
            KeyCode::Char('?') => self.mode = Mode::Help,
            KeyCode::Char('k') => {
                if let Some(target) = self.rows().get(self.place).and_then(|row| Target::of(row)) {
                    self.mode = Mode::Ask(target);
                }
            }
            KeyCode::Tab if !self.tabs.is_empty() => return Verdict::Pool(Step::Next),
            KeyCode::BackTab if !self.tabs.is_empty() => return Verdict::Pool(Step::Previous),
            KeyCode::Down => self.choose(self.place.saturating_add(1)),
            KeyCode::Up => self.choose(self.place.saturating_sub(1)),
            KeyCode::PageDown => self.choose(self.place.saturating_add(10)),
            KeyCode::PageUp => self.choose(self.place.saturating_sub(10)),
            KeyCode::Home => self.choose(0),
            KeyCode::End => self.choose(usize::MAX),
            KeyCode::Char(character) => self.sort.choose(character),
            // Keys that mean nothing here.
            _ => {}
        }
        Verdict::Stay
    }

    fn filter_key(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => return,
            KeyCode::Esc => return self.filter.clear(),
            KeyCode::Backspace => self.filter.pop(),
            KeyCode::Char(character) => self.filter.push(character),
            // Keys that mean nothing here.
            _ => {}
        }
        self.mode = Mode::Filter;
    }

    /// Chooses the child at a place, or the last one.
    fn choose(&mut self, place: usize) {
        let rows = self.rows();
        let place = place.min(rows.len().saturating_sub(1));
        let chosen = rows.get(place).and_then(|row| Target::of(row));
        (self.place, self.chosen) = (place, chosen);
    }

    /// The children that are to be shown, in their order.
    fn rows(&self) -> Vec<&Row> {
        let mut rows: Vec<_> = self.view.taken().filter(|row| self.filter.shows(row)).collect();
        self.sort.apply(&mut rows);
        rows
    }

    /// Returns the children that fit into `height` lines, in order, the chosen one among them.
    pub(super) fn children(&mut self, height: usize) -> Shown<'_> {
        let rows = self.rows();
        let found = self.chosen.as_ref().and_then(|it| rows.iter().position(|row| it.is(row)));
        let place = found.unwrap_or(self.place).min(rows.len().saturating_sub(1));
        let lowest = (place + 1).saturating_sub(height);
        let offset = self.offset.clamp(lowest, place.max(lowest));
        let offset = offset.min(rows.len().saturating_sub(height));
        (self.place, self.offset) = (place, offset);
        let rows: Vec<_> = self.rows().into_iter().skip(offset).take(height).collect();
        let chosen = place.checked_sub(offset).filter(|chosen| *chosen < rows.len());
        Shown { rows, chosen }
    }

    /// Shows for a while what has come of something that was asked for.
    pub(super) fn report(&mut self, text: String) {
        self.news = Some((text, NEWS));
    }

    pub(super) fn tabs(&self) -> &[Tab] {
        &self.tabs
    }

    pub(super) fn filter(&self) -> &Filter {
        &self.filter
    }

    pub(super) fn mode(&self) -> &Mode {
        &self.mode
    }

    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    pub(super) fn view(&self) -> &View {
        &self.view
    }

    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Returns for how long there has been no board.
    pub(super) fn lost_for(&self) -> Duration {
        self.interval * self.lost_for
    }

    pub(super) fn news(&self) -> Option<&str> {
        self.news.as_ref().map(|(text, _)| text.as_str())
    }

    pub(super) fn history(&self) -> &History {
        &self.history
    }

    /// Returns the requests served a second, lately.
    pub(super) fn rate(&self) -> Option<f64> {
        self.rate
    }

    pub(super) fn sort(&self) -> Sort {
        self.sort
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }
}

fn sample(view: &View) -> Sample {
    let (pool, busy) = (view.tally.taken(), view.tally.busy);
    Sample { pool: pool as u64, busy: busy as u64 }
}

fn is_same(old: &View, new: &View) -> bool {
    (old.creator, old.created) == (new.creator, new.created)
}

/// What there is instead of a daemon: a board that was not removed.
fn left_behind(view: &View) -> Option<String> {
    view.is_left_behind().then(|| format!("{}, {}", view.whose(), view.last_seen()))
}

fn replaced(view: &View) -> String {
    let creator = view.creator.map_or_else(String::new, |pid| format!(" by process {pid}"));
    format!("the board was replaced{creator}")
}

/// Counts the requests that were served between two views, as far as children lived to report them.
#[expect(clippy::cast_precision_loss, reason = "a rate is shown with three digits")]
fn requests_between(old: &View, new: &View) -> f64 {
    let key = |row: &Row| (row.slot, row.pid, row.generation);
    let before: HashMap<_, u64> = old.taken().map(|row| (key(row), row.requests)).collect();
    let more = new
        .taken()
        .map(|row| row.requests.saturating_sub(before.get(&key(row)).copied().unwrap_or(0)));
    more.fold(0, u64::saturating_add) as f64
}

#[cfg(test)]
mod tests;
