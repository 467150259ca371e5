use proptest::prelude::*;

use super::*;

const CALM: Duration = Duration::from_secs(10);

fn spares(least: u32, max_children: u32) -> Spares {
    let config = Config::new(least, max_children).expect("valid");
    Spares::new(Bounds::new(&config, Tuning::DEFAULT))
}

const fn at(us: u64) -> Time {
    Time::after_origin(Duration::from_micros(us))
}

#[test]
fn as_many_wait_as_clients_come_while_a_child_starts() {
    for (every_us, start_ms, expected) in [
        (1_000_000, 5, 3),
        (10_000, 5, 3),
        (1_000, 5, 13),
        (500, 5, 24),
        (100, 50, 150),
        (5_000, 200, 88),
    ] {
        let mut spares = spares(3, 150);
        spares.came_up(Duration::from_millis(start_ms));
        (0..2_000).for_each(|n| spares.taken(at(n * every_us)));
        // Half a start of deviation, twice, is as much again; and what chance may add.
        let wanted = spares.wanted(at(2_000 * every_us));
        assert_eq!(wanted, expected, "a client every {every_us} us, a start of {start_ms} ms");
    }
}

#[test]
fn who_waits_to_be_accepted_is_added_to_who_was_taken() {
    let mut spares = spares(3, 150);
    spares.came_up(Duration::from_millis(5));
    (0..3).for_each(|_| spares.taken(at(0)));
    spares.waiting(at(1), 97);
    assert_eq!(spares.wanted(at(1)), 110);
    assert_eq!(spares.target(at(1), 0), 64, "no more than that start at a time");
    assert_eq!(spares.target(at(1), 60), 110);
}

#[test]
fn how_long_a_start_takes_is_learned_again() {
    let mut spares = spares(1, 150);
    spares.came_up(Duration::from_millis(500));
    (0..100).for_each(|_| spares.came_up(Duration::from_millis(2)));
    (0..1_000).for_each(|n| spares.taken(at(n * 1_000)));
    assert!(spares.wanted(at(1_000_000)) <= 5, "{spares:?}");
}

/// Asks at each due time, and does what is decided; returns when, and how many were left then.
fn shrink(spares: &mut Spares, mut now: Time, mut waiting: usize) -> Vec<(u64, usize)> {
    let mut steps = Vec::new();
    while let Some(due) = spares.due(now, waiting) {
        now = now.max(due);
        let fewer = spares.surplus(now, waiting) as usize;
        waiting -= fewer;
        if fewer > 0 {
            steps.push((now.since_origin().as_secs(), waiting));
        }
    }
    steps
}

#[test]
fn those_that_are_not_needed_go_after_the_calm_time_ever_more_at_a_time() {
    let mut spares = spares(3, 150);
    spares.waiting(at(0), 16);
    let steps = shrink(&mut spares, at(0), 20);
    assert_eq!(steps, [(10, 19), (11, 17), (12, 13), (13, 5), (14, 3)]);
}

/// What has happened, in the order of time: a client was taken, so many wait, or a child has come up.
fn arb_past() -> impl Strategy<Value = Vec<(u64, u8, u32)>> {
    prop::collection::vec((0u64..3_000_000, 0u8..3, 0u32..2_000), 0..200)
}

fn after(past: Vec<(u64, u8, u32)>, spares: &mut Spares) -> Time {
    past.into_iter().fold(at(0), |now, (later, what, number)| {
        let now = now + Duration::from_micros(later);
        match what {
            0 => spares.taken(now),
            1 => spares.waiting(now, number),
            _ => spares.came_up(Duration::from_millis(u64::from(number))),
        }
        now
    })
}

proptest! {
    #[test]
    fn as_many_are_wanted_as_the_bounds_allow(
        least in 1u32..20, more in 0u32..200, past in arb_past(), waiting in 0usize..400,
    ) {
        let mut spares = spares(least, least + more);
        let now = after(past, &mut spares);
        let wanted = spares.wanted(now);
        prop_assert!((least..=least + more).contains(&wanted), "{}", wanted);
        prop_assert!(spares.target(now, waiting) <= wanted);
        let step = Tuning::DEFAULT.step.max(least);
        prop_assert!(spares.target(now, waiting) as usize <= waiting + step as usize);
    }

    #[test]
    fn nobody_is_retired_who_was_needed_within_the_calm_time(
        past in arb_past(), waiting in 0usize..400,
    ) {
        let mut spares = spares(3, 150);
        let now = after(past, &mut spares);
        let fewer = spares.surplus(now, waiting) as usize;
        prop_assert!(fewer == 0 || waiting - fewer >= spares.wanted(now) as usize);
    }

    /// However it was, once nobody comes the pool has the least within a bounded time, and no timer then.
    #[test]
    fn at_rest_the_least_are_left(past in arb_past(), waiting in 3usize..150) {
        let mut spares = spares(3, 150);
        let now = after(past, &mut spares);
        let steps = shrink(&mut spares, now, waiting);
        let (last, left) = steps.last().copied().unwrap_or((0, waiting));
        prop_assert_eq!(left, 3);
        let limit = CALM + 10 * Tuning::DEFAULT.pace;
        prop_assert!(last <= (now + limit).since_origin().as_secs());
    }

    /// The count by which a pool grows, written differently: of all clients those within one start of the last.
    #[test]
    fn a_client_counts_for_as_long_as_a_start_takes(
        start_ms in 2u64..50, pauses in prop::collection::vec(0u64..20_000, 1..100),
    ) {
        let mut spares = spares(1, 60_000);
        let start = Duration::from_millis(start_ms);
        spares.came_up(start);
        let times: Vec<Time> = pauses
            .iter()
            .scan(0, |at, pause| { *at += pause; Some(*at) })
            .map(at)
            .collect();
        times.iter().for_each(|at| spares.taken(*at));
        let within = |end: Time| {
            times.iter().filter(|at| **at <= end && end.since(**at) < 2 * start).count()
        };
        // At equal times all that came up to then are counted by the last of them.
        let most = times.iter().map(|at| within(*at)).max().unwrap_or(0);
        let now = *times.last().expect("there is one");
        prop_assert_eq!(spares.wanted(now) as usize, most + most.isqrt());
    }
}
