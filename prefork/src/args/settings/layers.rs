//! Settings from variables of the environment, and from flags of the command line.

use std::{env, ffi::OsStr};

use super::{field::Given, read::closest};
use crate::{Settings, error::Origin};

impl Settings {
    /// Reads settings from variables of the environment: the prefix, an underscore and the name, in capitals, as
    /// `HELLO_PREFORK` and `HELLO_MAX_MEMORY` with the prefix `hello`.
    ///
    /// Values are written as in a file, without quotes: `8`, `5 min`, `200M`, `true`; a list is separated by commas.
    /// Other variables with that prefix are left alone; of one that resembles a setting, as `HELLO_MAX_CHILDERN`, a
    /// warning is logged at the start and printed by [`Args::inspect`](crate::Args::inspect), unless it is the
    /// program's own: see [`own_variables`](Self::own_variables). What is wrong is reported by
    /// [`Prefork::new`](crate::Prefork::new), with the name of the variable.
    ///
    /// A reload and an upgrade have the variables that the daemon was started with.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::{Args, Settings};
    ///
    /// // What is given later goes before what was given earlier: a file, then variables, then flags.
    /// let args = Args::new()
    ///     .prefork(4)
    ///     .settings(Settings::from_environment("hello"))
    ///     .settings(Settings::from_flags([("prefork", "8")]));
    /// # drop(args);
    /// ```
    #[must_use]
    pub fn from_environment(prefix: &str) -> Self {
        let mut settings = Self::default();
        for key in Self::KEYS {
            let name = format!("{prefix}_{key}").to_uppercase().replace('-', "_");
            if let Some(text) = env::var_os(&name) {
                settings.take(key, &text, Origin::Variable(name));
            }
        }
        let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        settings.warnings = names.filter_map(|name| misspelt(prefix, &name)).collect();
        settings
    }

    /// Declares variables of the program's own, by their whole names, of which no warning is given however they are called.
    #[must_use]
    pub fn own_variables<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        for name in names {
            let begins = format!("{} ", name.as_ref());
            self.warnings.retain(|warning| !warning.starts_with(&begins));
        }
        self
    }

    /// Reads settings from flags, each as its name, with hyphens or underscores, and its value as it was given.
    ///
    /// Values are written as in a file, without quotes: `8`, `5 min`, `200M`, `true`; a list is separated by commas.
    /// What is wrong is reported by [`Prefork::new`](crate::Prefork::new), with the flag.
    #[must_use]
    pub fn from_flags<N: AsRef<str>, V: AsRef<OsStr>>(
        flags: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let mut settings = Self::default();
        for (name, text) in flags {
            let key = name.as_ref().trim_start_matches('-').replace('-', "_");
            let flag = Origin::Flag(format!("--{}", key.replace('_', "-")));
            settings.take(&key, text.as_ref(), flag);
        }
        settings
    }

    fn take(&mut self, key: &str, text: &OsStr, origin: Origin) {
        match text.to_str() {
            Some(text) => self.give(key, Given::Text(text), origin),
            None => self.refuse(key, "must be UTF-8".to_owned(), origin),
        }
    }
}

/// Returns a warning of a variable that is no setting, if it was probably meant to be one.
fn misspelt(prefix: &str, name: &str) -> Option<String> {
    let prefix = format!("{prefix}_").to_uppercase().replace('-', "_");
    let key = name.strip_prefix(&prefix)?.to_lowercase();
    let meant = closest(&key).filter(|_| !Settings::KEYS.contains(&&*key))?;
    let meant = meant.to_uppercase();
    Some(format!("{name} is no setting and has no effect; did you mean {prefix}{meant}?"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn flags_are_read_as_files_are() {
        let settings = Settings::from_flags([
            ("prefork", "8"),
            ("max-lifetime", "1d"),
            ("--request_timeout", "5 min"),
            ("graceful_timeout", "0.5"),
            ("max-memory", "200MiB"),
            ("umask", "027"),
            ("daemonize", "true"),
            ("supplementary-groups", "a, b"),
            ("pid-path", "/run/x"),
        ]);
        assert_eq!(settings.faults, []);
        assert_eq!(settings.prefork, Some(8));
        assert_eq!(settings.max_lifetime, Some(Duration::from_secs(86_400)));
        assert_eq!(settings.request_timeout, Some(Duration::from_secs(300)));
        assert_eq!(settings.graceful_timeout, Some(Duration::from_millis(500)));
        assert_eq!(settings.max_memory, Some(200 << 20));
        assert_eq!(settings.umask, Some(0o27));
        assert_eq!(settings.daemonize, Some(true));
        assert_eq!(settings.supplementary_groups, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(settings.pid_path, Some("/run/x".into()));
        assert_eq!(settings.origins["max_memory"], Origin::Flag("--max-memory".to_owned()));
    }

    #[test]
    fn a_variable_that_was_probably_meant_to_be_a_setting_is_warned_of() {
        assert_eq!(
            misspelt("hello", "HELLO_MAX_CHILDERN").as_deref(),
            Some(
                "HELLO_MAX_CHILDERN is no setting and has no effect; did you mean HELLO_MAX_CHILDREN?"
            )
        );
        for other in [
            "HELLO_MAX_CHILDREN",
            "HELLO_LISTEN",
            "HELLO_PORT",
            "HELLO_SERVICE_HOST",
            "HELLO_PORT_8080_TCP_ADDR",
            "HELLO_",
            "HELLOS_MAX_CHILDERN",
        ] {
            assert_eq!(misspelt("hello", other), None);
        }
        assert!(misspelt("my-app", "MY_APP_USERS").is_some());
        let warnings = vec![misspelt("hello", "HELLO_USERS").expect("it is like `user`")];
        let settings = Settings { warnings, ..Settings::default() };
        assert_eq!(settings.own_variables(["HELLO_USERS"]).warnings, [""; 0]);
    }

    #[test]
    fn all_that_is_wrong_with_flags_is_found() {
        let settings = Settings::from_flags([
            ("prefork", "many"),
            ("max-childern", "5"),
            ("max-memory", "5MB"),
        ]);
        let faults: Vec<_> = settings.faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            faults,
            [
                "--prefork: must be a whole number from 0 to 4294967295, not \"many\"",
                "--max-childern: unknown key; did you mean `max_children`?",
                "--max-memory: must be a number of bytes, or an amount such as \"200M\" or \"1.5GiB\", not \"5MB\"",
            ]
        );
    }
}
