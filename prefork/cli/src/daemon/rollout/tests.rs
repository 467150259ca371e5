use super::*;

const fn child(number: u64) -> Seen {
    Seen { number, is_leaving: false, failed_rollout: 0, refused_settings: 0 }
}

const fn leaving(number: u64) -> Seen {
    Seen { is_leaving: true, ..child(number) }
}

const fn kept(number: u64, failed_rollout: u64) -> Seen {
    Seen { failed_rollout, ..child(number) }
}

const fn refused(number: u64, refused_settings: u32) -> Seen {
    Seen { refused_settings, ..child(number) }
}

#[test]
fn it_is_done_when_all_that_stay_are_newer_than_the_newest_before() {
    let waiting = |old, all| Progress::Waiting { old, all };
    let goal = Goal::Replaced;
    let done = |children, newest, leaving| Progress::Done(Done { goal, children, newest, leaving });
    let before = |newest| Before { newest, failed: 0, refused: 0 };
    let table = [
        (before(1), vec![child(1), child(1), child(1)], waiting(3, 3)),
        (before(1), vec![child(1), child(2), child(2)], waiting(1, 3)),
        (before(1), vec![child(2), child(2), child(2)], done(3, 2, 0)),
        (before(1), vec![child(2), child(3)], done(2, 3, 0)),
        // One reload was on its way already: its children are old to the next one.
        (before(2), vec![child(2), child(2)], waiting(2, 2)),
        (before(2), vec![child(3), child(2)], waiting(1, 2)),
        (before(1), vec![child(0), child(2)], waiting(1, 2)),
        (before(0), vec![], waiting(0, 0)),
        // Who finishes a request holds nothing up, but somebody must be there in its place.
        (before(1), vec![leaving(1), child(2)], done(1, 2, 1)),
        (before(1), vec![leaving(1), child(1), child(2)], waiting(1, 3)),
        (before(1), vec![leaving(1)], waiting(0, 1)),
        (before(1), vec![kept(1, 2), child(1)], Progress::Failed { generation: 2, old: 2 }),
        (before(1), vec![refused(1, 1), child(1)], Progress::Refused),
        // Who was started after that shows nothing of it.
        (before(1), vec![refused(1, 1), child(2), child(2)], Progress::Refused),
        (Before { newest: 1, failed: 0, refused: 3 }, vec![refused(1, 4)], Progress::Refused),
        (Before { newest: 1, failed: 0, refused: 3 }, vec![refused(1, 3)], waiting(1, 1)),
        // That was another time.
        (Before { newest: 1, failed: 2, refused: 0 }, vec![kept(1, 2), child(1)], waiting(2, 2)),
        (
            Before { newest: 1, failed: 2, refused: 0 },
            vec![kept(1, 3), child(2)],
            Progress::Failed { generation: 3, old: 1 },
        ),
    ];
    for (before, children, expected) in table {
        let found = progress(goal, before, children.iter().copied());
        assert_eq!(found, expected, "{before:?} {children:?}");
    }
}

#[test]
fn what_was_done_is_said_in_words() {
    let (goal, children, newest) = (Goal::Replaced, 1, 7);
    let done = |leaving| Done { goal, children, newest, leaving }.to_string();
    assert_eq!(done(0), "1 child of generation 7");
    assert_eq!(done(1), "1 child of generation 7; 1 old child finishes what it has in hand");
    assert_eq!(done(2), "1 child of generation 7; 2 old children finish what they have in hand");
    let goal = Goal::WritesToNewLogs;
    let reopened = Done { goal, children, newest, leaving: 0 };
    assert_eq!(reopened.to_string(), "no line of 1 child goes to the old ones");
}

#[test]
fn what_is_published_counts_where_children_show_nothing() {
    let waiting = || Progress::Waiting { old: 1, all: 1 };
    let done = |goal, children| Progress::Done(Done { goal, children, newest: 2, leaving: 0 });
    let change = |outcome, reason: Option<&str>| {
        let reason = reason.map(str::to_owned);
        Change { outcome, reason, began: None, ended: None }
    };
    let (logs, reload) = (Goal::WritesToNewLogs, Goal::Replaced);
    let failed = change(Outcome::Failed, Some("no directory"));
    let given_up =
        || Progress::GivenUp { outcome: Outcome::Failed, reason: ": no directory".to_owned() };
    let well = change(Outcome::Done, None);
    let nobody = Progress::Done(Done { goal: logs, children: 0, newest: 0, leaving: 0 });
    for (goal, seen, ended, expected) in [
        (logs, waiting(), None, waiting()),
        (logs, waiting(), Some(&well), nobody),
        (logs, done(logs, 3), Some(&well), done(logs, 3)),
        (logs, done(logs, 3), Some(&failed), given_up()),
        (logs, waiting(), Some(&failed), given_up()),
        (reload, waiting(), Some(&failed), given_up()),
        (reload, waiting(), Some(&well), waiting()),
        (reload, done(reload, 3), Some(&failed), done(reload, 3)),
    ] {
        assert_eq!(conclusion(goal, seen, ended), expected);
    }
}
