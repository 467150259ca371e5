//! A command in one text, taken apart into words as a shell does.
//!
//! No shell runs it. So what only a shell could do is refused, rather than handed to the program as it is: of a crate that
//! splits words, quoted and other letters cannot be told apart afterwards.

/// What a shell makes something of, where it is not quoted.
const OF_SHELLS: &str = "|&;<>()`*?[]#~";

/// Takes a command apart.
///
/// # Errors
///
/// Fails with what only a shell could do, or with a quote that is not closed.
pub(super) fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            letter if letter.is_whitespace() => words.extend(word.take()),
            '\'' => quoted(&mut letters, word.get_or_insert_default())?,
            '"' => double_quoted(&mut letters, word.get_or_insert_default())?,
            '\\' => {
                let next = letters
                    .next()
                    .ok_or("ends with a backslash, which stands for nothing there")?;
                word.get_or_insert_default().push(next);
            }
            '$' => return Err(of_shell('$')),
            // In the middle of a word these are what they are.
            '#' | '~' if word.is_some() => word.get_or_insert_default().push(letter),
            letter if OF_SHELLS.contains(letter) => return Err(of_shell(letter)),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(letters: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), String> {
    loop {
        match letters.next() {
            Some('\'') => return Ok(()),
            Some(letter) => word.push(letter),
            None => return Err("has a quote (') that is not closed".to_owned()),
        }
    }
}

fn double_quoted(letters: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), String> {
    loop {
        match letters.next() {
            Some('"') => return Ok(()),
            Some('\\') => match letters.next() {
                Some(letter @ ('"' | '\\' | '$' | '`')) => word.push(letter),
                Some(letter) => word.extend(['\\', letter]),
                None => return Err("has a quote (\") that is not closed".to_owned()),
            },
            Some(letter @ ('$' | '`')) => return Err(of_shell(letter)),
            Some(letter) => word.push(letter),
            None => return Err("has a quote (\") that is not closed".to_owned()),
        }
    }
}

fn of_shell(letter: char) -> String {
    format!(
        "has `{letter}`, of which only a shell makes something: quote it by ', or have a shell run it, as a list: \
         [\"sh\", \"-c\", \"exec ...\"]"
    )
}

/// Writes words as they can be typed in a shell.
pub(super) fn joined<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(shell_word).collect::<Vec<_>>().join(" ")
}

/// Writes a word as it can be typed in a shell, one that makes several words of `{a,b}` and `{1..3}` too.
pub(crate) fn shell_word(word: &str) -> String {
    let is_plain = !word.is_empty()
        && word.chars().all(|it| it.is_alphanumeric() || "_-+=./:,@%{}".contains(it));
    let is_expanded = word.contains('{') && (word.contains(',') || word.contains(".."));
    match is_plain && !is_expanded {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_typed_as_a_shell_reads_it() {
        for (word, typed) in [
            ("/run/app/pid", "/run/app/pid"),
            ("{fd}", "{fd}"),
            ("/run/{a,b}", "'/run/{a,b}'"),
            ("/run/{1..3}", "'/run/{1..3}'"),
            ("/run/it's $x", r"'/run/it'\''s $x'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(word), typed);
        }
    }

    #[test]
    fn words_are_those_of_a_shell() {
        for (text, expected) in [
            ("uvicorn app:app --fd {fd}", &["uvicorn", "app:app", "--fd", "{fd}"][..]),
            ("  a\t b\n", &["a", "b"]),
            ("a 'b c' \"d e\" f\\ g", &["a", "b c", "d e", "f g"]),
            ("a'b'\"c\"d", &["abcd"]),
            ("a '' \"\"", &["a", "", ""]),
            ("'$x | *' \"a\\\"b\\\\c\\$d\\e\"", &["$x | *", "a\"b\\c$d\\e"]),
            ("a#b x~", &["a#b", "x~"]),
            ("", &[]),
        ] {
            assert_eq!(
                split(text).as_deref(),
                Ok(&expected.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()[..]),
                "{text}"
            );
        }
    }

    #[test]
    fn what_only_a_shell_can_do_is_refused() {
        for text in [
            "a $PORT", "a \"$x\"", "a | b", "a && b", "a; b", "a > b", "a `b`", "ls *.py", "a # b",
            "~/a", "(a)", "a?",
        ] {
            let refused = split(text).expect_err(text);
            assert!(refused.contains("of which only a shell makes something"), "{text}: {refused}");
        }
        for text in ["a 'b", "a \"b", "a \"b\\"] {
            assert!(split(text).expect_err(text).contains("that is not closed"), "{text}");
        }
        assert!(split("a \\").is_err());
    }

    #[test]
    fn what_is_joined_is_split_again() {
        for words in [&["a", "b c", "", "it's", "$x", "{fd}"][..], &[], &["\\", "\"", "a\nb"]] {
            let text = joined(words.iter().copied());
            assert_eq!(
                split(&text),
                Ok(words.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()),
                "{text}"
            );
        }
    }
}
