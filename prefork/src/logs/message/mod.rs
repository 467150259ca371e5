//! The daemon's messages: all that it logs, each with its level, its fields and its text.
//!
//! A message is declared once, by [`messages!`], in the file of its area. From that one declaration come the line in the
//! log, the event of `tracing` with its fields, and the priority in the journal. Where something happens, a message is
//! made of what is known there, and passed to [`Log::write`](crate::logs::log::Log::write). `prefork/docs/logs.md` lists all
//! of them; a test compares.
//!
//! A text says what happened, to what, and what follows from it, and is understood without the source.

mod arbiter;
mod change;
mod clients;
mod files;
mod fork;
mod hooks;
mod pool;
mod process;

use std::fmt::Display;

pub(crate) use arbiter::ArbiterMessage;
pub(crate) use change::{ChangeMessage, Old};
pub(crate) use clients::ClientMessage;
pub(crate) use files::FileMessage;
pub(crate) use fork::ForkMessage;
pub(crate) use hooks::HookMessage;
pub(crate) use pool::{Answered, PoolMessage, Waiting, WaitingJobs};
pub(crate) use process::ProcessMessage;

use super::LogLevel;
#[cfg(feature = "tracing")]
use crate::logs::log::Speaker;

/// What can be logged; [`Display`] is its text.
pub(crate) trait Message: Display {
    /// How much it matters.
    fn level(&self) -> LogLevel;

    /// Passes it to the subscriber of the program, as an event with fields.
    #[cfg(feature = "tracing")]
    fn trace(&self, speaker: &Speaker);
}

/// Makes the messages of one area from `Level Name { field: Type, ... } => "text";`. The text names fields;
/// all of them are fields of the event, whether it does or not.
macro_rules! messages {
    (
        $(#[$doc:meta])*
        $area:ident $(<$life:lifetime>)?
        $($level:ident $name:ident $({ $($field:ident: $kind:ty),* $(,)? })? => $text:literal;)*
    ) => {
        $(#[$doc])*
        pub(crate) enum $area $(<$life>)? {
            $($name $({ $($field: $kind),* })?,)*
        }

        #[cfg(test)]
        impl $(<$life>)? $area $(<$life>)? {
            /// The name, the level, the names of the fields and the text of each.
            pub(super) const ALL: &'static [super::Declared] = &[
                $((stringify!($name), $crate::LogLevel::$level, &[$($(stringify!($field)),*)?], $text),)*
            ];
        }

        impl $(<$life>)? $crate::logs::Message for $area $(<$life>)? {
            fn level(&self) -> $crate::LogLevel {
                match self {
                    $(Self::$name { .. } => $crate::LogLevel::$level,)*
                }
            }

            #[cfg(feature = "tracing")]
            fn trace(&self, speaker: &$crate::logs::log::Speaker) {
                match self {
                    $(Self::$name $({ $($field),* })? => tracing::event!(
                        target: "prefork",
                        $crate::LogLevel::$level.of_tracing(),
                        name = speaker.name(),
                        pid = speaker.pid(),
                        role = %speaker.role(),
                        $($($field = $crate::logs::message::Field::value($field),)*)?
                        "{}",
                        prefork_core::one_line(&self.to_string())
                    ),)*
                }
            }
        }

        impl $(<$life>)? std::fmt::Display for $area $(<$life>)? {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $(Self::$name $({ $($field),* })? => {
                        // Those that are fields of the event alone.
                        $($(let _ = $field;)*)?
                        write!(f, $text)
                    })*
                }
            }
        }
    };
}
use messages;

/// Name, level, names of the fields, text.
#[cfg(test)]
type Declared = (&'static str, LogLevel, &'static [&'static str], &'static str);

/// What a field of a message is in an event: a number where it is one, seconds where it is a time, else a text on one line.
#[cfg(feature = "tracing")]
pub(crate) trait Field {
    fn value(&self) -> impl tracing::Value + '_;
}

#[cfg(feature = "tracing")]
mod fields {
    use std::fmt::{self, Display};

    use prefork_core::{Generation, Hook, SlotId, one_line};
    use rustix::process::Pid;
    use tracing::{Value, field::display};

    use super::Field;
    use crate::logs::describe::{Bytes, Children, Span};

    /// A text of whatever origin.
    struct OneLine<'a>(&'a dyn Display);

    impl Display for OneLine<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            one_line(&self.0.to_string()).fmt(f)
        }
    }

    macro_rules! fields {
        ($($kind:ty: |$field:ident| $value:expr;)*) => {
            $(impl Field for $kind {
                fn value(&self) -> impl Value + '_ {
                    let $field = self;
                    $value
                }
            })*
        };
    }

    fields! {
        bool: |it| *it;
        i32: |it| *it;
        u32: |it| *it;
        u64: |it| *it;
        usize: |it| *it;
        Bytes: |it| it.0;
        Children: |it| it.0;
        Generation: |it| it.0;
        SlotId: |it| it.0;
        Pid: |it| it.as_raw_nonzero().get();
        Span: |it| it.0.as_secs_f64();
        Hook: |it| it.name();
        &str: |it| display(OneLine(it));
        &dyn Display: |it| display(OneLine(it));
    }

    impl<T: Field> Field for Option<T> {
        fn value(&self) -> impl Value + '_ {
            self.as_ref().map(Field::value)
        }
    }
}

#[cfg(test)]
mod tests;
