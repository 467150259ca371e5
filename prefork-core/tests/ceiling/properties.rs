//! What holds whatever happens. That no more are started than may be is checked at each start.

use prefork_core::{AdoptedAs, Event, Exit, Measuring, Pool, Request, Supervisor, Tuning};
use proptest::prelude::*;

use crate::crowd::{Crowd, by_load};

#[derive(Clone, Debug)]
enum Step {
    Ceiling(u32),
    Come(usize, u64),
    Run(u64),
    Reload,
    More,
    Fewer,
    Kill(usize),
    Upgrade,
}

fn arb_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0u32..40).prop_map(Step::Ceiling),
        3 => (1usize..40, 1u64..3000).prop_map(|(requests, ms)| Step::Come(requests, ms)),
        4 => (1u64..1500).prop_map(Step::Run),
        1 => Just(Step::Reload),
        1 => Just(Step::More),
        1 => Just(Step::Fewer),
        1 => (1usize..10).prop_map(Step::Kill),
        1 => Just(Step::Upgrade),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    /// That no more are started than may be is checked at each start.
    #[test]
    fn whatever_happens_the_pool_keeps_to_its_ceiling_and_ends_nobody_for_it(
        (prefork, more) in (1u32..8, 0u32..20),
        pool in prop_oneof![
            2 => Just(Pool::BY_LOAD),
            1 => Just(Pool::Fixed),
            1 => Just(Pool::OneShot(Tuning::DEFAULT)),
        ],
        (knows_waiting, is_measured) in any::<(bool, bool)>(),
        first in prop::option::of(1u32..10),
        steps in prop::collection::vec(arb_step(), 0..30),
        last in 1u32..40,
    ) {
        let mut config = by_load(prefork, prefork + more);
        config.pool = pool;
        config.measuring =
            if is_measured { Measuring::Children } else { Measuring::Nothing };
        let killed = steps.iter().any(|step| matches!(step, Step::Kill(_)));
        let mut crowd = Crowd::new(config, first);
        crowd.knows_waiting = knows_waiting;
        for step in steps {
            match step {
                Step::Ceiling(children) => crowd.allow(children),
                Step::Come(requests, ms) => crowd.come(requests, ms),
                Step::Run(ms) => crowd.run(ms),
                Step::Reload => crowd.handle(Event::Requested(Request::Reload)),
                Step::More => crowd.handle(Event::Requested(Request::More)),
                Step::Fewer => crowd.handle(Event::Requested(Request::Fewer)),
                Step::Kill(count) => {
                    let slots: Vec<_> = crowd.children.keys().copied().take(count).collect();
                    for slot in slots {
                        crowd.children.remove(&slot);
                        let exit = Exit::Signal { number: 9, core_dumped: false };
                        crowd.handle(Event::Exited { slot, exit });
                    }
                }
                Step::Upgrade => {
                    let handover = crowd.supervisor.hand_over();
                    let config = crowd.supervisor.config().clone();
                    let adopted_as = AdoptedAs::NewProgram;
                    crowd.supervisor =
                        Supervisor::adopt(config, crowd.now, &handover, adopted_as);
                    crowd.obey();
                }
            }
            let need = crowd.need();
            prop_assert_eq!(need.alive as usize, crowd.alive());
            prop_assert!(need.busy <= need.alive, "{:?}", need);
            prop_assert_eq!(need.ceiling.unwrap_or(u32::MAX), crowd.ceiling);
        }
        crowd.waiting.clear();
        crowd.allow(last);
        crowd.run(5000);
        prop_assert!(crowd.alive() <= last as usize, "{} of {}", crowd.alive(), last);
        prop_assert_eq!(crowd.forced, 0);
        // And it comes back to rest: the longest calm time, and the steps.
        crowd.allow(u32::MAX);
        crowd.run(110_000);
        let prefork = crowd.supervisor.config().prefork();
        prop_assert_eq!(crowd.alive(), prefork as usize);
        let wanted = crowd.need().wanted;
        prop_assert_eq!(wanted, prefork);
        // New ones that are killed may have proven that they do not work.
        let newest = crowd.supervisor.generation().0;
        prop_assert!(killed || crowd.children.values().all(|it| it.generation == newest));
    }
}
