//! The view as it stands on the terminal, compared with pictures in files.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent};
use prefork_scoreboard::{State, Status};
use ratatui::{Terminal, backend::TestBackend};

use super::*;
use prefork_view::samples::{of_rows, row, view};

fn picture(app: &mut App, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("no I/O");
    terminal.draw(|frame| draw(frame, app, &Palette::PLAIN)).expect("no I/O");
    let buffer = terminal.backend().buffer();
    let lines = buffer.content().chunks(usize::from(width).max(1)).map(|line| {
        let line: String = line.iter().map(ratatui::buffer::Cell::symbol).collect();
        format!("{}\n", line.trim_end())
    });
    lines.collect()
}

/// A pool that has grown and has something to do.
fn app() -> App {
    let mut app = App::new(Duration::from_secs(1), of_rows(vec![row(0, Status::Empty)]));
    for pool in 1..=40_usize {
        let state = |slot| if slot % 3 == 0 { State::Idle } else { State::Writing };
        let rows = (0..pool).map(|slot| row(slot, Status::Live(state(slot)))).collect();
        app.take(Ok(of_rows(rows)));
    }
    app.take(Ok(view()));
    app
}

/// Compares with a picture in a file; `cargo test` prints the new one where they differ.
#[track_caller]
fn assert_picture(found: &str, expected: &str) {
    assert!(found == expected, "the picture is now:\n{found}\nand was:\n{expected}");
}

#[test]
fn a_usual_terminal() {
    assert_picture(&picture(&mut app(), 80, 24), include_str!("80x24.txt"));
}

#[test]
fn a_small_terminal() {
    assert_picture(&picture(&mut app(), 40, 10), include_str!("40x10.txt"));
}

#[test]
fn a_board_that_is_gone() {
    let mut app = app();
    app.take(Err("no such board: /run/hello/board".into()));
    app.take(Err("no such board: /run/hello/board".into()));
    let picture = picture(&mut app, 80, 24);
    let line = picture.lines().nth(1).expect("a second line");
    assert_eq!(line, " gone; waiting for the next daemon (2.0s): no such board: /run/hello/board");
    assert!(picture.contains("GET /page/6"), "what was seen last stays: {picture}");
}

#[test]
fn a_board_that_was_replaced() {
    let mut app = app();
    let mut next = view();
    next.creator = Some(5000);
    app.take(Ok(next));
    let picture = picture(&mut app, 80, 24);
    assert!(picture.contains(" the board was replaced by process 5000\n"), "{picture}");
}

#[test]
fn a_pause_and_an_order_are_seen() {
    let mut app = app();
    for code in [KeyCode::Char(' '), KeyCode::Char('m'), KeyCode::Char('r')] {
        let _ = app.key(KeyEvent::from(code));
    }
    let picture = picture(&mut app, 80, 24);
    assert!(picture.contains("PAUSED") && picture.contains("go on"), "{picture}");
    assert!(picture.contains("MEM\u{25b2}"), "{picture}");
}

#[test]
fn a_question_a_filter_and_the_help_are_seen() {
    let mut app = app();
    let press = |app: &mut App, text: &str| {
        for character in text.chars() {
            let _ = app.key(KeyEvent::from(KeyCode::Char(character)));
        }
    };
    let footer = |app: &mut App| {
        let picture = picture(app, 80, 24);
        picture.lines().nth(22).expect("a footer").to_owned()
    };
    press(&mut app, "k");
    assert_eq!(
        footer(&mut app),
        " child 4006 in slot 6:  t SIGTERM  i SIGINT  a SIGABRT  k SIGKILL   others none"
    );
    press(&mut app, "ni/page/1");
    assert_eq!(footer(&mut app), " show those with: page/1_   Enter keep   Esc all");
    let found = picture(&mut app, 80, 24);
    let summary = found.lines().nth(1).expect("a summary");
    assert!(
        summary.starts_with(" shown: with \"page/1\", not idle; 6 children of 3 to 150, "),
        "{found}"
    );
    assert!(found.contains("4001") && !found.contains("4006"), "{found}");
    let _ = app.key(KeyEvent::from(KeyCode::Enter));
    press(&mut app, "?");
    assert_picture(&picture(&mut app, 80, 24), include_str!("help.txt"));
}

#[test]
fn nothing_panics_in_a_terminal_of_any_size() {
    let mut app = app();
    // As it is, with help, with a question, and with nobody who is shown.
    for keys in ["", "?", " k", "n/nobody"] {
        for character in keys.chars() {
            let _ = app.key(KeyEvent::from(KeyCode::Char(character)));
        }
        for width in (0..90).step_by(9).chain([1, 19, 500]) {
            for height in (0..16).chain([100]) {
                let _ = picture(&mut app, width, height);
            }
        }
    }
}

#[test]
fn what_a_child_says_cannot_leave_its_place() {
    let mut app = app();
    let mut next = view();
    next.rows[6].label = "x".repeat(96);
    next.rows[6].client = "\u{65e5}\u{672c}".repeat(16);
    next.rows[6].requests = u64::MAX;
    app.take(Ok(next));
    let picture = picture(&mut app, 80, 24);
    let table: Vec<&str> = picture.lines().skip(6).take(2).collect();
    assert!(table[0].starts_with(" STATE"), "{picture}");
    assert!(table[1].starts_with(" reading     8.7s xxxxxxx"), "{picture}");
    assert!(table[1].ends_with("  4006   many  7.0M"), "{picture}");
}

#[test]
fn a_long_path_is_shortened_to_its_end() {
    let table = [
        ("/run/x", 6, "/run/x"),
        ("/run/x", 5, "\u{2026}un/x"),
        ("/run/\u{65e5}\u{672c}", 6, "\u{2026}/\u{65e5}\u{672c}"),
        ("/run/\u{65e5}\u{672c}", 4, "\u{2026}\u{672c}"),
    ];
    for (path, room, expected) in table {
        assert_eq!(tail(path, room), expected, "{path} {room}");
    }
}
