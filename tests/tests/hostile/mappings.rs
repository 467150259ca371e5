//! A child has its own page, and no call by which it gets another's.

use std::{fs::File, os::unix::fs::FileExt};

use prefork::scoreboard::{Board, Record};
use prefork_tests::{Lack, PATIENCE, require_root, scene, skip, wait_until};

use crate::siege::{Siege, fixture};

/// A5: whatever a child does to what it shares with its parent, it is its own page, and it stays that.
#[test]
fn no_call_makes_a_mapping_reach_further_than_the_own_page() {
    if !seals_mappings() {
        return skip(Lack::Platform("this kernel has no mseal(2), which Linux 6.10 has"));
    }
    let scene = scene!();
    let Some(siege) = Siege::begin(&scene) else { return };
    let (mut attacker, victim, other) = (siege.puppet(), siege.puppet(), siege.puppet());
    let outcome = attacker.order("mappings");
    for call in
        ["mremap to more", "mremap a copy", "remap_file_pages", "mprotect", "munmap", "mmap over"]
    {
        for gave in outcome.of(&format!("{call} prefork-pages")) {
            assert_eq!(gave, "EPERM", "{call}: {outcome:?}");
        }
    }
    for call in ["/proc/self/mem", "/proc/self/map_files"] {
        for gave in outcome.of(call) {
            assert!(["EACCES", "EPERM", "ENOENT"].contains(&gave), "{call}: {outcome:?}");
        }
    }
    assert_eq!(outcome.of("written by a copy prefork-pages"), ["0"], "{outcome:?}");
    // Its own page it may write to.
    assert_eq!(outcome.of("process_vm_writev prefork-pages"), ["8"], "{outcome:?}");
    // What else is shared is no longer than it is, whatever is mapped of it.
    let beyond = outcome.iter().filter(|(call, _)| call.starts_with("written beyond"));
    assert!(beyond.into_iter().all(|(_, written)| written == "0"), "{outcome:?}");
    // Nobody else has noticed.
    siege.assert_replaced(victim, "after a child has tried to widen its page");
    let pid = other.pid;
    drop((attacker, other));
    assert!(siege.daemon.living().contains(&pid));
    siege.assert_stops();
}

/// A5: the scoreboard that others may read shows the children again, and rightly, after somebody has written all
/// over it.
#[test]
fn the_board_heals_when_somebody_writes_over_it() {
    if !require_root() {
        return;
    }
    let scene = scene!();
    let siege = Siege::of(&scene, fixture(&scene).board().daemon());
    let victim = siege.puppet();
    let path = scene.path("scoreboard");
    let board = File::options().write(true).open(&path).expect("root may");
    let size = board.metadata().expect("it is open").len();
    board.write_all_at(&vec![0xa5; usize::try_from(size).expect("small")], 0).expect("written");
    wait_until(PATIENCE, "the board shows the children", || {
        // A client that comes and goes makes the parent look.
        drop(siege.puppet());
        let snapshot = Board::open(&path).ok().and_then(|board| board.snapshot().ok());
        snapshot.is_some_and(|snapshot| {
            let mut pids: Vec<u32> = snapshot.records().iter().filter_map(Record::pid).collect();
            pids.sort_unstable();
            !pids.is_empty() && pids == siege.daemon.living()
        })
    });
    siege.assert_replaced(victim, "after the board was written over");
    siege.assert_stops();
}

/// Whether the kernel can seal mappings: `mseal(2)` of nothing.
fn seals_mappings() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).filter_map(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(10))
}
