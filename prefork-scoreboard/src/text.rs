//! Short texts of bounded length, on their way into a record and out of it.

use std::fmt::{self, Write as _};

/// Text read from a record: at most `N` bytes of printable UTF-8.
///
/// What a record holds may be anything. Control characters, characters that change the direction
/// of writing and bytes that are no UTF-8 come out as `?`, so that the text can go to a terminal or
/// a log line as it is. It is not escaped for HTML.
#[derive(Clone, Copy)]
pub(crate) struct Text<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Text<N> {
    pub(crate) const EMPTY: Self = Self { bytes: [0; N], len: 0 };

    /// Copies `source`, replacing what does not belong on a terminal.
    pub(crate) fn printable(source: &[u8; N], len: usize) -> Self {
        let source = &source[..len.min(N)];
        let mut text = Self::EMPTY;
        if source.iter().all(|byte| (b' '..=b'~').contains(byte)) {
            text.push(source);
            return text;
        }
        for chunk in source.utf8_chunks() {
            for character in chunk.valid().chars() {
                if is_printable(character) {
                    text.push(character.encode_utf8(&mut [0; 4]).as_bytes());
                } else {
                    text.push(b"?");
                }
            }
            for _ in chunk.invalid() {
                text.push(b"?");
            }
        }
        text
    }

    /// Appends `more`, which never overflows: no replacement is longer than what it replaces.
    fn push(&mut self, more: &[u8]) {
        let start = usize::from(self.len);
        let Some(room) = self.bytes.get_mut(start..start + more.len()) else { return };
        room.copy_from_slice(more);
        self.len = u8::try_from(start + more.len()).unwrap_or(self.len);
    }

    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or("")
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<const N: usize> PartialEq for Text<N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl<const N: usize> Eq for Text<N> {}

/// Whether a character neither moves a terminal nor changes the direction of writing.
pub(crate) fn is_printable(character: char) -> bool {
    let reorders = matches!(character,
        '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{FEFF}');
    !character.is_control() && !reorders
}

/// Returns the longest beginning of `text` of at most `max` bytes that ends with a whole character.
pub(crate) fn head(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A buffer that takes formatted text, keeps the first `N` bytes and drops the rest.
#[derive(Debug)]
pub(crate) struct Clipped<const N: usize> {
    bytes: [u8; N],
    len: usize,
    full: bool,
}

impl<const N: usize> Clipped<N> {
    pub(crate) fn format(value: impl fmt::Display) -> Self {
        let mut clipped = Self { bytes: [0; N], len: 0, full: false };
        // An error here is the value's own; what it wrote before is worth keeping.
        let _ = write!(clipped, "{value}");
        clipped
    }

    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.len]).unwrap_or("")
    }
}

impl<const N: usize> fmt::Write for Clipped<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.full {
            return Ok(());
        }
        let kept = head(text, N - self.len);
        self.bytes[self.len..self.len + kept.len()].copy_from_slice(kept.as_bytes());
        self.len += kept.len();
        self.full = kept.len() < text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn printable(source: &[u8]) -> String {
        let mut bytes = [0; 96];
        bytes[..source.len()].copy_from_slice(source);
        Text::printable(&bytes, source.len()).as_str().to_owned()
    }

    #[test]
    fn replaces_what_would_move_a_terminal() {
        assert_eq!(printable(b"GET /a"), "GET /a");
        assert_eq!(printable(b"\x1b[2Jx\r\n\0"), "?[2Jx???");
        assert_eq!(printable("caf\u{e9} \u{202e}abc".as_bytes()), "caf\u{e9} ?abc");
        assert_eq!(printable(b"a\xff\xfeb\xe2\x82"), "a??b??");
        assert_eq!(printable("\u{9b}31m".as_bytes()), "?31m");
    }

    #[test]
    fn cuts_between_characters() {
        assert_eq!(head("h\u{e9}llo", 2), "h");
        assert_eq!(head("h\u{e9}llo", 3), "h\u{e9}");
        assert_eq!(Clipped::<4>::format("abcdef").as_str(), "abcd");
        assert_eq!(Clipped::<4>::format(format_args!("{}{}", "abc\u{e9}", "z")).as_str(), "abc");
    }

    proptest! {
        #[test]
        fn any_bytes_become_printable_text(bytes: [u8; 32], len: usize) {
            let text = Text::printable(&bytes, len);
            prop_assert!(text.as_str().len() <= 32);
            prop_assert!(text.as_str().chars().all(is_printable));
        }

        #[test]
        fn clipping_keeps_the_head(text: String) {
            let clipped = Clipped::<16>::format(&text);
            prop_assert_eq!(clipped.as_str(), head(&text, 16));
        }
    }
}
