//! All settings, each with its value, and where that comes from.

use super::in_force::Reaction;
use crate::{Args, Settings};

/// Where the second column begins.
const WIDTH: usize = 48;

impl<S> Args<S> {
    /// Lists each setting with its value, and behind it where that comes from: file, line and column, variable, flag, the
    /// program, or the default. A file of TOML that holds this list sets the same.
    ///
    /// Nothing is checked; [`inspect`](Self::inspect) prints this list, and checks.
    #[must_use]
    pub fn list_settings(&self) -> String {
        let settings = &self.data.settings;
        let code = self.code();
        let row = |(name, value, is_given): (&'static str, Option<String>, bool)| {
            let setting = match value {
                Some(value) => format!("{name} = {value}"),
                None => format!("# {name}"),
            };
            let is_given = is_given || code.contains(&name);
            let origin = settings.origin(name, is_given);
            format!("{setting:WIDTH$} # {origin}\n")
        };
        settings.shown().into_iter().map(row).collect()
    }

    /// The names of those in whose place code of the program answers.
    fn code(&self) -> Vec<&'static str> {
        let hooks = &self.parent_hooks;
        let on_change = Reaction::to_changes(hooks.auto_reload_handler.as_ref());
        let on_disconnect = Reaction::to_disconnects(hooks.on_client_disconnect.as_ref());
        let hooks = [("auto_reload_handler", on_change), ("on_client_disconnect", on_disconnect)];
        let set = hooks.into_iter().filter(|(_, reaction)| *reaction != Reaction::Unset);
        set.map(|(name, _)| name).collect()
    }
}

impl Settings {
    /// Where the value of a setting comes from, in words.
    fn origin(&self, name: &str, is_given: bool) -> String {
        match (self.origins.get(name), is_given, default_in_words(name)) {
            (Some(origin), _, _) => origin.to_string(),
            (None, true, _) => "the program".to_owned(),
            (None, false, Some(words)) => format!("default: {words}"),
            (None, false, None) => "default".to_owned(),
        }
    }
}

/// A default that is not always the same.
fn default_in_words(name: &str) -> Option<&'static str> {
    Some(match name {
        "name" => "the file name of the program",
        "max_surge" => "a quarter of prefork, at least 1",
        "netwatch_interval" => "2s",
        "memory_limit" => "that of the control groups",
        "user" | "umask" | "rlimit_nofile" => "as the parent has it",
        "group" | "supplementary_groups" => "as user has it",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OnDisconnect;

    #[test]
    fn each_setting_stands_there_with_its_value_and_its_origin() {
        let settings =
            Settings::from_flags([("max-memory", "200M"), ("umask", "027"), ("name", "x")]);
        let hook = |_: &crate::Disconnect| Ok(OnDisconnect::Nothing);
        let args = Args::new().prefork(4).settings(settings).name("y").on_client_disconnect(hook);
        let listing = args.list_settings();
        let row = |name: &str| listing.lines().find(|row| row.split(' ').any(|it| it == name));
        let expected = |setting: &str, origin: &str| format!("{setting:WIDTH$} # {origin}");
        for (name, setting, origin) in [
            ("name", "name = \"y\"", "the program"),
            ("prefork", "prefork = 4", "the program"),
            ("max_memory", "max_memory = \"200M\"", "--max-memory"),
            ("umask", "umask = \"027\"", "--umask"),
            ("max_children", "max_children = 150", "default"),
            ("graceful_timeout", "graceful_timeout = \"30s\"", "default"),
            ("max_spare", "# max_spare", "default"),
            ("max_surge", "# max_surge", "default: a quarter of prefork, at least 1"),
            ("on_client_disconnect", "# on_client_disconnect", "the program"),
        ] {
            assert_eq!(row(name), Some(&*expected(setting, origin)), "{listing}");
        }
        assert_eq!(listing.lines().count(), Settings::KEYS.len());
    }
}
