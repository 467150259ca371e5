//! A file of settings: one table with the names of the flags, `command`, `[env]` and `[limits]`.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use prefork::{Settings, SettingsError, read_settings};
use toml::{Table, Value, de::DeTable};

use super::{
    given::{Given, Origin, Refused, parts, place},
    own::{Kind, Own, nearest, of_daemons, why_unfit},
};

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct FileSettings {
    pub(super) own: Vec<Given>,
    pub(super) of_daemon: Settings,
    pub(super) refused: Vec<Refused>,
}

/// Reads one.
pub(super) fn read(path: &Path) -> Result<FileSettings, SettingsError> {
    read_settings(path, |text| parse(path, text))
}

fn parse(path: &Path, text: &str) -> Result<FileSettings, toml::de::Error> {
    let table: Table = toml::from_str(text)?;
    let places = places(text)?;
    let mut read = FileSettings::default();
    let mut of_daemon = Table::new();
    let mut keys: Vec<_> = table.into_iter().collect();
    keys.sort_by_key(|(key, _)| places.get(key).copied());
    for (key, value) in keys {
        let place = places.get(&key).copied().unwrap_or((1, 1));
        let origin = Origin::File { path: path.to_owned(), place };
        match Own::of(&key) {
            Some(own) => {
                let mut given = Given { own, texts: Vec::new(), origin };
                match texts(own, &value) {
                    Ok(texts) => {
                        given.texts = texts;
                        read.own.push(given);
                    }
                    Err(problem) => read.refused.push(Refused::of(&given, problem)),
                }
            }
            None if of_daemons().any(|setting| setting.name == key) => {
                of_daemon.insert(key, value);
            }
            None => {
                let problem = unknown(&key, &value);
                read.refused.push(Refused { what: format!("{origin}: {key}"), problem });
            }
        }
    }
    read.of_daemon = Value::Table(of_daemon).try_into()?;
    Ok(read)
}

/// Line and column of each key.
fn places(text: &str) -> Result<BTreeMap<String, (usize, usize)>, toml::de::Error> {
    let keys = DeTable::parse(text)?.into_inner();
    let places = keys.keys().map(|key| {
        let name = key.get_ref().to_string();
        (name, place(text, key.span().start))
    });
    Ok(places.collect())
}

fn unknown(key: &str, value: &Value) -> String {
    match (why_unfit(key), nearest(key)) {
        (_, meant) if value.is_table() && !meant.is_some_and(is_table) => {
            "unknown table; all settings stand in one, above [env] and [limits]: move them there"
                .to_owned()
        }
        (Some(why), _) => format!("is no setting of a program that is run: {why}"),
        (None, Some(meant)) => format!("unknown key; did you mean `{meant}`?"),
        (None, None) => "unknown key; `prefork run --help` lists all".to_owned(),
    }
}

/// Whether a setting can be a table.
fn is_table(name: &str) -> bool {
    ["env", "limits", "listen"].contains(&name)
}

/// Makes of a value what a flag would be given.
fn texts(own: &Own, value: &Value) -> Result<Vec<OsString>, String> {
    if own.name == "listen_mode" && matches!(value, Value::Integer(_)) {
        return Err(
            "must be a text of octal digits such as \"0660\", as a number would be decimal"
                .to_owned(),
        );
    }
    match (own.kind, value) {
        (Kind::Command, Value::String(text)) => parts(own.kind, text.as_ref()),
        (Kind::List | Kind::Command, Value::Array(values)) => values.iter().map(scalar).collect(),
        (Kind::Pairs, Value::Array(values)) => values.iter().map(scalar).collect(),
        (Kind::Pairs, Value::Table(table)) => pairs(table),
        (Kind::List, Value::Table(table)) if own.name == "listen" => pairs(table),
        (Kind::Command, value) => Err(format!("must be a list or a text, not {}", shown(value))),
        (Kind::Switch, Value::Boolean(is_on)) => Ok(vec![is_on.to_string().into()]),
        (Kind::Switch, value) => Err(format!("must be true or false, not {}", shown(value))),
        (Kind::Pairs, value) => Err(format!("must be a table, not {}", shown(value))),
        (Kind::One | Kind::List, value) => Ok(vec![scalar(value)?]),
    }
}

fn pairs(table: &Table) -> Result<Vec<OsString>, String> {
    let pair = |(name, value): (&String, &Value)| {
        let mut pair = OsString::from(format!("{name}="));
        pair.push(scalar(value).map_err(|problem| format!("{name}: {problem}"))?);
        Ok(pair)
    };
    table.iter().map(pair).collect()
}

fn scalar(value: &Value) -> Result<OsString, String> {
    match value {
        Value::String(text) => Ok(text.into()),
        Value::Integer(number) => Ok(number.to_string().into()),
        Value::Float(number) => Ok(number.to_string().into()),
        Value::Boolean(truth) => Ok(truth.to_string().into()),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => {
            Err(format!("must be a text, not {}", shown(value)))
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
        Value::Datetime(_) => "a date".to_owned(),
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => {
            value.to_string()
        }
    }
}

/// Whether a word in the place of the file is probably the beginning of a command.
pub(super) fn is_probably_a_command(path: &Path) -> bool {
    !path.exists() && path.extension().is_none_or(|ending| ending != "toml")
}

/// The path of the file, as it is shown.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> FileSettings {
        parse(Path::new("/a.toml"), text).expect("it is TOML")
    }

    #[test]
    fn one_table_holds_what_is_the_programs_and_the_daemons() {
        let read = parsed(
            "command = \"uvicorn app:app\"\nlisten = [\":80\", \":81\"]\nprefork = 4\nstdin_socket = true\n\
             ready = \"after:2s\"\n[env]\nA = 1\nB = \"x\"\n[limits]\nnofile = 1024\n",
        );
        assert_eq!(read.refused, []);
        assert_eq!(read.of_daemon.prefork, Some(4));
        let own: Vec<_> = read
            .own
            .iter()
            .map(|it| {
                let texts: Vec<_> = it.texts.iter().map(|text| text.to_string_lossy()).collect();
                (it.own.name, texts.join(" "), it.origin.to_string())
            })
            .collect();
        let expected = [
            ("command", "uvicorn app:app", "/a.toml:1:1"),
            ("listen", ":80 :81", "/a.toml:2:1"),
            ("stdin_socket", "true", "/a.toml:4:1"),
            ("ready", "after:2s", "/a.toml:5:1"),
            ("env", "A=1 B=x", "/a.toml:6:2"),
            ("limits", "nofile=1024", "/a.toml:9:2"),
        ];
        let expected = expected.map(|(a, b, c)| (a, b.to_owned(), c.to_owned()));
        let shown: Vec<_> = own.iter().map(|(a, b, c)| (*a, b.clone(), c.clone())).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn sockets_can_have_their_names_as_keys() {
        let read = parsed("[listen]\nhttp = \":80\"\n");
        assert_eq!(read.own[0].texts, ["http=:80"]);
    }

    #[test]
    fn all_that_is_wrong_is_named_with_its_line_and_the_right_key() {
        let read = parsed(
            "listne = \":80\"\nnetwatch_interval = 1\nlisten_mode = 432\nstdin_socket = 1\ncommand = \"a | b\"\n\
             env = 3\nready = []\nzzz = 1\nlimits = {nofile = [1]}\nstop_command = 3\nlimit = {x = 1}\n",
        );
        let refused: Vec<_> =
            read.refused.iter().map(|it| format!("{}: {}", it.what, it.problem)).collect();
        let expected = [
            "/a.toml:1:1: listne: unknown key; did you mean `listen`?",
            "/a.toml:2:1: netwatch_interval: is no setting of a program that is run: a program has to notice itself that its \
             clients have gone",
            "/a.toml:3:1: listen_mode: must be a text of octal digits such as \"0660\", as a number would be decimal",
            "/a.toml:4:1: stdin_socket: must be true or false, not 1",
            "/a.toml:5:1: command: has `|`, of which only a shell makes something: quote it by ', or have a shell run it, as \
             a list: [\"sh\", \"-c\", \"exec ...\"]",
            "/a.toml:6:1: env: must be a table, not 3",
            "/a.toml:7:1: ready: must be a text, not a list",
            "/a.toml:8:1: zzz: unknown key; `prefork run --help` lists all",
            "/a.toml:9:1: limits: nofile: must be a text, not a list",
            "/a.toml:10:1: stop_command: must be a list or a text, not 3",
            "/a.toml:11:1: limit: unknown key; did you mean `limits`?",
        ];
        assert_eq!(refused, expected);
    }

    #[test]
    fn what_is_no_toml_is_an_error_of_the_parser() {
        let error = parse(Path::new("/a.toml"), "command = [\n").expect_err("no TOML").to_string();
        assert!(error.contains("line 1") || error.contains("line 2"), "{error}");
    }
}
