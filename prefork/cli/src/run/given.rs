//! What was given for the settings of a program, and by whom.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt::{self, Display},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use prefork::Settings;
use prefork_core::one_line;

use super::{
    own::{COMMAND, Kind, OWN, Own, VARIABLES, nearest},
    split::split,
};

/// Where something was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// As a flag.
    Flag(&'static str),
    /// Behind `--`.
    CommandLine,
    /// In a variable of prefork's own environment.
    Variable(String),
    /// In a file, with line and column.
    File { path: PathBuf, place: (usize, usize) },
}

impl Origin {
    /// Says where, for a message about this setting.
    pub(super) fn label(&self, own: &Own) -> String {
        match self {
            Self::Flag(_) | Self::Variable(_) => self.to_string(),
            Self::CommandLine => own.name.to_owned(),
            Self::File { .. } => format!("{self}: {}", own.name),
        }
    }
}

impl Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "--{flag}"),
            Self::CommandLine => f.write_str("command line"),
            Self::Variable(name) => f.write_str(name),
            Self::File { path, place: (line, column) } => {
                write!(f, "{}:{line}:{column}", one_line(path))
            }
        }
    }
}

/// What was given for one setting at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) own: &'static Own,
    pub(super) texts: Vec<OsString>,
    pub(super) origin: Origin,
}

/// Something that is wrong: where, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) what: String,
    pub(super) problem: String,
}

impl Refused {
    pub(super) fn of(given: &Given, problem: impl Into<String>) -> Self {
        Self { what: given.origin.label(given.own), problem: problem.into() }
    }
}

/// Reads the variables of prefork's own environment.
pub(super) fn of_environment(refused: &mut Vec<Refused>) -> Vec<Given> {
    let mut all = Vec::new();
    for own in [&COMMAND].into_iter().chain(&OWN) {
        let Some(name) = own.variable() else { continue };
        let Some(text) = env::var_os(&name) else { continue };
        let mut given = Given { own, texts: Vec::new(), origin: Origin::Variable(name) };
        match parts(own.kind, &text) {
            Ok(texts) => given.texts = texts,
            Err(problem) => {
                refused.push(Refused::of(&given, problem));
                continue;
            }
        }
        all.push(given);
    }
    let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    refused.extend(names.filter_map(|name| misspelt(&name)));
    all
}

/// Refuses a variable that is no setting, if it was probably meant to be one: others of that prefix are somebody else's, as
/// those that Kubernetes makes of the name of a service.
fn misspelt(name: &str) -> Option<Refused> {
    let key = name.strip_prefix(VARIABLES)?.strip_prefix('_')?.to_lowercase();
    if Own::of(&key).is_some() || Settings::list().iter().any(|setting| setting.name == key) {
        return None;
    }
    let meant = Own::of(nearest(&key)?);
    let meant = match meant {
        Some(own) => own.variable()?,
        None => format!("{VARIABLES}_{}", nearest(&key)?.to_uppercase()),
    };
    Some(Refused {
        what: name.to_owned(),
        problem: format!("is no setting; did you mean {meant}?"),
    })
}

/// Takes one text apart that stands for all that a setting is.
pub(super) fn parts(kind: Kind, text: &OsStr) -> Result<Vec<OsString>, String> {
    match kind {
        Kind::One | Kind::Switch => Ok(vec![text.to_owned()]),
        Kind::List | Kind::Pairs => {
            let parts = text.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            let parts = parts.filter(|part| !part.is_empty());
            Ok(parts.map(|part| OsString::from_vec(part.to_vec())).collect())
        }
        Kind::Command => match text.to_str() {
            Some(text) => split(text).map(|words| words.into_iter().map(Into::into).collect()),
            None => Err("must be UTF-8".to_owned()),
        },
    }
}

/// Returns what counts of all that was given, what was given first being what counts least.
pub(super) fn in_force(all: &[Given]) -> Vec<Given> {
    let is_overruled = |index: usize, given: &Given| match given.own.kind {
        Kind::Pairs => false,
        Kind::One | Kind::Switch | Kind::List | Kind::Command => {
            all[index + 1..].iter().any(|later| later.own == given.own)
        }
    };
    let counts = all.iter().enumerate().filter(|(index, given)| !is_overruled(*index, given));
    counts.map(|(_, given)| given.clone()).collect()
}

/// Line and column of a place in a text, from 1.
pub(super) fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// What stands in a line of a file, for a message.
pub(super) fn in_line(path: &Path, line: usize) -> String {
    format!("{}:{line}", one_line(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(name: &str, text: &str, flag: &'static str) -> Given {
        let own = Own::of(name).expect(name);
        Given { own, texts: vec![text.into()], origin: Origin::Flag(flag) }
    }

    #[test]
    fn what_is_given_later_counts_but_pairs_are_added() {
        let all = vec![
            given("listen", "a", "1"),
            given("env", "A=1", "1"),
            given("ready", "auto", "1"),
            given("listen", "b", "2"),
            given("env", "A=2", "2"),
        ];
        let expected = [&all[1], &all[2], &all[3], &all[4]].map(Clone::clone);
        assert_eq!(in_force(&all), expected);
    }

    #[test]
    fn variables_hold_lists_and_commands() {
        let parts = |kind, text: &str| parts(kind, OsStr::new(text));
        assert_eq!(parts(Kind::One, "a,b"), Ok(vec!["a,b".into()]));
        assert_eq!(parts(Kind::List, "a, b,,"), Ok(vec!["a".into(), "b".into()]));
        assert_eq!(parts(Kind::Command, "a 'b c'"), Ok(vec!["a".into(), "b c".into()]));
        assert!(parts(Kind::Command, "a | b").is_err());
    }

    #[test]
    fn a_variable_that_was_meant_to_be_a_setting_is_refused() {
        for (name, meant) in [
            ("PREFORK_RUN_LISTNE", Some("PREFORK_RUN_LISTEN")),
            ("PREFORK_RUN_MAX_CHILDERN", Some("PREFORK_RUN_MAX_CHILDREN")),
            ("PREFORK_RUN_DEMAND_COMAND", Some("PREFORK_RUN_DEMAND_COMMAND")),
            ("PREFORK_RUN_LISTEN", None),
            ("PREFORK_RUN_MAX_CHILDREN", None),
            // It has no meaning here, which is refused elsewhere.
            ("PREFORK_RUN_NETWATCH_INTERVAL", None),
            // Of a service that is called so.
            ("PREFORK_RUN_SERVICE_HOST", None),
            ("PREFORK_RUN_PORT_80_TCP", None),
            ("PREFORK_RUNNER", None),
            ("LISTNE", None),
        ] {
            let problem = misspelt(name).map(|refused| {
                assert_eq!(refused.what, name);
                refused.problem
            });
            let expected = meant.map(|meant| format!("is no setting; did you mean {meant}?"));
            assert_eq!(problem, expected, "{name}");
        }
    }

    #[test]
    fn places_are_counted_from_one() {
        let text = "a\nbc = 1\n";
        assert_eq!([0, 1, 2, 3].map(|at| place(text, at)), [(1, 1), (1, 2), (2, 1), (2, 2)]);
    }
}
