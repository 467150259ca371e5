//! What a child does for most of its life.

use super::Child;
use crate::Result;

/// The main loop of a program, in the two steps in which a child takes it.
pub(crate) trait MainLoop<S> {
    /// Makes what it takes, as a part of the child's initialization, and returns what is to be run after that.
    fn begin<'a>(&'a mut self, child: &mut Child, state: &'a S) -> Result<Running<'a>>;
}

/// A main loop that has everything it takes.
pub(crate) type Running<'a> = Box<dyn FnOnce(&mut Child) -> Result + 'a>;

/// One that takes nothing of its own.
pub(crate) struct Plain<L>(pub(crate) L);

impl<S, L: FnMut(&mut Child, &S) -> Result> MainLoop<S> for Plain<L> {
    fn begin<'a>(&'a mut self, _child: &mut Child, state: &'a S) -> Result<Running<'a>> {
        Ok(Box::new(move |child| (self.0)(child, state)))
    }
}

/// One that takes what was made in the child.
pub(crate) struct With<M, L> {
    pub(crate) make: M,
    pub(crate) main_loop: L,
}

impl<S, T, M, L> MainLoop<S> for With<M, L>
where
    T: 'static,
    M: FnMut(&mut Child, &S) -> Result<T>,
    L: FnMut(&mut Child, &S, T) -> Result,
{
    fn begin<'a>(&'a mut self, child: &mut Child, state: &'a S) -> Result<Running<'a>> {
        let made = (self.make)(child, state)?;
        Ok(Box::new(move |child| (self.main_loop)(child, state, made)))
    }
}

/// One that was set before there was a state.
pub(crate) struct Stateless(pub(crate) Box<dyn MainLoop<()>>);

impl<S> MainLoop<S> for Stateless {
    fn begin<'a>(&'a mut self, child: &mut Child, _state: &'a S) -> Result<Running<'a>> {
        self.0.begin(child, &())
    }
}
