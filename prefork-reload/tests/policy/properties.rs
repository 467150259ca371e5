//! What holds for every course of events.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use prefork_reload::{ChangeKind, Changes, Policy, Stamp, Stamps, Unknown};
use proptest::prelude::*;

use crate::{INTERVAL, STAMPS, at, look};

/// One thing that happens: time passes, a file takes another stamp or goes, or is looked at.
#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Put(usize, usize),
    Remove(usize),
    Hint,
    /// The caller looks, whether it is due or not.
    Look,
}

fn arb_steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => prop_oneof![0..50u64, 150..250u64, 1000..3000u64].prop_map(Step::Pass),
        3 => (0..4usize, 0..5usize).prop_map(|(file, stamp)| Step::Put(file, stamp)),
        2 => (0..4usize).prop_map(Step::Remove),
        1 => Just(Step::Hint),
        4 => Just(Step::Look),
    ];
    prop::collection::vec(step, 1..80)
}

/// What is seen of the files; of those below `named` it is not known that they are missing.
fn seen(files: &[Option<usize>; 4], named: usize) -> Stamps {
    let mut stamps = look(files);
    for (n, file) in files.iter().enumerate().take(named) {
        if file.is_none() {
            stamps.insert_unknown(format!("/{n}"), Unknown::Missing);
        }
    }
    stamps
}

/// What must be reported, by the definition: it keeps the whole history, and knows nothing of when
/// to look.
#[derive(Default)]
struct Oracle {
    history: Vec<(u64, BTreeMap<usize, usize>)>,
    known: BTreeMap<usize, usize>,
}

impl Oracle {
    fn look(
        &mut self,
        now: u64,
        files: &[Option<usize>; 4],
        named: usize,
    ) -> Vec<(usize, ChangeKind)> {
        let mut map = BTreeMap::new();
        for (n, file) in files.iter().enumerate() {
            let held = if n < named { self.known.get(&n).copied() } else { None };
            if let Some(stamp) = file.or(held) {
                map.insert(n, stamp);
            }
        }
        self.history.push((now, map.clone()));
        if self.history.len() == 1 {
            self.known = map;
            return Vec::new();
        }
        let equal = self.history.iter().rev().take_while(|(_, seen)| *seen == map);
        let rested = equal.last().is_some_and(|(first, _)| now - first >= 200);
        if !rested {
            return Vec::new();
        }
        let kind = |n: &usize| match (self.known.get(n), map.get(n)) {
            (None, Some(_)) => Some((*n, ChangeKind::Appeared)),
            (Some(_), None) => Some((*n, ChangeKind::Vanished)),
            (Some(old), Some(new)) if old != new => Some((*n, ChangeKind::Changed)),
            (Some(_), Some(_)) | (None, None) => None,
        };
        let changes = (0..4).filter_map(|n| kind(&n)).collect();
        self.known = map;
        changes
    }
}

fn plain(changes: Option<&Changes>) -> Vec<(usize, ChangeKind)> {
    let number = |path: &Path| path.to_str().and_then(|path| path[1..].parse().ok());
    changes
        .into_iter()
        .flat_map(Changes::iter)
        .map(|change| (number(&change.path).expect("a number"), change.kind))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..Default::default() })]

    /// The policy says what the definition says, whenever it is looked.
    #[test]
    fn verdicts_are_those_of_the_definition(steps in arb_steps(), named in 0..5usize) {
        let mut policy = Policy::new(INTERVAL);
        let mut oracle = Oracle::default();
        let mut files = [Some(0), Some(1), None, None];
        let mut now = 0;
        for step in steps {
            match step {
                Step::Pass(ms) => now += ms,
                Step::Put(file, stamp) => files[file] = Some(stamp),
                Step::Remove(file) => files[file] = None,
                Step::Hint => policy.hint(at(now)),
                Step::Look => {
                    let reported = policy.observe(at(now), &seen(&files, named));
                    prop_assert_eq!(plain(reported.as_ref()), oracle.look(now, &files, named), "at {} ms", now);
                }
            }
        }
    }

    /// Whatever has happened, once the files rest, a caller that looks when it is due has seen all
    /// that differs reported within bounded time, once.
    #[test]
    fn all_that_differs_is_reported_once_and_soon(steps in arb_steps(), named in 0..5usize) {
        let mut policy = Policy::new(INTERVAL);
        let mut files = [Some(0), Some(1), None, None];
        // What a caller that acts on the verdicts has.
        let mut acted: BTreeMap<PathBuf, Stamp> = BTreeMap::new();
        let begun = seen(&files, named);
        policy.begin(at(0), &begun);
        acted.extend(begun.iter().map(|(path, stamp)| (path.to_owned(), stamp)));
        let mut now = 0;
        let mut last_look = None;
        let act = |acted: &mut BTreeMap<PathBuf, Stamp>, changes: &Changes, seen: &Stamps| {
            for change in changes {
                match seen.get(&change.path) {
                    Some(stamp) => acted.insert(change.path.clone(), stamp),
                    None => acted.remove(&change.path),
                };
            }
        };
        for step in steps {
            match step {
                Step::Pass(ms) => {
                    now += ms;
                }
                Step::Put(file, stamp) => files[file] = Some(stamp),
                Step::Remove(file) => files[file] = None,
                Step::Hint => policy.hint(at(now)),
                Step::Look => {
                    if policy.due().is_some_and(|due| due <= at(now)) {
                        if let Some(last) = last_look {
                            prop_assert!(now - last >= 200, "looks at {} and {} ms", last, now);
                        }
                        last_look = Some(now);
                        let seen = seen(&files, named);
                        if let Some(changes) = policy.observe(at(now), &seen) {
                            act(&mut acted, &changes, &seen);
                        }
                    }
                }
            }
        }
        let seen = seen(&files, named);
        let rested = now;
        let mut verdicts = 0;
        while let Some(due) = policy.due().filter(|due| *due <= at(rested + 70_000)) {
            let due = due.max(at(now));
            now = u64::try_from(due.since_origin().as_millis()).expect("small");
            if let Some(changes) = policy.observe(due, &seen) {
                verdicts += 1;
                act(&mut acted, &changes, &seen);
            }
        }
        prop_assert!(verdicts <= 1, "reported {} times", verdicts);
        for (n, file) in files.iter().enumerate() {
            let has = acted.get(Path::new(&format!("/{n}"))).copied();
            match file {
                Some(stamp) => prop_assert_eq!(has, Some(STAMPS[*stamp]), "/{}", n),
                None if n >= named => prop_assert_eq!(has, None, "/{}", n),
                None => {}
            }
        }
    }
}
