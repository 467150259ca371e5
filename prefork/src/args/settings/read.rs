//! Reading settings by serde, with everything that is wrong in one error.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::{field::Given, places, value::Value};
use crate::{Fault, Settings, error::Origin};

/// How alike two names must be for one to be what was meant, from 0 to 1.
const ALIKE: f64 = 0.8;

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Settings;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of settings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Settings, A::Error> {
        let mut settings = Settings::default();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value::<Value>()?;
            settings.give(&key, Given::Value(&value), places::origin(&key).unwrap_or_default());
        }
        // Those of a file are reported with all others, when the arguments are checked.
        if settings.faults.is_empty() || places::note(&settings.faults) {
            return Ok(settings);
        }
        let problems: Vec<_> = settings.faults.iter().map(Fault::to_string).collect();
        Err(A::Error::custom(problems.join("; ")))
    }
}

impl Settings {
    /// Sets one by its name, or notes what is wrong with that.
    pub(super) fn give(&mut self, key: &str, given: Given<'_>, origin: Origin) {
        let name = Self::KEYS.iter().copied().find(|name| *name == key);
        let problem = match (self.set(key, given), name) {
            (Some(Ok(())), Some(name)) => {
                if origin != Origin::Program {
                    self.origins.insert(name, origin);
                }
                return;
            }
            (Some(Err(problem)), _) => problem,
            (Some(Ok(())), None) | (None, _) => unknown(key),
        };
        self.refuse(key, problem, origin);
    }

    /// Notes what is wrong with what was given in the place of one.
    pub(super) fn refuse(&mut self, key: &str, problem: String, origin: Origin) {
        self.faults.push(Fault { argument: key.to_owned(), problem, origin });
    }
}

fn unknown(key: &str) -> String {
    match (closest(key), places::table(key)) {
        (Some(name), _) => format!("unknown key; did you mean `{name}`?"),
        (None, Some(heading)) => format!(
            "unknown key, none of the daemon's settings; if it is the program's own, move it above {heading}"
        ),
        (None, None) => "unknown key".to_owned(),
    }
}

/// Returns the name that was probably meant.
pub(super) fn closest(key: &str) -> Option<&'static str> {
    // The names have underscores; files of other programs have hyphens.
    let key = key.to_lowercase().replace('-', "_");
    let likeness = |name: &&str| strsim::jaro_winkler(&key, name);
    let names = Settings::KEYS.iter().copied();
    let best = names.max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(&best) >= ALIKE).then_some(best)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{OnChange, OnDisconnect};

    fn read(json: &str) -> Result<Settings, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    fn refused(json: &str) -> String {
        let error = read(json).expect_err("refused");
        // Where the table ends is not where the fault is.
        error.split(" at line ").next().unwrap_or_default().to_owned()
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let settings = read(
            r#"{"name": "x", "daemonize": false, "pid_path": "/run/x", "prefork": 4,
                "max_memory": 5000000000, "graceful_timeout": "1m 30s", "start_timeout": 0.5,
                "max_lifetime": 3600, "umask": "027", "supplementary_groups": ["a", "b"],
                "auto_reload_handler": "reload", "on_client_disconnect": "cancel",
                "netwatch_interval": "100ms"}"#,
        )
        .expect("read");
        let expected = Settings {
            name: Some("x".to_owned()),
            daemonize: Some(false),
            pid_path: Some("/run/x".into()),
            prefork: Some(4),
            max_memory: Some(5_000_000_000),
            graceful_timeout: Some(Duration::from_secs(90)),
            start_timeout: Some(Duration::from_millis(500)),
            max_lifetime: Some(Duration::from_secs(3600)),
            umask: Some(0o027),
            supplementary_groups: Some(vec!["a".to_owned(), "b".to_owned()]),
            auto_reload_handler: Some(OnChange::Reload),
            on_client_disconnect: Some(OnDisconnect::Cancel),
            netwatch_interval: Some(Duration::from_millis(100)),
            ..Settings::default()
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn masks_are_octal() {
        for (json, mask) in
            [(r#""022""#, 0o22), (r#""22""#, 0o22), (r#""0o027""#, 0o27), (r#""0""#, 0), ("0", 0)]
        {
            let settings = read(&format!("{{\"umask\": {json}}}")).expect("read");
            assert_eq!(settings.umask, Some(mask), "{json}");
        }
    }

    #[test]
    fn the_address_of_the_status_page_is_a_text() {
        let settings = read(r#"{"status_listen": "127.0.0.1:9000"}"#).expect("read");
        assert_eq!(settings.status_listen, Some("127.0.0.1:9000".into()));
        assert_eq!(
            refused(r#"{"status_listen": 9000}"#),
            "status_listen: must be an address such as \"127.0.0.1:9000\" or the path of a socket, \
             not 9000"
        );
    }

    #[test]
    fn all_that_is_wrong_is_named_at_once() {
        let said =
            refused(r#"{"max_childern": 5, "prefork": "many", "name": "ok", "daemonize": 1}"#);
        assert_eq!(
            said,
            "max_childern: unknown key; did you mean `max_children`?; \
             prefork: must be a whole number from 0 to 4294967295, not \"many\"; \
             daemonize: must be true or false, not 1"
        );
    }

    #[test]
    fn a_key_that_resembles_nothing_gets_no_advice() {
        assert_eq!(refused(r#"{"zzz": 5}"#), "zzz: unknown key");
        let meant = "Graceful-Timeout: unknown key; did you mean `graceful_timeout`?";
        assert_eq!(refused(r#"{"Graceful-Timeout": 5}"#), meant);
    }

    #[test]
    fn values_of_the_wrong_kind_or_size_are_refused() {
        for (json, problem) in [
            (r#"{"prefork": -1}"#, "prefork: must be a whole number from 0 to 4294967295, not -1"),
            (
                r#"{"prefork": 1.5}"#,
                "prefork: must be a whole number from 0 to 4294967295, not 1.5",
            ),
            (
                r#"{"max_requests": "1"}"#,
                "max_requests: must be a whole number from 0 to 18446744073709551615, not \"1\"",
            ),
            (
                r#"{"start_timeout": "soon"}"#,
                "start_timeout: must be a number of seconds or a time such as \"30s\", \"5 min\" or \"1d\", not \"soon\"",
            ),
            (
                r#"{"start_timeout": -1}"#,
                "start_timeout: must be a number of seconds or a time such as \"30s\", \"5 min\" or \"1d\", not -1",
            ),
            (
                r#"{"start_timeout": 1e300}"#,
                "start_timeout: must be a number of seconds or a time such as \"30s\", \"5 min\" or \"1d\", not 1e300",
            ),
            (
                r#"{"umask": "9"}"#,
                "umask: must be a text of octal digits such as \"022\" (a number would be decimal), \
                 not \"9\"",
            ),
            (
                r#"{"umask": 22}"#,
                "umask: must be a text of octal digits such as \"022\" (a number would be decimal), \
                 not 22",
            ),
            (
                r#"{"umask": "+22"}"#,
                "umask: must be a text of octal digits such as \"022\" (a number would be decimal), \
                 not \"+22\"",
            ),
            (
                r#"{"on_client_disconnect": "kill"}"#,
                "on_client_disconnect: must be \"cancel\" or \"nothing\", not \"kill\"",
            ),
            (r#"{"name": ["x"]}"#, "name: must be a text, not a list"),
            (r#"{"name": null}"#, "name: must be a text, not nothing"),
            (r#"{"pid_path": {"a": 1}}"#, "pid_path: must be a path, not a table"),
            (
                r#"{"supplementary_groups": ["a", 1]}"#,
                "supplementary_groups: must be a list of texts, not a list with 1 in it",
            ),
            (
                r#"{"auto_reload_handler": "restart"}"#,
                "auto_reload_handler: must be \"upgrade\", \"reload\" or \"nothing\", not \"restart\"",
            ),
        ] {
            assert_eq!(refused(json), problem);
        }
    }
}
