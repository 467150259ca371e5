//! Text from outside, made safe for a log and for a terminal.
//!
//! Both the library and the command `prefork` are made of this, each as a module of its own.

use std::fmt::{self, Display, Write};

/// Shows text on one line and in its order: what moves a terminal or reorders what stands on it is
/// escaped, so that nobody can forge a line of a log or send commands to whoever reads it.
#[derive(Debug)]
pub(crate) struct Sanitized<'a>(pub(crate) &'a str);

impl Display for Sanitized<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|char| {
            if char.is_control() || reorders(char) {
                write!(f, "{}", char.escape_default())
            } else {
                f.write_char(char)
            }
        })
    }
}

/// Marks and separators that show nothing themselves, and change how the rest is shown.
const fn reorders(char: char) -> bool {
    matches!(char,
        '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_or_reorders_is_escaped_and_nothing_else() {
        for (text, shown) in [
            ("GET /\u{1b}[2J\r\n\0 é \\ \"quoted\"", "GET /\\u{1b}[2J\\r\\n\\u{0} é \\ \"quoted\""),
            ("/run/a b", "/run/a b"),
            ("\u{9b}31m\u{202e}x", "\\u{9b}31m\\u{202e}x"),
        ] {
            assert_eq!(Sanitized(text).to_string(), shown, "{text:?}");
        }
    }
}
