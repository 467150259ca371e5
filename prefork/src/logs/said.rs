//! Lines of the program's own, among the daemon's.

use std::fmt::{self, Display};

use super::{LogLevel, Message};
#[cfg(feature = "tracing")]
use crate::logs::log::Speaker;

/// A text of the program's.
pub(crate) struct Said<'a> {
    pub(crate) level: LogLevel,
    pub(crate) text: &'a dyn Display,
}

impl Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl Message for Said<'_> {
    fn level(&self) -> LogLevel {
        self.level
    }

    #[cfg(feature = "tracing")]
    fn trace(&self, speaker: &Speaker) {
        use prefork_core::one_line;
        let text = self.text.to_string();
        let text = one_line(&text);
        let (name, pid, role) = (speaker.name(), speaker.pid(), speaker.role());
        macro_rules! event {
            ($level:expr) => {
                tracing::event!(target: "prefork", $level, name, pid, %role, "{text}")
            };
        }
        match self.level {
            LogLevel::Error => event!(tracing::Level::ERROR),
            LogLevel::Warn => event!(tracing::Level::WARN),
            LogLevel::Info => event!(tracing::Level::INFO),
            LogLevel::Debug => event!(tracing::Level::DEBUG),
        }
    }
}
