//! The scaling policy alone: a table of small cases, properties, and an oracle.

use std::time::Duration;

use prefork_core::{Load, Ramp, Scaling, ScalingPolicy, Tally, Time};
use proptest::prelude::*;

const fn at(ms: u64) -> Time {
    Time::after_origin(Duration::from_millis(ms))
}

const fn tally(starting: u32, idle: u32, busy: u32, leaving: u32) -> Tally {
    Tally { starting, idle, busy, leaving }
}

#[test]
fn growth_as_a_table() {
    use Scaling::{Hold, Spawn};
    let policy = ScalingPolicy::new(3, 10);
    let table = [
        // starting, idle, busy, leaving; waiting; what follows
        ((0, 3, 0, 0), Some(0), Hold),
        ((0, 1, 2, 0), Some(0), Hold),
        ((0, 0, 3, 0), Some(0), Spawn(1)),
        ((1, 0, 3, 0), Some(0), Hold),
        ((0, 0, 3, 0), Some(4), Spawn(5)),
        ((2, 0, 3, 0), Some(4), Spawn(3)),
        ((0, 2, 1, 0), Some(4), Spawn(3)),
        ((0, 0, 3, 0), Some(100), Spawn(7)),
        ((0, 0, 3, 5), Some(100), Spawn(2)),
        ((0, 0, 10, 0), Some(100), Hold),
        ((0, 0, 5, 5), Some(100), Hold),
        ((0, 0, 0, 0), Some(0), Spawn(3)),
        ((0, 1, 0, 9), Some(0), Hold),
        ((0, 1, 0, 0), None, Spawn(2)),
        ((0, 0, 3, 0), None, Spawn(1)),
        ((0, 1, 3, 0), None, Hold),
        ((1, 0, 3, 0), None, Hold),
        ((0, 0, 10, 0), None, Hold),
    ];
    for ((starting, idle, busy, leaving), waiting, expected) in table {
        let load = Load { tally: tally(starting, idle, busy, leaving), waiting };
        assert_eq!(policy.decide(&mut Ramp::new(), load, at(0)), expected, "{load:?}");
    }
}

#[test]
fn a_burst_is_met_in_one_step_up_to_its_bound() {
    let mut policy = ScalingPolicy::new(3, 1000);
    let load = Load { tally: tally(0, 0, 3, 0), waiting: Some(500) };
    assert_eq!(policy.decide(&mut Ramp::new(), load, at(0)), Scaling::Spawn(64));
    policy.step = 1000;
    assert_eq!(policy.decide(&mut Ramp::new(), load, at(0)), Scaling::Spawn(501));
}

#[test]
fn growth_doubles_where_nobody_knows_what_waits() {
    let policy = ScalingPolicy::new(1, 150);
    let mut ramp = Ramp::new();
    let mut busy = 1;
    let steps: Vec<u32> = (0..9)
        .map(|step| {
            let load = Load { tally: tally(0, 0, busy, 0), waiting: None };
            let Scaling::Spawn(more) = policy.decide(&mut ramp, load, at(step * 20)) else {
                return 0;
            };
            let starting = Load { tally: tally(more, 0, busy, 0), waiting: None };
            let meanwhile = policy.decide(&mut ramp, starting, at(step * 20 + 10));
            assert_eq!(meanwhile, Scaling::Hold, "those under way are waited for");
            busy += more;
            more
        })
        .collect();
    assert_eq!(steps, [1, 2, 4, 8, 16, 32, 64, 22, 0]);
}

#[test]
fn shrinking_waits_for_calm_and_goes_in_growing_steps() {
    let policy = ScalingPolicy::new(3, 150);
    let mut ramp = Ramp::new();
    let busy = Load { tally: tally(0, 0, 100, 0), waiting: Some(0) };
    assert_eq!(policy.decide(&mut ramp, busy, at(0)), Scaling::Spawn(1));
    let mut staying = 101;
    let mut now = at(1);
    let mut steps = Vec::new();
    let mut first = None;
    while staying > 3 {
        let idle = Load { tally: tally(0, staying, 0, 0), waiting: Some(0) };
        if let Scaling::Retire(fewer) = policy.decide(&mut ramp, idle, now) {
            first.get_or_insert(now);
            staying -= fewer;
            steps.push(fewer);
        }
        now = ramp.due().expect("there are too many, so something follows");
    }
    assert_eq!(steps, [1, 2, 4, 8, 16, 32, 35]);
    assert_eq!(first, Some(at(10_001)), "they were needed until they were seen idle");
    assert_eq!(now, at(17_001));
    let rest = Load { tally: tally(0, 3, 0, 0), waiting: Some(0) };
    assert_eq!(policy.decide(&mut ramp, rest, now), Scaling::Hold);
    assert_eq!(ramp.due(), None, "a pool at rest needs no timer");
}

/// Who is asked seldom knows of the end of a load only later; who is told when it was, as soon as he is asked.
#[test]
fn the_calm_time_begins_when_a_load_has_ended() {
    let policy = ScalingPolicy::new(1, 10);
    let load = |busy, idle| Load { tally: tally(0, idle, busy, 0), waiting: None };
    let first_retirement = |told: Option<u64>| {
        let mut ramp = Ramp::new();
        assert_eq!(policy.decide(&mut ramp, load(5, 1), at(0)), Scaling::Hold);
        if let Some(told) = told {
            policy.note(&mut ramp, load(0, 6), at(told));
        }
        let mut now = at(30_000);
        while policy.decide(&mut ramp, load(0, 6), now) == Scaling::Hold {
            now = ramp.due().expect("something follows");
        }
        now
    };
    assert_eq!(
        first_retirement(None),
        at(40_000),
        "they were busy all the time, for all that is known"
    );
    assert_eq!(first_retirement(Some(25_000)), at(35_000));
    assert_eq!(first_retirement(Some(8_000)), at(30_000), "the calm time was over before");
}

#[test]
fn a_pool_at_rest_needs_no_timer_however_many_it_is_to_spare() {
    let mut policy = ScalingPolicy::new(3, 10);
    policy.min_spare = 5;
    let mut ramp = Ramp::new();
    let mut load = Load { tally: tally(0, 8, 0, 0), waiting: Some(0) };
    let mut now = at(0);
    for _ in 0..20 {
        if let Scaling::Retire(fewer) = policy.decide(&mut ramp, load, now) {
            load.tally.idle -= fewer;
        }
        let Some(due) = ramp.due() else { break };
        now = due;
    }
    assert_eq!((load.tally.idle, ramp.due()), (5, None));
}

#[test]
fn a_light_load_does_not_slow_the_shrinking_down() {
    let policy = ScalingPolicy::new(3, 150);
    let mut ramp = Ramp::new();
    let busy = Load { tally: tally(0, 0, 100, 0), waiting: Some(0) };
    policy.decide(&mut ramp, busy, at(0));
    let (mut staying, mut looks) = (101, 0);
    while staying > 6 && looks < 1000 {
        looks += 1;
        // Three at work, and every third look sees a connection that is about to be taken.
        let waiting = Some(u32::from(looks % 3 == 0));
        let load = Load { tally: tally(0, staying - 3, 3, 0), waiting };
        if let Scaling::Retire(fewer) = policy.decide(&mut ramp, load, at(looks * 150)) {
            staying -= fewer;
        }
    }
    assert!(looks * 150 <= 20_000, "{staying} are left after {} ms", looks * 150);
}

#[test]
fn a_wrong_shrink_is_undone_at_once_and_makes_the_next_one_slower() {
    let policy = ScalingPolicy::new(3, 150);
    let mut ramp = Ramp::new();
    let mut now = at(0);
    let mut waits = Vec::new();
    for _ in 0..5 {
        let busy = Load { tally: tally(0, 0, 20, 0), waiting: Some(0) };
        assert_eq!(policy.decide(&mut ramp, busy, now), Scaling::Spawn(1));
        let calm_since = now;
        loop {
            let idle = Load { tally: tally(0, 21, 0, 0), waiting: Some(0) };
            if let Scaling::Retire(_) = policy.decide(&mut ramp, idle, now) {
                break;
            }
            now = ramp.due().expect("there are too many");
        }
        waits.push(now.since(calm_since).as_secs());
        now = now + Duration::from_secs(1);
    }
    assert_eq!(waits, [10, 20, 40, 80, 80]);
}

#[test]
fn what_doubling_has_spawned_is_not_retired_a_moment_later() {
    let policy = ScalingPolicy::new(2, 20);
    let mut ramp = Ramp::new();
    let mut decide = |starting, idle, busy, ms| {
        let load = Load { tally: tally(starting, idle, busy, 0), waiting: None };
        policy.decide(&mut ramp, load, at(ms))
    };
    assert_eq!(decide(0, 2, 0, 0), Scaling::Hold);
    assert_eq!(decide(0, 0, 2, 100), Scaling::Spawn(1));
    assert_eq!(decide(1, 0, 2, 110), Scaling::Hold);
    assert_eq!(decide(0, 0, 3, 120), Scaling::Spawn(2));
    assert_eq!(decide(2, 1, 2, 130), Scaling::Hold);
    assert_eq!(decide(2, 3, 0, 5000), Scaling::Hold);
}

#[test]
fn spares_are_kept_as_apache_keeps_them() {
    let mut policy = ScalingPolicy::new(5, 150);
    policy.min_spare = 5;
    policy.max_spare = Some(10);
    let decide = |idle, busy| {
        let load = Load { tally: tally(0, idle, busy, 0), waiting: Some(0) };
        policy.decide(&mut Ramp::new(), load, at(0))
    };
    assert_eq!(decide(5, 20), Scaling::Hold);
    assert_eq!(decide(4, 21), Scaling::Spawn(1));
    assert_eq!(decide(0, 25), Scaling::Spawn(5));
    assert_eq!(decide(10, 20), Scaling::Hold);
    assert_eq!(decide(11, 20), Scaling::Retire(1));
    assert_eq!(decide(5, 0), Scaling::Hold);
}

/// The policy, written again without cleverness: the whole history, searched again every time.
#[derive(Default)]
struct Oracle {
    history: Vec<(Time, u32)>,
    lasting: u32,
    growth: u32,
    shrink: u32,
    retired: Option<Time>,
    patience: u32,
}

impl Oracle {
    fn decide(&mut self, policy: &ScalingPolicy, load: Load, now: Time) -> Scaling {
        let Load { tally, waiting } = load;
        let queue = waiting.unwrap_or(0);
        let calm = policy.calm * self.patience.max(1);
        let need = (tally.busy + queue + policy.min_spare).clamp(policy.min, policy.max);
        if self.history.is_empty() {
            self.lasting = tally.staying();
        }
        self.history.push((now, self.lasting));
        self.history.push((now, need));
        self.lasting = need;
        let in_window = self.history.iter().filter(|(at, _)| now.since(*at) < calm);
        let mut keep = in_window.map(|(_, need)| *need).max().expect("the one just pushed");

        if tally.idle >= policy.min_spare || waiting.is_some() {
            self.growth = 0;
        }
        let free = tally.idle + tally.starting;
        let mut grow = (queue + policy.min_spare).saturating_sub(free);
        if grow > 0 && waiting.is_none() {
            grow = grow.max(2 * self.growth);
        }
        grow = grow.min(policy.step).max(policy.min.saturating_sub(tally.staying()));
        grow = grow.min(policy.max - tally.alive());
        if grow > 0 {
            if waiting.is_none() {
                self.growth = grow;
            }
            if let Some(retired) = self.retired.take() {
                self.patience =
                    if now.since(retired) < calm { (2 * self.patience.max(1)).min(8) } else { 1 };
            }
            self.shrink = 0;
            self.history.push((now, (tally.staying() + grow).min(policy.max)));
            return Scaling::Spawn(grow);
        }
        if let Some(max_spare) = policy.max_spare {
            keep = keep.min(policy.min.max(tally.busy + max_spare.max(policy.min_spare)));
        }
        let excess = (tally.busy + tally.idle).saturating_sub(keep);
        if excess == 0 {
            self.shrink = 0;
        }
        let excess = excess.min(tally.idle);
        if excess == 0 || queue > 0 {
            return Scaling::Hold;
        }
        if self.retired.is_some_and(|retired| now < retired + policy.pace) {
            return Scaling::Hold;
        }
        self.shrink = if self.shrink == 0 { 1 } else { 2 * self.shrink }.min(excess);
        self.retired = Some(now);
        Scaling::Retire(self.shrink)
    }
}

fn arb_policy() -> impl Strategy<Value = ScalingPolicy> {
    (1u32..20, 0u32..100, 1u32..6, prop::option::of(0u32..20), 1u32..80).prop_map(
        |(min, more, min_spare, more_spare, step)| {
            let mut policy = ScalingPolicy::new(min, min + more);
            policy.min_spare = min_spare.min(policy.max);
            policy.max_spare = more_spare.map(|more| min_spare + more);
            policy.step = step;
            policy
        },
    )
}

fn arb_load(max: u32) -> impl Strategy<Value = Load> {
    let waiting = prop_oneof![Just(None), Just(Some(0)), (0u32..200).prop_map(Some)];
    (0..=max, 0.0..1.0, 0.0..1.0, 0.0..1.0, waiting).prop_map(
        move |(alive, starting, idle, busy, waiting)| {
            let sum: f64 = starting + idle + busy + 0.01;
            let share = |part: f64| (f64::from(alive) * part / sum).floor();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
            let [starting, idle, busy] = [starting, idle, busy].map(|part| share(part) as u32);
            let leaving = alive - starting - idle - busy;
            Load { tally: Tally { starting, idle, busy, leaving }, waiting }
        },
    )
}

fn arb_case() -> impl Strategy<Value = (ScalingPolicy, Vec<(Load, u64)>)> {
    arb_policy().prop_flat_map(|policy| {
        let loads = prop::collection::vec((arb_load(policy.max), 0u64..6000), 1..60);
        (Just(policy), loads)
    })
}

/// The number of children that a decision leads to.
fn size_after(tally: Tally, decision: Scaling) -> u32 {
    match decision {
        Scaling::Hold => tally.staying(),
        Scaling::Spawn(more) => tally.staying() + more,
        Scaling::Retire(fewer) => tally.staying() - fewer,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decisions_stay_within_bounds((policy, loads) in arb_case()) {
        let (mut ramp, mut now) = (Ramp::new(), at(0));
        for (load, pause) in loads {
            let Load { tally, waiting } = load;
            match policy.decide(&mut ramp, load, now) {
                Scaling::Hold => {}
                Scaling::Spawn(more) => {
                    prop_assert!(more > 0 && tally.alive() + more <= policy.max);
                    prop_assert!(more <= policy.step.max(policy.min));
                }
                Scaling::Retire(fewer) => {
                    prop_assert!(fewer > 0 && fewer <= tally.idle);
                    prop_assert!(tally.staying() - fewer >= policy.min);
                    prop_assert!(waiting.unwrap_or(0) == 0);
                }
            }
            prop_assert!(ramp.due().is_none_or(|due| due > now), "{:?} is not after {now:?}", ramp.due());
            now = now + Duration::from_millis(pause);
        }
    }

    #[test]
    fn decides_as_the_oracle_does((policy, loads) in arb_case()) {
        let (mut ramp, mut oracle, mut now) = (Ramp::new(), Oracle::default(), at(0));
        for (load, pause) in loads {
            let decision = policy.decide(&mut ramp, load, now);
            prop_assert_eq!(decision, oracle.decide(&policy, load, now), "{:?} at {:?}", load, now);
            now = now + Duration::from_millis(pause);
        }
    }

    /// With the same past, more demand never leads to a smaller pool.
    #[test]
    fn responds_monotonically(
        (policy, loads) in arb_case(),
        more_waiting in 0u32..100,
        turn_busy in 0u32..20,
    ) {
        let (mut ramp, mut now) = (Ramp::new(), at(0));
        for (load, pause) in loads {
            let mut more = load;
            more.waiting = load.waiting.map(|waiting| waiting + more_waiting);
            let turned = turn_busy.min(load.tally.idle);
            more.tally.idle -= turned;
            more.tally.busy += turned;
            let size = size_after(load.tally, policy.decide(&mut ramp.clone(), load, now));
            let size_more = size_after(more.tally, policy.decide(&mut ramp.clone(), more, now));
            prop_assert!(size_more >= size, "{load:?}: {size}, {more:?}: {size_more}");
            policy.decide(&mut ramp, load, now);
            now = now + Duration::from_millis(pause);
        }
    }

    /// A constant load reaches a fixed point and stays there.
    #[test]
    fn a_constant_load_is_met_and_the_pool_then_stands_still(
        policy in arb_policy(),
        demand in 0u32..120,
        knows_waiting in any::<bool>(),
        first in 0u32..120,
    ) {
        let (mut ramp, mut now) = (Ramp::new(), at(0));
        let mut size = first.clamp(policy.min, policy.max);
        let mut changed = now;
        while now < at(600_000) {
            let busy = demand.min(size);
            let tally = Tally { busy, idle: size - busy, ..Tally::default() };
            let load = Load { tally, waiting: knows_waiting.then_some(demand - busy) };
            let next = size_after(tally, policy.decide(&mut ramp, load, now));
            if next != size {
                (size, changed) = (next, now);
            }
            now = now + Duration::from_millis(50);
        }
        prop_assert!(changed < at(60_000), "changed last at {changed:?}");
        prop_assert!(size >= (demand + 1).min(policy.max), "{size} for {demand}");
        let enough = (demand + policy.min_spare).clamp(policy.min, policy.max);
        // Without knowledge of what waits, doubling may overshoot, and what is spare is retired.
        prop_assert_eq!(size, enough);
    }
}
