//! What the live view knows, and what keys do to it; nothing here draws or waits.

use std::{collections::HashMap, time::Duration};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{
    history::{History, Sample},
    sort::Sort,
};
use prefork_view::{Row, View};

/// For how many looks it is said that the board was replaced.
const NEWS: u32 = 10;

/// What comes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Stay,
    Quit,
    Suspend,
}

/// The state of the live view.
#[derive(Debug)]
pub(super) struct App {
    interval: Duration,
    view: View,
    /// Why there is no newer view.
    trouble: Option<String>,
    /// For how many looks there has been none.
    lost_for: u32,
    news: Option<(String, u32)>,
    history: History,
    rate: Option<f64>,
    sort: Sort,
    paused: bool,
    /// How many children are scrolled away at the top.
    offset: usize,
}

impl App {
    /// Begins with the board as it was found first.
    pub(super) fn new(interval: Duration, view: View) -> Self {
        let mut history = History::default();
        history.push(Some(sample(&view)));
        Self {
            interval,
            view,
            trouble: None,
            lost_for: 0,
            news: None,
            history,
            rate: None,
            sort: Sort::DEFAULT,
            paused: false,
            offset: 0,
        }
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
                self.view = view;
                (self.trouble, self.lost_for) = (None, 0);
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
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if is_control => return Verdict::Quit,
            KeyCode::Char('z') if is_control => return Verdict::Suspend,
            KeyCode::Char(_) if is_control => {}
            KeyCode::Char('q') | KeyCode::Esc => return Verdict::Quit,
            KeyCode::Char(' ') => self.paused = !self.paused,
            KeyCode::Char('r') => self.sort.reverse(),
            KeyCode::Down | KeyCode::Char('j') => self.offset = self.offset.saturating_add(1),
            KeyCode::Up | KeyCode::Char('k') => self.offset = self.offset.saturating_sub(1),
            KeyCode::PageDown => self.offset = self.offset.saturating_add(10),
            KeyCode::PageUp => self.offset = self.offset.saturating_sub(10),
            KeyCode::Home => self.offset = 0,
            KeyCode::End => self.offset = usize::MAX,
            KeyCode::Char(character) => self.sort.choose(character),
            // Keys that mean nothing here.
            _ => {}
        }
        Verdict::Stay
    }

    /// Returns the children that fit into `height` lines, in order, and how many stand above them.
    pub(super) fn children(&mut self, height: usize) -> (Vec<&Row>, usize) {
        let mut rows: Vec<&Row> = self.view.taken().collect();
        self.sort.apply(&mut rows);
        self.offset = self.offset.min(rows.len().saturating_sub(height));
        let shown = rows.into_iter().skip(self.offset).take(height).collect();
        (shown, self.offset)
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
mod tests {
    use super::*;
    use prefork_view::samples::view;

    fn app() -> App {
        App::new(Duration::from_secs(2), view())
    }

    fn press(app: &mut App, code: KeyCode) -> Verdict {
        app.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn control(app: &mut App, character: char) -> Verdict {
        app.key(KeyEvent::new(KeyCode::Char(character), KeyModifiers::CONTROL))
    }

    #[test]
    fn three_keys_quit() {
        assert_eq!(press(&mut app(), KeyCode::Char('q')), Verdict::Quit);
        assert_eq!(press(&mut app(), KeyCode::Esc), Verdict::Quit);
        assert_eq!(control(&mut app(), 'c'), Verdict::Quit);
        assert_eq!(control(&mut app(), 'z'), Verdict::Suspend);
        assert_eq!(control(&mut app(), 'q'), Verdict::Stay);
        assert_eq!(press(&mut app(), KeyCode::Char('c')), Verdict::Stay);
    }

    #[test]
    fn the_rate_counts_what_living_children_have_served() {
        let mut app = app();
        let mut next = view();
        next.rows[0].requests += 10;
        // A child in the place of another has served all of its own since.
        (next.rows[1].pid, next.rows[1].requests) = (Some(9), 4);
        app.take(Ok(next.clone()));
        assert_eq!(app.rate(), Some(7.0));
        app.take(Err("gone".into()));
        assert_eq!((app.rate(), app.trouble()), (None, Some("gone")));
        next.rows[0].requests += 8;
        app.take(Ok(next));
        assert_eq!((app.rate(), app.trouble()), (Some(2.0), None), "4 s after the last view");
    }

    #[test]
    fn a_replaced_board_is_news_for_a_while() {
        let mut app = app();
        let mut next = view();
        next.creator = Some(5000);
        app.take(Ok(next.clone()));
        assert_eq!(app.news(), Some("the board was replaced by process 5000"));
        assert_eq!(app.rate(), None);
        for _ in 0..NEWS {
            app.take(Ok(next.clone()));
        }
        assert_eq!(app.news(), None);
    }

    #[test]
    fn scrolling_stays_within_the_children() {
        let mut app = app();
        press(&mut app, KeyCode::End);
        let (shown, above) = app.children(4);
        assert_eq!((shown.len(), above), (4, 2));
        press(&mut app, KeyCode::Up);
        assert_eq!(app.children(4).1, 1);
        assert_eq!(app.children(100).1, 0);
        assert_eq!(app.children(0).0.len(), 0);
        for code in [KeyCode::PageDown, KeyCode::Char('j'), KeyCode::Home, KeyCode::PageUp] {
            press(&mut app, code);
        }
        assert_eq!(app.children(4).1, 0);
    }

    #[test]
    fn a_space_pauses_and_goes_on() {
        let mut app = app();
        press(&mut app, KeyCode::Char(' '));
        assert!(app.is_paused());
        press(&mut app, KeyCode::Char(' '));
        assert!(!app.is_paused());
    }
}
