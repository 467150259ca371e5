//! Counting requests in loops that do not accept.

use std::rc::Rc;

use super::Stop;
use crate::os::{Message, Reporter};

/// An iterator over the requests that a child serves; see [`Child::requests`](crate::Child::requests).
#[derive(Debug)]
pub struct Requests {
    stop: Stop,
    reporter: Option<Rc<Reporter>>,
    max: u64,
    count: u64,
    said_tired: bool,
}

impl Requests {
    pub(super) const fn new(stop: Stop, reporter: Option<Rc<Reporter>>, max: u64) -> Self {
        Self { stop, reporter, max, count: 0, said_tired: false }
    }
}

impl Iterator for Requests {
    type Item = u64;

    /// Returns the number of the next request, from 0; `None` when the child is to leave.
    fn next(&mut self) -> Option<u64> {
        // With no parent that could replace it, a child has its requests and no more.
        let most = if self.reporter.is_some() { self.max.saturating_mul(2) } else { self.max };
        if self.stop.is_asked() || self.count >= most {
            return None;
        }
        if self.count >= self.max && !self.said_tired {
            let reporter = self.reporter.as_ref();
            self.said_tired = reporter.is_none_or(|reporter| reporter.try_say(Message::Tired));
        }
        let number = self.count;
        self.count += 1;
        Some(number)
    }
}
