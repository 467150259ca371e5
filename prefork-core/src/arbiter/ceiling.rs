//! What pools share: a number of children, an amount of memory, or both.

/// What all pools together may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ceiling {
    /// So many children.
    Children(u32),
    /// As many children as take so many bytes.
    Memory(u64),
    /// So many children, and no more than take so many bytes.
    Both {
        /// How many.
        children: u32,
        /// How many bytes.
        memory: u64,
    },
}

impl Ceiling {
    /// Returns the ceiling of what is limited of the two; `None` if neither is.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork_core::Ceiling;
    ///
    /// assert_eq!(Ceiling::of(Some(80), None), Some(Ceiling::Children(80)));
    /// assert_eq!(Ceiling::of(None, None), None);
    /// ```
    #[must_use]
    pub const fn of(children: Option<u32>, memory: Option<u64>) -> Option<Self> {
        match (children, memory) {
            (Some(children), Some(memory)) => Some(Self::Both { children, memory }),
            (Some(children), None) => Some(Self::Children(children)),
            (None, Some(memory)) => Some(Self::Memory(memory)),
            (None, None) => None,
        }
    }

    /// Returns how many children there may be; `None` if they are not counted.
    #[must_use]
    pub const fn children(self) -> Option<u32> {
        match self {
            Self::Children(children) | Self::Both { children, .. } => Some(children),
            Self::Memory(_) => None,
        }
    }

    /// Returns how many bytes they may take; `None` if that is not limited.
    #[must_use]
    pub const fn memory(self) -> Option<u64> {
        match self {
            Self::Memory(memory) | Self::Both { memory, .. } => Some(memory),
            Self::Children(_) => None,
        }
    }

    /// Returns all that there is to share.
    pub(super) fn capacity(self) -> Amount {
        let children = self.children().map_or(u64::MAX, u64::from);
        let memory = self.memory().map_or(children, |memory| memory >> unit(memory));
        Amount { children, memory }
    }

    /// Returns how much a child takes of the memory in [`capacity`](Self::capacity) that takes so many bytes.
    pub(super) fn size(self, bytes: u64) -> u64 {
        // Where memory is not shared each takes as much as any other.
        self.memory().map_or(1, |memory| bytes.div_ceil(1 << unit(memory)).max(1))
    }
}

impl From<u32> for Ceiling {
    fn from(children: u32) -> Self {
        Self::Children(children)
    }
}

/// Returns the power of two of bytes in which so much memory is shared: then there are less than 2^32 of them, so that what
/// is multiplied with weights is no greater than a number can be.
const fn unit(memory: u64) -> u32 {
    (u64::BITS - memory.leading_zeros()).saturating_sub(32)
}

/// So many children, and the memory that they take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) children: u64,
    pub(super) memory: u64,
}

impl Amount {
    pub(super) const NONE: Self = Self { children: 0, memory: 0 };

    /// Returns so many children of such a size.
    pub(super) const fn of(children: u32, size: u64) -> Self {
        let children = children as u64;
        Self { children, memory: children.saturating_mul(size) }
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self {
            children: self.children.saturating_add(other.children),
            memory: self.memory.saturating_add(other.memory),
        }
    }

    /// Returns what is left of it without that; nothing less than none.
    pub(super) const fn without(self, other: Self) -> Self {
        Self {
            children: self.children.saturating_sub(other.children),
            memory: self.memory.saturating_sub(other.memory),
        }
    }

    /// Whether that is no more than this.
    pub(super) const fn holds(self, other: Self) -> bool {
        other.children <= self.children && other.memory <= self.memory
    }
}

impl std::iter::Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::NONE, Self::and)
    }
}
