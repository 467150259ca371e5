//! Colours, or none.

use std::env;

use prefork_scoreboard::Class;
use ratatui::style::{Color, Modifier, Style};

/// The styles of the view.
#[derive(Debug, Clone, Copy)]
pub(super) struct Palette {
    coloured: bool,
}

impl Palette {
    /// Colours, unless the user wants none: see <https://no-color.org>.
    pub(super) fn of_environment() -> Self {
        Self { coloured: env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    #[cfg(test)]
    pub(super) const PLAIN: Self = Self { coloured: false };

    fn colour(self, colour: Color) -> Style {
        if self.coloured { Style::new().fg(colour) } else { Style::new() }
    }

    pub(super) fn bar(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub(super) fn heading(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn pool(self) -> Style {
        self.colour(Color::Blue)
    }

    pub(super) fn busy(self) -> Style {
        self.colour(Color::Green)
    }

    pub(super) fn trouble(self) -> Style {
        self.colour(Color::Red).add_modifier(Modifier::BOLD)
    }

    pub(super) fn news(self) -> Style {
        self.colour(Color::Yellow)
    }

    pub(super) fn class(self, class: Class) -> Style {
        match class {
            Class::Empty | Class::Idle => Style::new(),
            Class::Busy => self.busy(),
            Class::Starting => self.colour(Color::Yellow),
            Class::Draining => self.colour(Color::Cyan),
            Class::Stalled => self.colour(Color::Red),
        }
    }
}
