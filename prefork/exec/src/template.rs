//! Texts in which words in braces stand for what a child has.
//!
//! # Problem
//!
//! A program is told its socket in its arguments, as `--fd 3`, and which number the socket has is not the user's to know.
//! But arguments hold braces of all kinds of other languages: `awk '{print $1}'`, `${HOME}`, `find -exec rm {} +`, JSON.
//!
//! # Idea
//!
//! Only a known word in braces is replaced: `{fd}`, `{path}`, `{slot}`, `{pid}`, the first two also with a socket's name or
//! number, `{fd:http}`, `{path:1}`. `{{fd}}` is the text `{fd}`. Another word of small letters alone is probably a mistake
//! and refused, with what to write. Everything else stays as it is.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
};

use prefork_core::one_line;

use crate::sockets::{FIRST, Sockets};

/// How alike two words must be for one to be what was meant, from 0 to 1.
const ALIKE: f64 = 0.7;

/// The words that stand for something.
const WORDS: [&str; 4] = ["fd", "path", "slot", "pid"];

/// A text, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(OsString),
    /// The descriptor of this socket.
    Fd(usize),
    /// The address of this socket.
    Path(usize),
    Slot,
    Pid,
}

/// What the words stand for in one child.
pub(crate) struct Values<'a> {
    pub(crate) pid: u32,
    pub(crate) slot: u32,
    pub(crate) sockets: &'a Sockets,
}

impl Values<'_> {
    /// Fills in a text, which was found right before the daemon began to serve.
    pub(crate) fn fill_in(&self, text: &OsStr) -> OsString {
        let names: Vec<&str> = self.sockets.0.iter().map(|socket| &*socket.name).collect();
        let place = |index: usize| self.sockets.0[index].place();
        Template::parse(text, &names)
            .map(|template| template.render(self.slot, self.pid, place))
            .unwrap_or_else(|_| text.to_owned())
    }
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    /// A word that stands for nothing.
    #[error(
        "{{{}}} stands for nothing; {}write {{{{{}}}}} if it is to stay as it is",
        word, nearest.map(|it| format!("did you mean {{{it}}}? ")).unwrap_or_default(), word
    )]
    Unknown { word: String, nearest: Option<&'static str> },
    /// A socket that there is not.
    #[error("{{{}}} stands for a listening socket, and {there}", one_line(word))]
    NoSocket { word: String, there: String },
    /// A word that takes nothing behind it.
    #[error("{{{}}} takes nothing behind {word}; write {{{word}}}", one_line(whole))]
    TakesNothing { word: String, whole: String },
}

impl Template {
    /// Takes a text apart. The sockets are those of these names, and are counted from 0 besides.
    ///
    /// # Errors
    ///
    /// Fails with the first word in braces that stands for nothing.
    pub(crate) fn parse(text: &OsStr, sockets: &[&str]) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut plain = Vec::new();
        let mut rest = text.as_bytes();
        let mut before = 0;
        while let Some((&first, after)) = rest.split_first() {
            // `${name}` is a shell's.
            let found = if first == b'{' && before != b'$' { braced(rest) } else { None };
            before = first;
            match found {
                None => {
                    plain.push(first);
                    rest = after;
                }
                Some(Braced { inner, len, is_escaped: true }) => {
                    plain.extend_from_slice(format!("{{{inner}}}").as_bytes());
                    rest = &rest[len..];
                }
                Some(Braced { inner, len, is_escaped: false }) => {
                    let part = part(inner, sockets)?;
                    if !plain.is_empty() {
                        parts.push(Part::Text(OsString::from_vec(std::mem::take(&mut plain))));
                    }
                    parts.push(part);
                    rest = &rest[len..];
                }
            }
        }
        if !plain.is_empty() {
            parts.push(Part::Text(OsString::from_vec(plain)));
        }
        Ok(Self(parts))
    }

    /// Fills it in; `place` knows at what address each socket is.
    pub(crate) fn render(&self, slot: u32, pid: u32, place: impl Fn(usize) -> String) -> OsString {
        let mut text = OsString::new();
        for part in &self.0 {
            match part {
                Part::Text(plain) => text.push(plain),
                Part::Fd(index) => text.push((FIRST + index).to_string()),
                Part::Path(index) => text.push(place(*index)),
                Part::Slot => text.push(slot.to_string()),
                Part::Pid => text.push(pid.to_string()),
            }
        }
        text
    }
}

/// Writes a text so that, filled in, it is this text again, whatever braces it has.
#[must_use]
pub fn literal(text: &OsStr) -> OsString {
    let mut written = Vec::new();
    let mut rest = text.as_bytes();
    let mut before = 0;
    while let Some((&first, after)) = rest.split_first() {
        let found = if first == b'{' && before != b'$' { braced(rest) } else { None };
        before = first;
        match found {
            None => {
                written.push(first);
                rest = after;
            }
            Some(Braced { inner, len, is_escaped }) => {
                let (open, close) = if is_escaped { ("{{{", "}}}") } else { ("{{", "}}") };
                written.extend_from_slice(format!("{open}{inner}{close}").as_bytes());
                rest = &rest[len..];
            }
        }
    }
    OsString::from_vec(written)
}

/// A word in braces.
struct Braced<'a> {
    inner: &'a str,
    /// How long it is, with its braces.
    len: usize,
    /// Whether it is in double braces.
    is_escaped: bool,
}

/// Returns what stands in the braces that this text begins with, if that looks like a word of ours.
fn braced(text: &[u8]) -> Option<Braced<'_>> {
    let is_escaped = text.starts_with(b"{{");
    let width = if is_escaped { 2 } else { 1 };
    let body = &text[width..];
    let end = body.iter().position(|byte| *byte == b'}')?;
    let inner = std::str::from_utf8(&body[..end]).ok()?;
    if is_escaped && !body[end..].starts_with(b"}}") {
        return None;
    }
    let (word, behind) = inner.split_once(':').map_or((inner, None), |(a, b)| (a, Some(b)));
    let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    // `{a:1}` is of another language, unless the word is one of ours.
    let is_ours = is_word && (behind.is_none() || WORDS.contains(&word));
    is_ours.then_some(Braced { inner, len: end + 2 * width, is_escaped })
}

fn part(inner: &str, sockets: &[&str]) -> Result<Part, TemplateError> {
    let (word, behind) = inner.split_once(':').map_or((inner, None), |(a, b)| (a, Some(b)));
    match (word, behind) {
        ("fd", _) => socket(inner, behind, sockets).map(Part::Fd),
        ("path", _) => socket(inner, behind, sockets).map(Part::Path),
        ("slot", None) => Ok(Part::Slot),
        ("pid", None) => Ok(Part::Pid),
        ("slot" | "pid", Some(_)) => {
            Err(TemplateError::TakesNothing { word: word.to_owned(), whole: inner.to_owned() })
        }
        _ => {
            let nearest = nearest(word, WORDS);
            Err(TemplateError::Unknown { word: inner.to_owned(), nearest })
        }
    }
}

/// Finds a socket: by its name, by its number, or the first.
fn socket(inner: &str, behind: Option<&str>, sockets: &[&str]) -> Result<usize, TemplateError> {
    let index = match behind {
        None => Some(0),
        Some(which) => {
            let by_name = sockets.iter().position(|name| *name == which);
            by_name.or_else(|| which.parse().ok())
        }
    };
    index.filter(|index| *index < sockets.len()).ok_or_else(|| {
        let there = match sockets {
            [] => "the program has none; give it one by --listen".to_owned(),
            names => format!("those that there are, are called {}", one_line(&names.join(", "))),
        };
        TemplateError::NoSocket { word: inner.to_owned(), there }
    })
}

/// Returns the one of these that was probably meant.
pub(crate) fn nearest<'a>(
    given: &str,
    among: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let likeness = |one: &&str| strsim::jaro_winkler(given, one);
    let best = among.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(&best) >= ALIKE).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKETS: [&str; 2] = ["http", "socket1"];

    fn render(text: &str) -> Result<String, String> {
        let template = Template::parse(OsStr::new(text), &SOCKETS);
        let template = template.map_err(|error| error.to_string())?;
        let rendered =
            template.render(7, 4711, |index| ["127.0.0.1:80", "/run/a.sock"][index].to_owned());
        Ok(rendered.into_string().expect("it is UTF-8"))
    }

    #[test]
    fn known_words_are_replaced_and_all_else_stays() {
        for (text, expected) in [
            ("", ""),
            ("{fd}", "3"),
            ("--fd={fd},{slot}", "--fd=3,7"),
            ("{fd:http}{fd:0}{fd:1}{fd:socket1}", "3344"),
            ("{path} {path:http} {path:1}", "127.0.0.1:80 127.0.0.1:80 /run/a.sock"),
            ("{pid}", "4711"),
            ("{{fd}}", "{fd}"),
            ("{{{fd}}}", "{{fd}}"),
            ("{{fd:1}}{fd:1}", "{fd:1}4"),
            ("{{print}}", "{print}"),
            // Of other languages.
            ("{print $1}", "{print $1}"),
            ("${port} ${HOME} {HOME}", "${port} ${HOME} {HOME}"),
            ("{}", "{}"),
            ("{:fd}", "{:fd}"),
            ("{\"a\":{\"b\":1}}", "{\"a\":{\"b\":1}}"),
            ("{a:1}", "{a:1}"),
            ("{fd", "{fd"),
            ("fd}", "fd}"),
            ("{{fd}", "{3"),
            ("{{ x }}", "{{ x }}"),
            ("a{0}", "a{0}"),
            ("{fdé}", "{fdé}"),
        ] {
            assert_eq!(render(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_utf8_stays_as_it_is() {
        let text = OsString::from_vec(b"{fd}\xff{\xff}".to_vec());
        let template = Template::parse(&text, &SOCKETS).expect("it is one");
        let rendered = template.render(0, 1, |_| String::new());
        assert_eq!(rendered.as_bytes(), b"3\xff{\xff}");
    }

    #[test]
    fn errors_say_what_to_write() {
        for (text, expected) in [
            (
                "{fdd}",
                "{fdd} stands for nothing; did you mean {fd}? write {{fdd}} if it is to stay as it is",
            ),
            ("{print}", "{print} stands for nothing; write {{print}} if it is to stay as it is"),
            (
                "{fd:htp}",
                "{fd:htp} stands for a listening socket, and those that there are, are called http, socket1",
            ),
            (
                "{fd:2}",
                "{fd:2} stands for a listening socket, and those that there are, are called http, socket1",
            ),
            ("{slot:1}", "{slot:1} takes nothing behind slot; write {slot}"),
        ] {
            assert_eq!(render(text), Err(expected.to_owned()), "{text}");
        }
        let none = Template::parse(OsStr::new("{path}"), &[]).expect_err("there is none");
        assert_eq!(
            none.to_string(),
            "{path} stands for a listening socket, and the program has none; give it one by --listen"
        );
    }

    #[test]
    fn any_text_can_be_written() {
        let letters = ["{", "}", "$", "fd", "x", ":", "1"];
        for number in 0..letters.len().pow(6) {
            let letter = |place: u32| letters[number / letters.len().pow(place) % letters.len()];
            let text: String = (0..6).map(letter).collect();
            let written = literal(OsStr::new(&text));
            let written = written.to_str().expect("it is UTF-8");
            assert_eq!(render(written).as_deref(), Ok(&*text), "{written}");
        }
    }
}
