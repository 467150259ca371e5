//! Files of variables, as `docker --env-file`, systemd's `EnvironmentFile=` and `.env` files have them in common.
//!
//! A line is `NAME=VALUE`, perhaps with `export` before it; empty lines and those that begin with `#` are left out. A value
//! in single quotes is what stands there; in double quotes `\n`, `\t`, `\"`, `\\` and `\$` stand for what they do elsewhere;
//! without quotes it ends at the line's end, or at ` #`. Nothing is expanded.

/// A variable.
pub(super) type Variable = (String, String);

/// Reads one; returns the variables, and what is wrong, each with its line.
pub(super) fn read(text: &str) -> (Vec<Variable>, Vec<(usize, String)>) {
    let (mut variables, mut faults) = (Vec::new(), Vec::new());
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match variable(line) {
            Ok(variable) => variables.push(variable),
            Err(problem) => faults.push((number, problem)),
        }
    }
    (variables, faults)
}

fn variable(line: &str) -> Result<Variable, String> {
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=').ok_or("is not NAME=VALUE")?;
    let name = name.trim();
    let begins_right = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let is_name = begins_right
        && name.chars().all(|it| it.is_ascii_alphanumeric() || ['_', '.', '-'].contains(&it));
    if !is_name {
        return Err(format!("{name:?} is no name of a variable"));
    }
    let value = value.trim_start();
    let value = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => in_quotes(&value[1..], quote)?,
        Some(_) | None => without_comment(value).to_owned(),
    };
    Ok((name.to_owned(), value))
}

fn without_comment(value: &str) -> &str {
    if value.starts_with('#') {
        return "";
    }
    let end = value.find(" #").or_else(|| value.find("\t#"));
    value[..end.unwrap_or(value.len())].trim_end()
}

fn in_quotes(text: &str, quote: char) -> Result<String, String> {
    let mut value = String::new();
    let mut letters = text.chars();
    loop {
        match letters.next() {
            None => return Err(format!("has a quote ({quote}) that is not closed on this line")),
            Some(letter) if letter == quote => break,
            Some('\\') if quote == '"' => match letters.next() {
                Some('n') => value.push('\n'),
                Some('t') => value.push('\t'),
                Some('r') => value.push('\r'),
                Some(letter @ ('"' | '\\' | '$' | '`')) => value.push(letter),
                Some(letter) => value.extend(['\\', letter]),
                None => {}
            },
            Some(letter) => value.push(letter),
        }
    }
    let rest = letters.as_str().trim_start();
    match rest.is_empty() || rest.starts_with('#') {
        true => Ok(value),
        false => Err(format!("has {rest:?} behind the closing quote")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_line_is_read() {
        let text = "# comment\n\nA=1\nexport B = two words # comment\nC='$x # \"y\"' # comment\nDQ=\"a\\n\\\"b\\\\\\$\\q\"\n\
                    E=\nF=a#b\n  G=x=y\r\nH=#none\nI-j.k=1\n";
        let (variables, faults) = read(text);
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "$x # \"y\""),
            ("DQ", "a\n\"b\\$\\q"),
            ("E", ""),
            ("F", "a#b"),
            ("G", "x=y"),
            ("H", ""),
            ("I-j.k", "1"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!((variables, faults), (expected.to_vec(), Vec::new()));
    }

    #[test]
    fn each_wrong_line_is_named() {
        let (variables, faults) = read("A\nB=1\n=x\n1C=x\nDQ='x\nE=\"x\" y\n");
        assert_eq!(variables, [("B".to_owned(), "1".to_owned())]);
        let faults: Vec<_> = faults.iter().map(|(line, problem)| (*line, &**problem)).collect();
        let expected = [
            (1, "is not NAME=VALUE"),
            (3, "\"\" is no name of a variable"),
            (4, "\"1C\" is no name of a variable"),
            (5, "has a quote (') that is not closed on this line"),
            (6, "has \"y\" behind the closing quote"),
        ];
        assert_eq!(faults, expected);
    }
}
