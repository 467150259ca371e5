//! Text from outside, made safe for a log and for a terminal.
//!
//! Beside the decisions, as every crate has errors that name paths, and this one is what all of them know.

use std::ffi::OsStr;
use std::fmt::{self, Display, Write};

/// Shows a path, a name or another text from outside on one line and in its order.
///
/// What moves a terminal or reorders what stands on it is escaped, and so is what is no UTF-8: nobody can
/// forge a line of a log, or send commands to a terminal, by what a file is called. Everything else is shown
/// as it is, a backslash too; so it is for people, and not to be read back.
///
/// # Examples
///
/// ```
/// use std::path::Path;
/// use prefork_core::one_line;
///
/// let path = Path::new("/tmp/\u{1b}[31mred\n");
/// assert_eq!(format!("cannot open {}", one_line(path)), "cannot open /tmp/\\u{1b}[31mred\\n");
/// ```
pub fn one_line<T: AsRef<OsStr> + ?Sized>(text: &T) -> OneLine<'_> {
    OneLine(text.as_ref())
}

/// What [`one_line`] returns.
#[derive(Clone, Copy, Debug)]
pub struct OneLine<'a>(&'a OsStr);

impl Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.as_encoded_bytes().utf8_chunks() {
            for char in chunk.valid().chars() {
                if char.is_control() || reorders(char) {
                    write!(f, "{}", char.escape_default())?;
                } else {
                    f.write_char(char)?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_moves_or_reorders_is_escaped_and_nothing_else() {
        for (text, shown) in [
            ("GET /\u{1b}[2J\r\n\0 é \\ \"quoted\"", "GET /\\u{1b}[2J\\r\\n\\u{0} é \\ \"quoted\""),
            ("/run/a b", "/run/a b"),
            ("\u{9b}31m\u{202e}x", "\\u{9b}31m\\u{202e}x"),
        ] {
            assert_eq!(one_line(text).to_string(), shown, "{text:?}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn bytes_that_are_no_text_are_shown_as_such() {
        use std::os::unix::ffi::OsStrExt;
        let path = OsStr::from_bytes(b"/run/\xff\x1b\xc3");
        assert_eq!(one_line(path).to_string(), "/run/\\xff\\u{1b}\\xc3");
    }

    proptest! {
        #[test]
        fn no_text_is_more_than_a_line(text in any::<String>()) {
            let shown = one_line(&text).to_string();
            prop_assert!(!shown.chars().any(|char| char.is_control() || reorders(char)));
            // What was escaped once stays as it is.
            prop_assert_eq!(one_line(&shown).to_string(), shown);
        }
    }
}
