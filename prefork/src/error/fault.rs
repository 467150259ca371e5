//! What is wrong with arguments, and where that was said.

use std::{
    error::Error as StdError,
    fmt::{self, Display},
    path::PathBuf,
};

use prefork_core::one_line;

/// Arguments that make no sense, all of them.
///
/// Its text has a line for each, if there are several.
pub struct ArgsError {
    faults: Vec<Fault>,
}

impl ArgsError {
    pub(crate) const fn new(faults: Vec<Fault>) -> Self {
        Self { faults }
    }

    pub(crate) fn into_faults(self) -> Vec<Fault> {
        self.faults
    }

    /// Returns every fault that was found; there is at least one.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

impl Display for ArgsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.faults {
            [fault] => write!(f, "invalid arguments: {fault}"),
            faults => {
                f.write_str("invalid arguments:")?;
                faults.iter().try_for_each(|fault| write!(f, "\n{fault}"))
            }
        }
    }
}

impl StdError for ArgsError {}

/// What is wrong with one argument.
///
/// Its text begins with where that was said: `/etc/hello.toml:4:1: prefork: `, `HELLO_PREFORK: `, `--prefork: `, and
/// `prefork: ` where the program itself says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub(crate) argument: String,
    pub(crate) problem: String,
    pub(crate) origin: Origin,
}

impl Fault {
    /// Makes one of what the program itself has said.
    pub(crate) fn of_program(argument: &str, problem: &str) -> Self {
        Self { argument: argument.to_owned(), problem: problem.to_owned(), origin: Origin::Program }
    }

    /// Makes it one of the arguments of a pool among several. Where the place is named at which it was said, that says of which.
    pub(crate) fn of_pool(mut self, pool: &str) -> Self {
        let has_place = matches!(self.origin, Origin::File { .. }) || self.argument.contains(": ");
        if !has_place {
            self.argument = format!("{pool}.{}", self.argument);
        }
        self
    }

    /// Returns the name of the argument, or what was written in its place.
    #[must_use]
    pub fn argument(&self) -> &str {
        &self.argument
    }

    /// Returns what is wrong with it and what to do.
    #[must_use]
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { argument, problem, origin } = self;
        let (argument, problem) = (one_line(argument), one_line(problem));
        match origin {
            Origin::Program => write!(f, "{argument}: {problem}"),
            Origin::File { .. } => write!(f, "{origin}: {argument}: {problem}"),
            Origin::Variable(_) | Origin::Flag(_) => write!(f, "{origin}: {problem}"),
        }
    }
}

/// Shows an error with everything that caused it, for a person at a terminal: as [`ErrorChain`](crate::ErrorChain) does, but what
/// has several lines has them, as [`ArgsError`] has one for each fault.
///
/// # Examples
///
/// ```
/// use prefork::{Args, Lines, Prefork};
///
/// let args = Args::new().daemonize(false).min_spare(9).max_requests(0).main_loop(|_child, ()| Ok(()));
/// let error = Prefork::new(args).expect_err("two faults");
/// assert_eq!(
///     Lines(&error).to_string(),
///     "invalid arguments:\n\
///      min_spare: needs a scoreboard; set scoreboard_path or scoreboard_in_memory\n\
///      max_requests: must be at least 1; leave it out for no limit"
/// );
/// ```
#[derive(Debug)]
pub struct Lines<'a>(pub &'a (dyn StdError + 'static));

impl Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut error = Some(self.0);
        let mut separator = "";
        while let Some(shown) = error {
            for line in shown.to_string().lines() {
                write!(f, "{separator}{}", one_line(line))?;
                separator = "\n";
            }
            error = shown.source();
            separator = ": ";
        }
        Ok(())
    }
}

/// Where an argument comes from.
#[cfg_attr(
    not(any(test, feature = "serde")),
    expect(dead_code, reason = "settings are read by serde")
)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Code of the program.
    #[default]
    Program,
    File {
        path: PathBuf,
        /// Line and column of its key, from 1; unknown where that stands at several places.
        place: Option<(usize, usize)>,
    },
    /// A variable of the environment.
    Variable(String),
    /// A flag of the command line.
    Flag(String),
}

impl Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program => f.write_str("the program"),
            Self::File { path, place: None } => one_line(path).fmt(f),
            Self::File { path, place: Some((line, column)) } => {
                write!(f, "{}:{line}:{column}", one_line(path))
            }
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_its_place_and_its_line() {
        let fault =
            |origin| Fault { argument: "prefork".into(), problem: "is many".into(), origin };
        let path = PathBuf::from("/etc/x.toml");
        let faults = vec![
            fault(Origin::File { path: path.clone(), place: Some((4, 3)) }),
            fault(Origin::File { path, place: None }),
            fault(Origin::Variable("HELLO_PREFORK".into())),
            fault(Origin::Flag("--prefork".into())),
            fault(Origin::Program),
        ];
        assert_eq!(
            ArgsError::new(faults).to_string(),
            "invalid arguments:\n/etc/x.toml:4:3: prefork: is many\n/etc/x.toml: prefork: is many\n\
             HELLO_PREFORK: is many\n--prefork: is many\nprefork: is many"
        );
        let one = ArgsError::new(vec![fault(Origin::Flag("--prefork".into()))]);
        assert_eq!(one.to_string(), "invalid arguments: --prefork: is many");
    }
}
