//! A child that was taken over has the service in its hands, and neither the parent nor the other children.
//!
//! The children are those of the fixture `hostile`, nobody's, and do what they are ordered to; the parent is
//! root. Each test orders an attack and then asserts what the project promises of every attack: another child's
//! death is replaced, a stop takes its stated time, and a process of root's that has nothing to do with it lives.

mod channels;
mod figures;
mod floods;
mod isolation;
mod listener;
mod mappings;
mod neighbours;
mod pids;
mod puppet;
mod siege;
