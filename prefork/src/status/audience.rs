//! For whom the status process answers, each at an address of its own.

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Those who operate the daemon: all there is.
    Operators,
    /// All who can connect: figures, and whether clients are wanted.
    Everybody,
}

impl Audience {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::Operators, Self::Everybody];

    /// Returns the argument that says where it is answered.
    pub(crate) const fn argument(self) -> &'static str {
        match self {
            Self::Operators => "status_listen",
            Self::Everybody => "metrics_listen",
        }
    }
}

/// Something for each audience that is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Audiences<T> {
    pub(crate) operators: Option<T>,
    pub(crate) everybody: Option<T>,
}

impl<T> Default for Audiences<T> {
    fn default() -> Self {
        Self { operators: None, everybody: None }
    }
}

impl<T> Audiences<T> {
    /// Makes what there is for each, if there is anything.
    pub(crate) fn try_make<E>(
        mut make: impl FnMut(Audience) -> Result<Option<T>, E>,
    ) -> Result<Self, E> {
        let operators = make(Audience::Operators)?;
        Ok(Self { operators, everybody: make(Audience::Everybody)? })
    }

    pub(crate) const fn get(&self, audience: Audience) -> Option<&T> {
        match audience {
            Audience::Operators => self.operators.as_ref(),
            Audience::Everybody => self.everybody.as_ref(),
        }
    }

    pub(crate) const fn get_mut(&mut self, audience: Audience) -> Option<&mut T> {
        match audience {
            Audience::Operators => self.operators.as_mut(),
            Audience::Everybody => self.everybody.as_mut(),
        }
    }

    /// Returns whether nobody is answered.
    pub(crate) const fn is_empty(&self) -> bool {
        self.operators.is_none() && self.everybody.is_none()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Audience, &T)> {
        Audience::ALL.into_iter().filter_map(|audience| Some((audience, self.get(audience)?)))
    }
}
