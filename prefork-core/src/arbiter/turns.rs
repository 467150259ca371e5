//! Whose turn it is where there is not one child for each pool that needs any.
//!
//! A pool that has one keeps it for a turn, at least while it does something; then it goes to the one that has waited for
//! longest, once there is room for a child of that. It takes a program's start each time, so turns are long; but nobody waits
//! for ever.

use std::{collections::BTreeMap, time::Duration};

use super::{ceiling::Amount, pool::Pool};
use crate::{Time, pools::PoolId};

/// How long a pool has its only child while others have none.
const TURN: Duration = Duration::from_secs(2);

/// One that has done nothing for so long gives it up before.
const REST: Duration = Duration::from_millis(200);

/// Who is first, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// It has its turn, and does something.
    Holds,
    /// It waits since then.
    Waits(Time),
    /// Its turn is over.
    Over,
    /// It has nothing to do.
    Idle,
    /// It has had its turn, and finishes what it has in hand.
    Leaves,
}

fn place(pool: &Pool, now: Time) -> Place {
    let is_idle = pool.has_reported && pool.busy_within(now, REST) == 0;
    match pool.cap {
        0 if pool.bound() > 0 => Place::Leaves,
        0 => Place::Waits(pool.since),
        _ if is_idle => Place::Idle,
        _ if now.since(pool.since) < TURN => Place::Holds,
        _ => Place::Over,
    }
}

/// Whether a pool competes for its first child.
fn competes(pool: &Pool) -> bool {
    pool.minimum() == 0 && pool.wanted() > 0
}

/// Returns what each pool has before any has more than it must: its minimum, or one child if it wants any and it is its turn.
pub(super) fn first_children(
    pools: &BTreeMap<PoolId, Pool>,
    sizes: &[u64],
    capacity: Amount,
    now: Time,
) -> Vec<u32> {
    let mut shares: Vec<u32> = pools.values().map(Pool::minimum).collect();
    let minimums = shares.iter().zip(sizes).map(|(share, size)| Amount::of(*share, *size));
    let mut left = capacity.without(minimums.sum());
    let one = |index: usize| Amount::of(1, sizes[index]);
    let competing = pools.values().enumerate().filter(|(_, pool)| competes(pool));
    // One for which there would be no room if it were alone holds up nobody.
    let competing = competing.filter(|(index, _)| left.holds(one(*index)));
    let mut order: Vec<_> = competing.map(|(index, pool)| (place(pool, now), index)).collect();
    if !left.holds(order.iter().map(|(_, index)| one(*index)).sum()) {
        order.sort_unstable();
    }
    for (_, index) in order {
        // Those after it have smaller children, and would go before it for ever.
        if !left.holds(one(index)) {
            break;
        }
        (shares[index], left) = (1, left.without(one(index)));
    }
    shares
}

/// Returns when the next turn is over, while others wait for theirs.
pub(super) fn next(pools: &BTreeMap<PoolId, Pool>, now: Time) -> Option<Time> {
    let competing = || pools.values().filter(|pool| competes(pool));
    if competing().all(|pool| pool.cap > 0) {
        return None;
    }
    let holding = || competing().filter(|pool| place(pool, now) == Place::Holds);
    let over = holding().map(|pool| pool.since + TURN);
    let idle = holding().filter(|pool| pool.need.busy == 0);
    over.chain(idle.filter_map(|pool| pool.calms_at(now, REST))).min()
}
