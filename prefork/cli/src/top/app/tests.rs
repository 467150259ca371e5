use super::*;
use prefork_scoreboard::Life;
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
fn the_chosen_child_is_always_in_sight() {
    let mut app = app();
    let shown = |app: &mut App, height| {
        let Shown { rows, chosen } = app.children(height);
        let count = rows.len();
        (count, app.offset, chosen)
    };
    assert_eq!(shown(&mut app, 4), (4, 0, Some(0)));
    press(&mut app, KeyCode::End);
    assert_eq!(shown(&mut app, 4), (4, 2, Some(3)));
    press(&mut app, KeyCode::Up);
    assert_eq!(shown(&mut app, 4), (4, 2, Some(2)));
    assert_eq!(shown(&mut app, 100), (6, 0, Some(4)));
    assert_eq!(shown(&mut app, 0).0, 0);
    for code in [KeyCode::PageDown, KeyCode::Down, KeyCode::Home, KeyCode::PageUp] {
        press(&mut app, code);
    }
    assert_eq!(shown(&mut app, 4), (4, 0, Some(0)));
}

#[test]
fn a_child_stays_chosen_wherever_it_is_moved() {
    let mut app = app();
    let chosen = |app: &mut App| {
        let shown = app.children(10);
        shown.rows[shown.chosen.expect("one")].pid
    };
    assert_eq!(chosen(&mut app), Some(4006), "the longest at work");
    press(&mut app, KeyCode::Down);
    assert_eq!(chosen(&mut app), Some(4001));
    press(&mut app, KeyCode::Char('n'));
    assert_eq!(chosen(&mut app), Some(4001));
    press(&mut app, KeyCode::Char('i'));
    assert_eq!(chosen(&mut app), Some(4001));
    let mut next = view();
    next.rows[1].pid = Some(9);
    app.take(Ok(next));
    assert!(chosen(&mut app).is_some_and(|pid| pid != 4001), "it is gone");
}

#[test]
fn a_signal_is_sent_after_one_more_key() {
    let mut app = app();
    press(&mut app, KeyCode::Down);
    let target = Target::of(&view().rows[1]).expect("a child");
    for (answer, expected) in [('t', Some("TERM")), ('k', Some("KILL")), ('y', None), ('q', None)] {
        assert_eq!(press(&mut app, KeyCode::Char('k')), Verdict::Stay);
        assert_eq!(app.mode(), &Mode::Ask(target.clone()));
        match (press(&mut app, KeyCode::Char(answer)), expected) {
            (Verdict::Send(found, (name, _)), Some(expected)) => {
                assert_eq!((&found, name), (&target, expected));
            }
            (verdict, None) => assert_eq!(verdict, Verdict::Stay, "{answer}"),
            (verdict, Some(expected)) => panic!("{answer}: {verdict:?} and not {expected}"),
        }
        assert_eq!(app.mode(), &Mode::Watch);
    }
    app.report("sent SIGTERM to child 4001".to_owned());
    assert_eq!(app.news(), Some("sent SIGTERM to child 4001"));
}

#[test]
fn what_is_typed_filters_until_it_is_taken_back() {
    let mut app = app();
    press(&mut app, KeyCode::Char('/'));
    // None of these quits, sorts or signals.
    for character in "q1k".chars() {
        assert_eq!(press(&mut app, KeyCode::Char(character)), Verdict::Stay);
    }
    assert_eq!(app.filter().text(), "q1k");
    for _ in 0..3 {
        press(&mut app, KeyCode::Backspace);
    }
    for character in "Page/1".chars() {
        press(&mut app, KeyCode::Char(character));
    }
    assert_eq!(app.children(10).rows.len(), 1);
    press(&mut app, KeyCode::Enter);
    assert_eq!(app.mode(), &Mode::Watch);
    assert_eq!(app.children(10).rows.len(), 1);
    assert_eq!(press(&mut app, KeyCode::Esc), Verdict::Stay, "the first one ends the filter");
    assert_eq!(app.children(10).rows.len(), 6);
    assert_eq!(press(&mut app, KeyCode::Esc), Verdict::Quit);
}

#[test]
fn help_goes_with_the_next_key() {
    let mut app = app();
    press(&mut app, KeyCode::Char('?'));
    assert_eq!(app.mode(), &Mode::Help);
    assert_eq!(press(&mut app, KeyCode::Char('q')), Verdict::Stay);
    assert_eq!(app.mode(), &Mode::Watch);
}

#[test]
fn a_space_pauses_and_goes_on() {
    let mut app = app();
    press(&mut app, KeyCode::Char(' '));
    assert!(app.is_paused());
    press(&mut app, KeyCode::Char(' '));
    assert!(!app.is_paused());
}

#[test]
fn a_board_that_was_left_behind_is_no_daemon() {
    let mut app = app();
    let mut next = view();
    next.creator_life = Life::Gone;
    app.take(Ok(next.clone()));
    app.take(Ok(next));
    let trouble = "hello 0.1.0, pid 3999, has ended without removing its board";
    assert_eq!(app.trouble(), Some(trouble));
    assert_eq!(app.lost_for(), Duration::from_secs(4));
    app.take(Ok(view()));
    assert_eq!((app.trouble(), app.lost_for()), (None, Duration::ZERO));
}
