//! Random numbers, and the order of maps that follows from some.

use std::{
    collections::{HashMap, hash_map::RandomState},
    thread,
};

use prefork::Result;
use rand_08::RngCore;

use crate::{Place, nothing};

/// How many numbers of 32 bits the generator of rand 0.8 has ready.
const BLOCK_08: usize = 64;

pub(crate) fn rand_08(place: Place) -> Result {
    place.serve(use_08, nothing, |(), _| Ok(rand_08::random::<u64>().to_string()))
}

/// It notices a fork once it has used up what it has ready.
pub(crate) fn rand_08_remedy(place: Place) -> Result {
    let after = |(): &()| {
        let mut generator = rand_08::thread_rng();
        generator.fill_bytes(&mut [0; 4 * BLOCK_08]);
        Ok(())
    };
    place.serve(use_08, after, |(), _| Ok(rand_08::random::<u64>().to_string()))
}

fn use_08(_: &Place) -> Result {
    rand_08::random::<u64>();
    Ok(())
}

pub(crate) fn rand_09(place: Place) -> Result {
    place.serve(use_09, nothing, |(), _| Ok(rand_09::random::<u64>().to_string()))
}

pub(crate) fn rand_09_remedy(place: Place) -> Result {
    let after = |(): &()| Ok(rand_09::rng().reseed()?);
    place.serve(use_09, after, |(), _| Ok(rand_09::random::<u64>().to_string()))
}

fn use_09(_: &Place) -> Result {
    rand_09::random::<u64>();
    Ok(())
}

pub(crate) fn hash_map(place: Place) -> Result {
    let before = |_: &Place| {
        // The thread's keys are made now, for all maps to come.
        let _ = RandomState::new();
        Ok(())
    };
    place.serve(before, nothing, |(), _| Ok(order(RandomState::new())))
}

/// Another thread has keys of its own, from the kernel.
pub(crate) fn hash_map_remedy(place: Place) -> Result {
    let before = |_: &Place| {
        let _ = RandomState::new();
        Ok(())
    };
    place.serve(before, nothing, |(), _| {
        let keys = thread::spawn(RandomState::new).join().map_err(|_| "the thread has panicked")?;
        Ok(order(keys))
    })
}

fn order(keys: RandomState) -> String {
    let mut map = HashMap::with_hasher(keys);
    map.extend((0..20).map(|key| (key, ())));
    map.keys().map(i32::to_string).collect::<Vec<_>>().join(" ")
}
