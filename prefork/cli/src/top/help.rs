//! The keys, each with what it does.

use prefork_view::View;

use super::sort::{Key, OWN};

/// One for each line.
const KEYS: [(&str, &str); 10] = [
    ("q  Esc", "quit; Esc ends a filter first"),
    ("space", "pause, go on"),
    ("/", "show those with this text in any column or as a pid"),
    ("i", "hide those that are idle, show them again"),
    ("k", "send the chosen child a signal, which is asked for"),
    ("\u{2191} \u{2193}", "choose a child; also Page Up, Page Down, Home, End"),
    ("Tab", "go to the next pool of several; Shift-Tab back"),
    ("r", "reverse the order"),
    ("Ctrl-Z", "suspend"),
    ("?", "this"),
];

/// Returns the lines, with the characters by which the processes of a board are sorted.
pub(super) fn lines(view: &View) -> Vec<String> {
    let keys = KEYS.into_iter().map(|(key, what)| format!(" {key:<8} {what} "));
    let sorts = Key::ALL.into_iter().filter(|key| key.is_of(view)).map(|key| {
        let (character, word) = key.name();
        format!(" {character:<8} sort by {word}; again: reverse ")
    });
    let own = view.columns.iter().zip(OWN.chars()).map(|(column, character)| {
        format!(" {character:<8} sort by {}; again: reverse ", column.name())
    });
    keys.chain(sorts).chain(own).collect()
}
