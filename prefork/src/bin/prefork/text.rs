//! Text on its way to a terminal.

/// Escapes what would move a terminal or reorder what stands on it, as `\u{1b}`.
///
/// What a board says comes clean already; paths and messages of the system need not.
pub(crate) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || reorders(character) {
            printable.extend(character.escape_unicode());
        } else {
            printable.push(character);
        }
    }
    printable
}

const fn reorders(character: char) -> bool {
    matches!(character,
        '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_moves_a_terminal() {
        let table = [
            ("/run/a b", "/run/a b"),
            ("caf\u{e9}", "caf\u{e9}"),
            ("\x1b[2J\n", "\\u{1b}[2J\\u{a}"),
            ("\u{9b}31m\u{202e}x", "\\u{9b}31m\\u{202e}x"),
        ];
        for (text, expected) in table {
            assert_eq!(printable(text), expected, "{text:?}");
        }
    }
}
