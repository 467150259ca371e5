//! The habits of those who change files, on a real file system with a clock turned by hand: each is
//! one report, whether the kernel reports it to the watcher or that only looks.

mod files;
mod trees;
mod world;

use world::{By, Watch, World};

/// What somebody does, and what is reported of it.
struct Habit {
    name: &'static str,
    watched: &'static [Watch],
    act: fn(&mut World),
    reported: &'static [&'static str],
}

fn run(by: By) {
    let mut failures = Vec::new();
    for habit in files::HABITS.iter().chain(trees::HABITS) {
        let mut world = World::new(habit.watched, by);
        world.pass(5000);
        assert_eq!(world.reports(), [""; 0], "{}: before anything", habit.name);
        (habit.act)(&mut world);
        world.pass(10_000);
        let reports = world.reports();
        if reports != habit.reported {
            failures.push(format!("{}: {reports:?}, not {:?}", habit.name, habit.reported));
        }
        world.pass(100_000);
        assert_eq!(world.reports(), [""; 0], "{}: once is enough", habit.name);
    }
    assert!(failures.is_empty(), "by {by:?}:\n{}", failures.join("\n"));
}

#[test]
fn each_habit_is_one_report_by_looks_alone() {
    run(By::Looks);
}

#[test]
fn each_habit_is_one_report_by_hints_alone() {
    run(By::Hints);
}

#[test]
fn each_habit_is_one_report_by_both() {
    run(By::Both);
}
