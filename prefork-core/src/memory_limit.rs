//! When a child has used up the memory that it may have.

/// How much memory a child may have before it is replaced.
///
/// One that has more from its first request on, as its successors would, is not replaced for that: it may have as much again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimit {
    max: u64,
    /// How much it may have in fact; none before the first look.
    most: Option<u64>,
}

/// What a look at a child's memory has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryFinding {
    /// It has no more than it may have.
    Within,
    /// It has more from the start; this is what it may have instead.
    LargeFromStart {
        /// In bytes.
        most: u64,
    },
    /// It is to be replaced.
    Exceeded,
}

impl MemoryLimit {
    /// Makes a limit of so many bytes, for a child that has not been looked at.
    #[must_use]
    pub const fn new(max: u64) -> Self {
        Self { max, most: None }
    }

    /// Returns the limit, in bytes.
    #[must_use]
    pub const fn max(&self) -> u64 {
        self.max
    }

    /// Takes in how many bytes the child has. The first look is to come once it has worked.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork_core::{MemoryFinding, MemoryLimit};
    ///
    /// let mut limit = MemoryLimit::new(100);
    /// assert_eq!(limit.look(300), MemoryFinding::LargeFromStart { most: 400 });
    /// assert_eq!(limit.look(400), MemoryFinding::Within);
    /// assert_eq!(limit.look(401), MemoryFinding::Exceeded);
    /// ```
    pub const fn look(&mut self, bytes: u64) -> MemoryFinding {
        match self.most {
            None if bytes > self.max => {
                let most = bytes.saturating_add(self.max);
                self.most = Some(most);
                MemoryFinding::LargeFromStart { most }
            }
            None => {
                self.most = Some(self.max);
                MemoryFinding::Within
            }
            Some(most) if bytes > most => MemoryFinding::Exceeded,
            Some(_) => MemoryFinding::Within,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_has_grown_is_replaced() {
        let large = MemoryFinding::LargeFromStart { most: 400 };
        let (within, exceeded) = (MemoryFinding::Within, MemoryFinding::Exceeded);
        // What is found at these sizes, one after the other, where 100 is the most.
        let table: [(&[u64], &[MemoryFinding]); 3] = [
            (&[50, 100, 101], &[within, within, exceeded]),
            (&[300, 300, 400, 401], &[large, within, within, exceeded]),
            (&[300, 90, 150], &[large, within, within]),
        ];
        for (sizes, expected) in table {
            let mut limit = MemoryLimit::new(100);
            let found: Vec<_> = sizes.iter().map(|bytes| limit.look(*bytes)).collect();
            assert_eq!(found, expected, "{sizes:?}");
        }
    }
}
