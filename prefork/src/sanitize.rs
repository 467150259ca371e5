//! Text from outside, made safe for a log.

use std::fmt::{self, Display, Write};

/// Shows text on one line: control characters are escaped, so that nobody can forge a line of a log
/// or send commands to the terminal of who reads it.
#[derive(Debug)]
pub(crate) struct Sanitized<'a>(pub(crate) &'a str);

impl Display for Sanitized<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|char| {
            if char.is_control() {
                write!(f, "{}", char.escape_default())
            } else {
                f.write_char(char)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_nothing_else() {
        let text = "GET /\u{1b}[2J\r\n\0 é \\ \"quoted\"";
        let shown = Sanitized(text).to_string();
        assert_eq!(shown, "GET /\\u{1b}[2J\\r\\n\\u{0} é \\ \"quoted\"");
    }
}
