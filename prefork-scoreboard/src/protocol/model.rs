//! The protocol under a model checker, which tries every order that the memory model allows.
//!
//! The writer is the very code that runs in production; a record is four words long here: sequence,
//! checksum and two words that are always published equal.

use super::{CHECKSUM, SEQUENCE, Shadow, Wholeness, Word, judge};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering, fence};

const N: usize = 4;
const ONE: usize = 2;
const OTHER: usize = 3;

type Page = Arc<[AtomicU64; N]>;

impl Word for AtomicU64 {
    fn store(&self, value: u64, order: Ordering) {
        Self::store(self, value, order);
    }

    fn fence(order: Ordering) {
        fence(order);
    }
}

/// Publishes twice while `reader` runs, for all interleavings.
fn check(reader: impl Fn(&Page) + Send + Sync + Copy + 'static) {
    loom::model(move || {
        let page: Page = Arc::new(std::array::from_fn(|_| AtomicU64::new(0)));
        let written = Arc::clone(&page);
        let writer = loom::thread::spawn(move || {
            let mut shadow = Shadow::<N>::following(0);
            for value in 1..=2 {
                shadow.set(ONE, value);
                shadow.set(OTHER, value);
                shadow.publish(&written);
            }
        });
        reader(&page);
        writer.join().expect("the writer does not panic");
    });
}

/// Loads the words in `order`, which promises nothing about when each becomes visible.
fn copy(page: &Page, order: [usize; N]) -> [u64; N] {
    let mut copy = [0; N];
    for index in order {
        copy[index] = u64::from_le(page[index].load(Ordering::Relaxed));
    }
    copy
}

fn assert_whole(copy: &[u64; N]) {
    if judge(copy) == Wholeness::Whole {
        assert_eq!(copy[ONE], copy[OTHER], "torn: {copy:?}");
        assert_eq!(copy[SEQUENCE], 2 * copy[ONE], "of another moment: {copy:?}");
    }
}

/// This is `pread(2)`: relaxed loads, in whatever order.
#[test]
fn a_copy_made_in_any_order_is_whole_or_refused() {
    check(|page| assert_whole(&copy(page, [SEQUENCE, CHECKSUM, ONE, OTHER])));
    check(|page| assert_whole(&copy(page, [OTHER, ONE, CHECKSUM, SEQUENCE])));
    check(|page| assert_whole(&copy(page, [ONE, SEQUENCE, OTHER, CHECKSUM])));
}

/// A reader that maps the page may leave the checksum out, with the usual orderings.
#[test]
fn a_mapping_reader_needs_the_sequence_alone() {
    check(|page| {
        let first = u64::from_le(page[SEQUENCE].load(Ordering::Acquire));
        let one = u64::from_le(page[ONE].load(Ordering::Relaxed));
        let other = u64::from_le(page[OTHER].load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        let second = u64::from_le(page[SEQUENCE].load(Ordering::Relaxed));
        if first == second && first & 1 == 0 {
            assert_eq!(one, other, "torn at sequence {first}");
            assert_eq!(first, 2 * one, "of another moment");
        }
    });
}

/// Shows that the model finds torn records: the sequence alone does not do for a copy without order.
#[test]
#[should_panic(expected = "torn")]
fn the_sequence_alone_would_not_do_for_a_copy() {
    check(|page| {
        let copy = copy(page, [SEQUENCE, ONE, OTHER, CHECKSUM]);
        if copy[SEQUENCE] & 1 == 0 {
            assert_eq!(copy[ONE], copy[OTHER], "torn: {copy:?}");
        }
    });
}
