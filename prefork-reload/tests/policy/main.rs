//! The policy alone: tables of courses of events; properties, and an oracle.

mod properties;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use prefork_core::Time;
use prefork_reload::{Changes, Policy, Stamp, Stamps, Unknown};

const SETTLE: Duration = Duration::from_millis(200);
const INTERVAL: Duration = Duration::from_secs(2);

const fn at(ms: u64) -> Time {
    Time::after_origin(Duration::from_millis(ms))
}

/// A number of different stamps.
static STAMPS: LazyLock<Vec<Stamp>> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a temporary directory");
    (0..64)
        .map(|n| {
            let path = directory.path().join(n.to_string());
            fs::write(&path, "").expect("writable");
            Stamp::of(&fs::metadata(&path).expect("just written"))
        })
        .collect()
});

/// A look at files called `/0`, `/1` ...: `None` where there is nothing.
fn look(files: &[Option<usize>]) -> Stamps {
    let mut stamps = Stamps::new();
    for (n, file) in files.iter().enumerate() {
        if let Some(file) = file {
            stamps.insert(format!("/{n}"), STAMPS[*file]);
        }
    }
    stamps
}

/// A look that finds the named file `/0` missing, besides others.
fn look_without_the_first(others: &[Option<usize>]) -> Stamps {
    let mut stamps = Stamps::new();
    for (path, stamp) in look(&[&[None], others].concat()).iter() {
        stamps.insert(path, stamp);
    }
    stamps.insert_unknown("/0", Unknown::Missing);
    stamps
}

fn text(changes: Option<Changes>) -> String {
    changes.map_or_else(String::new, |changes| changes.to_string())
}

/// Looks and their times.
type Course = Vec<(u64, Stamps)>;

/// What is to be reported, and when.
type Reports = &'static [(u64, &'static str)];

/// Runs a course of looks, and says at which times what was reported.
fn reports(course: &[(u64, Stamps)]) -> Vec<(u64, String)> {
    let mut policy = Policy::new(INTERVAL);
    course
        .iter()
        .map(|(ms, seen)| (*ms, text(policy.observe(at(*ms), seen))))
        .filter(|(_, text)| !text.is_empty())
        .collect()
}

#[test]
fn courses_of_events_as_a_table() {
    let a = || look(&[Some(0)]);
    let b = || look(&[Some(1)]);
    let gone = || look(&[None]);
    let missing = || look_without_the_first(&[]);
    let table: [(&str, Course, Reports); 14] = [
        ("nothing changes", vec![(0, a()), (2000, a()), (4000, a())], &[]),
        ("a change settles", vec![(0, a()), (2000, b()), (2200, b())], &[(2200, "/0 changed")]),
        ("not yet", vec![(0, a()), (2000, b()), (2199, b())], &[]),
        (
            "looks in between do not matter",
            vec![(0, a()), (2000, b()), (2100, b()), (2199, b()), (2200, b())],
            &[(2200, "/0 changed")],
        ),
        (
            "once",
            vec![(0, a()), (2000, b()), (2200, b()), (2400, b()), (9000, b())],
            &[(2200, "/0 changed")],
        ),
        (
            "moved in between",
            vec![(0, a()), (2000, b()), (2100, look(&[Some(2)])), (2200, b())],
            &[],
        ),
        ("back again", vec![(0, a()), (2000, b()), (2100, a()), (2300, a()), (9000, a())], &[]),
        (
            "a file of a directory vanishes",
            vec![(0, a()), (2000, gone()), (2200, gone())],
            &[(2200, "/0 vanished")],
        ),
        ("appears", vec![(0, gone()), (2000, a()), (2200, a())], &[(2200, "/0 appeared")]),
        ("a named file is missing", vec![(0, a()), (2000, missing()), (90_000, missing())], &[]),
        (
            "deleted, then made again",
            vec![(0, a()), (2000, missing()), (4000, missing()), (6000, b()), (6200, b())],
            &[(6200, "/0 changed")],
        ),
        (
            "missing from the start",
            vec![(0, missing()), (2000, missing()), (4000, a()), (4200, a())],
            &[(4200, "/0 appeared")],
        ),
        (
            "another file does not wait for the missing one",
            vec![
                (0, look(&[Some(0), Some(1)])),
                (2000, look_without_the_first(&[Some(2)])),
                (2200, look_without_the_first(&[Some(2)])),
                (4000, look(&[Some(3), Some(2)])),
                (4200, look(&[Some(3), Some(2)])),
            ],
            &[(2200, "/1 changed"), (4200, "/0 changed")],
        ),
        (
            "all that moved is one report",
            vec![
                (0, look(&[Some(0), Some(1), None])),
                (2000, look(&[Some(2), Some(1), None])),
                (2100, look(&[Some(2), None, None])),
                (2200, look(&[Some(2), None, Some(3)])),
                (2400, look(&[Some(2), None, Some(3)])),
            ],
            &[(2400, "/0 changed, /1 vanished and /2 appeared")],
        ),
    ];
    for (case, course, expected) in table {
        let reports = reports(&course);
        let reports: Vec<_> = reports.iter().map(|(ms, text)| (*ms, text.as_str())).collect();
        assert_eq!(reports, expected, "{case}");
    }
}

#[test]
fn a_file_that_never_rests_is_looked_at_less_and_less_and_never_reported() {
    let mut policy = Policy::new(INTERVAL);
    policy.begin(at(0), &look(&[Some(0)]));
    let mut looks = 0;
    // A day, with a hint every millisecond in which hints are taken.
    while let Some(due) = policy.due().filter(|due| *due < at(86_400_000)) {
        looks += 1;
        assert_eq!(policy.observe(due, &look(&[Some(looks % 64)])), None);
        policy.hint(due + Duration::from_millis(1));
    }
    assert!((54_000..54_010).contains(&looks), "{looks} looks, one every 1.6 s are 54,000");
}

/// Looks whenever one is due, at what the files are then; returns what was reported when.
fn watched(policy: &mut Policy, until: u64, files: impl Fn(u64) -> Stamps) -> Vec<(u64, String)> {
    let mut reports = Vec::new();
    while let Some(due) = policy.due().filter(|due| *due < at(until)) {
        let ms = u64::try_from(due.since_origin().as_millis()).expect("small");
        let changes = policy.observe(due, &files(ms));
        reports.extend(changes.map(|changes| (ms, changes.to_string())));
    }
    reports
}

#[test]
fn one_file_that_never_rests_does_not_keep_the_others_from_being_judged() {
    // `/0` is a log that gets a line ten times a second. `/1` changes while it is not yet known as one, and when it is.
    let files = |ms: u64| {
        let log = if ms < 90_000 { ms / 100 % 50 } else { 51 };
        let own = match ms {
            ..5000 => 60,
            5000..60_000 => 61,
            60_000.. => 62,
        };
        look(&[usize::try_from(log).ok(), Some(own)])
    };
    let mut policy = Policy::new(INTERVAL);
    policy.begin(at(0), &files(0));
    let reports = watched(&mut policy, 80_000, files);
    let texts: Vec<_> = reports.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["/1 changed", "/1 changed"]);
    assert!((30_000..36_000).contains(&reports[0].0), "{reports:?}");
    assert!((60_200..63_000).contains(&reports[1].0), "{reports:?}");
    assert_eq!(policy.restless().collect::<Vec<_>>(), [Path::new("/0")]);
    // It counts again once it has been still for as long.
    let reports = watched(&mut policy, 150_000, files);
    let texts: Vec<_> = reports.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["/0 changed"]);
    assert!((120_000..124_000).contains(&reports[0].0), "{reports:?}");
    assert_eq!(policy.restless().count(), 0);
}

#[test]
fn what_takes_long_to_look_at_is_looked_at_less() {
    let mut policy = Policy::new(INTERVAL);
    let took = |ms| {
        let mut seen = look(&[Some(0)]);
        seen.set_took(Duration::from_millis(ms));
        seen
    };
    // The time between two looks, each of which takes so long.
    let table = [(0, 2000), (10, 2000), (30, 6000), (100, 20_000), (86_400_000, 60_000)];
    for (took_ms, expected) in table {
        policy.begin(at(0), &took(took_ms));
        let due = policy.due().expect("there is an interval");
        assert_eq!(due, at(took_ms + expected), "{took_ms} ms");
        assert_eq!(policy.observe(due, &took(took_ms)), None);
        assert_eq!(policy.due(), Some(due + Duration::from_millis(took_ms + expected)));
        // What the kernel reports is looked at as soon as ever.
        let later = due + Duration::from_millis(took_ms + 1000);
        policy.hint(later);
        assert_eq!(policy.due(), Some(later));
    }
}

#[test]
fn hints_that_lead_to_nothing_are_heeded_less_and_less() {
    let mut policy = Policy::new(Duration::MAX);
    policy.begin(at(0), &look(&[Some(0)]));
    assert_eq!(policy.due(), None, "only hints count");
    let mut now = at(0);
    let mut gaps = Vec::new();
    for _ in 0..6 {
        policy.hint(now + Duration::from_millis(1));
        assert!(!policy.heeds_hints(), "one is enough");
        let due = policy.due().expect("there was a hint");
        gaps.push(due.since(now).as_millis());
        now = due;
        assert_eq!(policy.observe(now, &look(&[Some(0)])), None);
    }
    assert_eq!(gaps, [200, 400, 800, 1600, 1600, 1600]);
    // After a quiet time the first one is heeded at once ...
    let later = now + Duration::from_secs(5);
    policy.hint(later);
    assert_eq!(policy.due(), Some(later));
    // ... and what it leads to is reported without delay.
    assert_eq!(policy.observe(later, &look(&[Some(1)])), None);
    assert_eq!(policy.due(), Some(later + SETTLE));
    assert!(policy.observe(later + SETTLE, &look(&[Some(1)])).is_some());
    assert_eq!(policy.due(), None);
}

#[test]
fn a_look_that_took_long_counts_from_its_end() {
    let mut policy = Policy::new(INTERVAL);
    policy.begin(at(0), &look(&[Some(0)]));
    // The process was stopped for a day in the middle of a look.
    let mut slow = look(&[Some(1)]);
    slow.set_took(Duration::from_secs(86_400));
    assert_eq!(policy.observe(at(2000), &slow), None);
    assert_eq!(policy.observe(at(86_402_001), &look(&[Some(1)])), None, "it may be in motion");
    assert!(policy.observe(at(86_402_200), &look(&[Some(1)])).is_some());
}

#[test]
fn a_day_without_looks_is_no_rest() {
    let mut policy = Policy::new(INTERVAL);
    policy.begin(at(0), &look(&[Some(0)]));
    policy.observe(at(2000), &look(&[Some(1)]));
    let day = at(86_400_000);
    assert_eq!(policy.observe(day, &look(&[Some(2)])), None, "it is in motion");
    assert_eq!(policy.due().map(|due| due.since(day) <= 2 * SETTLE), Some(true));
    let due = policy.due().expect("there is an interval");
    assert!(policy.observe(due, &look(&[Some(2)])).is_some());
}

#[test]
fn the_times_are_kept_within_sense() {
    let mut policy = Policy::new(Duration::ZERO).settle(Duration::ZERO);
    policy.begin(at(0), &look(&[]));
    assert_eq!(policy.due(), Some(at(20)));
    let mut policy = Policy::new(Duration::MAX).settle(Duration::MAX);
    let end = Time::after_origin(Duration::MAX);
    policy.begin(end, &look(&[]));
    policy.hint(end);
    assert_eq!(policy.observe(end, &look(&[Some(1)])), None);
    assert_eq!(policy.due(), None);
}

#[test]
fn the_stamps_of_the_tests_differ() {
    for (n, stamp) in STAMPS.iter().enumerate() {
        assert!(!STAMPS[..n].contains(stamp), "{stamp:?}");
    }
    let root = fs::metadata("/").expect("always there");
    assert_ne!(root.ino(), 0, "a stamp is of something");
}

#[test]
fn another_interval_counts_from_the_last_look() {
    let seen = look(&[Some(0)]);
    let mut policy = Policy::new(Duration::from_secs(3600));
    policy.set_interval(INTERVAL);
    policy.begin(at(1000), &seen);
    assert_eq!(policy.due(), Some(at(3000)));
    policy.set_interval(Duration::from_secs(60));
    assert_eq!(policy.due(), Some(at(61_000)));
    policy.set_interval(Duration::ZERO);
    assert_eq!(policy.due(), Some(at(1200)));
    policy.set_interval(Duration::MAX);
    assert_eq!(policy.due(), None);
    // What is planned for a reason of its own is not put off.
    policy.hint(at(2000));
    policy.set_interval(INTERVAL);
    assert_eq!(policy.due(), Some(at(2000)));
}
