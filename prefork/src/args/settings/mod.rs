//! The arguments that are plain data, as values that a file can hold.

mod file;
mod in_force;
mod places;
#[cfg(feature = "serde")]
mod read;
#[cfg(feature = "serde")]
mod value;

use std::{
    fmt::Debug,
    hash::{DefaultHasher, Hash, Hasher},
    path::PathBuf,
    time::Duration,
};

pub use file::SettingsError;
pub(crate) use file::{ReadFile, files_read, read};
pub(crate) use in_force::{Fixed, Held, InForce, Live, Mask, Reaction};
pub(crate) use places::locate;

use crate::{Args, LogLevel, OnChange, OnDisconnect, StatusAddress};
#[cfg(feature = "serde")]
use value::Field;

/// What brings another value of a setting into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// A reload: the parent only decides by it, or hands it to the children that it forks from then on.
    Reload,
    /// An upgrade: it is about what the parent has opened, made or found out when it came up.
    Upgrade,
    /// A start: it is about what comes before the daemon.
    Restart,
}

/// Stands for a value that is to be compared alone: every process that is forked has a copy of what the parent keeps.
fn fingerprint(value: &impl Debug) -> u64 {
    // With the same keys in every process that runs this program.
    let mut hasher = DefaultHasher::new();
    format!("{value:?}").hash(&mut hasher);
    hasher.finish()
}

/// Makes the struct, what applies it, and what reads it, from one list.
macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident: $type:ty, by $applied:ident;)*) => {
        /// The arguments that are plain data, each under its name, to be read from a file.
        ///
        /// What is not set keeps its default: that of [`Args`], or what was set there before. Apply them
        /// with [`Args::settings`]; they are checked with all the others by
        /// [`Prefork::new`](crate::Prefork::new).
        ///
        /// With the feature `serde` they can be deserialized from any format that describes itself, such as
        /// TOML, YAML or JSON. Times are numbers of seconds (`30`, `0.5`) or texts (`"30s"`, `"1m 30s"`,
        /// `"500ms"`); numbers of bytes are whole numbers; `umask` is an octal text (`"027"`), as a number would
        /// be read as decimal; `auto_reload_handler` is `"upgrade"`, `"reload"` or `"nothing"`;
        /// `on_client_disconnect` is `"cancel"` or `"nothing"`; `log_level` is `"error"`, `"warn"`, `"info"` or
        /// `"debug"`. Every unknown key and every wrong
        /// value is named in one error.
        ///
        /// # Examples
        ///
        /// ```
        /// use prefork::{Args, Settings};
        /// use std::time::Duration;
        ///
        /// let mut settings = Settings::default();
        /// settings.prefork = Some(4);
        /// settings.graceful_timeout = Some(Duration::from_secs(10));
        /// let args = Args::new().settings(settings);
        /// # drop(args);
        /// ```
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Settings {
            $($(#[$doc])* pub $name: Option<$type>,)*
        }

        impl Settings {
            /// The names, each with what brings another value of it into force, and what stands for its value.
            pub(crate) fn keys(&self) -> Vec<(&'static str, Applied, u64)> {
                vec![$((stringify!($name), Applied::$applied, fingerprint(&self.$name)),
                )*]
            }
        }

        impl<S> Args<S> {
            /// Sets every argument that `settings` has, over what was set before; the others stay.
            ///
            /// A daemon whose arguments were set so reads them again at each reload: see
            /// [operating](crate::docs::operating#settings).
            pub fn settings(mut self, settings: Settings) -> Self {
                self.data.has_settings = true;
                $(if let Some(value) = settings.$name {
                    self = self.$name(value);
                })*
                self
            }
        }

        #[cfg(feature = "serde")]
        impl Settings {
            /// The names, as they are documented.
            const KEYS: &[&str] = &[$(stringify!($name)),*];

            /// Sets one by its name; `None` if there is none of that name.
            fn set(&mut self, key: &str, value: &value::Value) -> Option<Result<(), String>> {
                if key == "umask" {
                    let mask = value::Mask::from_value(value);
                    return Some(mask.map(|value::Mask(mask)| self.umask = Some(mask)));
                }
                match key {
                    $(stringify!($name) => Some(Field::from_value(value).map(|read| {
                        self.$name = Some(read);
                    })),)*
                    _ => None,
                }
            }
        }
    };
}

settings! {
    /// See [`Args::name`]. Default: the file name of the program.
    name: String, by Upgrade;
    /// See [`Args::require_root`]. Default off.
    require_root: bool, by Restart;
    /// See [`Args::daemonize`]. Default on.
    daemonize: bool, by Restart;
    /// See [`Args::error_log_path`]. Required with `daemonize`.
    error_log_path: PathBuf, by Upgrade;
    /// See [`Args::access_log_path`]. Required with `daemonize`.
    access_log_path: PathBuf, by Upgrade;
    /// See [`Args::pid_path`]. Required with `daemonize`.
    pid_path: PathBuf, by Upgrade;
    /// See [`Args::scoreboard_path`]. Default none.
    scoreboard_path: PathBuf, by Upgrade;
    /// See [`Args::scoreboard_in_memory`]. Default off.
    scoreboard_in_memory: bool, by Upgrade;
    /// See [`Args::status_listen`]: `"127.0.0.1:9000"`, or the path of a UNIX socket. Default none.
    status_listen: StatusAddress, by Upgrade;
    /// See [`Args::prefork`]. Default 3.
    prefork: u32, by Reload;
    /// See [`Args::max_children`]. Default 150.
    max_children: u32, by Reload;
    /// See [`Args::min_spare`]. Default 1.
    min_spare: u32, by Reload;
    /// See [`Args::max_spare`]. Default none.
    max_spare: u32, by Reload;
    /// See [`Args::max_unavailable`]. Default: a quarter of `prefork`, at least 1.
    max_unavailable: u32, by Reload;
    /// See [`Args::max_requests`]. Default none.
    max_requests: u64, by Reload;
    /// See [`Args::max_lifetime`]. Default none.
    max_lifetime: Duration, by Reload;
    /// See [`Args::max_memory`], in bytes. Default none.
    max_memory: u64, by Reload;
    /// See [`Args::request_timeout`]. Default none.
    request_timeout: Duration, by Reload;
    /// See [`Args::start_timeout`]. Default 60 s.
    start_timeout: Duration, by Reload;
    /// See [`Args::graceful_timeout`]. Default 30 s.
    graceful_timeout: Duration, by Reload;
    /// See [`Args::reload_timeout`]. Default none.
    reload_timeout: Duration, by Reload;
    /// See [`Args::hook_timeout`]. Default 30 s.
    hook_timeout: Duration, by Reload;
    /// See [`Args::auto_reload_check_every`]. Default never.
    auto_reload_check_every: Duration, by Reload;
    /// See [`Args::auto_reload_handler`]. Required with `auto_reload_check_every`.
    auto_reload_handler: OnChange, by Reload;
    /// See [`Args::on_client_disconnect`]. Default nothing.
    on_client_disconnect: OnDisconnect, by Reload;
    /// See [`Args::netwatch_interval`]. Default 2 s.
    netwatch_interval: Duration, by Reload;
    /// See [`Args::user`]. Default: the one of the parent.
    user: String, by Upgrade;
    /// See [`Args::group`]. Default: that of `user`.
    group: String, by Upgrade;
    /// See [`Args::supplementary_groups`]. Default: those of `user`.
    supplementary_groups: Vec<String>, by Upgrade;
    /// See [`Args::umask`]. Default: that of the parent.
    umask: u32, by Reload;
    /// See [`Args::no_new_privs`]. Default off.
    no_new_privs: bool, by Reload;
    /// See [`Args::rlimit_nofile`]. Default: the limits of the parent.
    rlimit_nofile: u64, by Reload;
    /// See [`Args::log_level`]: `"error"`, `"warn"`, `"info"` or `"debug"`. Default `"info"`.
    log_level: LogLevel, by Reload;
    /// See [`Args::drop_parent`]. Default off.
    drop_parent: bool, by Upgrade;
    /// See [`Args::keep_descendants`]. Default off.
    keep_descendants: bool, by Upgrade;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_stays() {
        let settings = Settings { prefork: Some(7), ..Settings::default() };
        let args = Args::new().prefork(4).max_children(9).settings(settings);
        assert_eq!((args.data.prefork, args.data.max_children), (Some(7), Some(9)));
        let args = args.settings(Settings::default());
        assert_eq!(args.data.prefork, Some(7));
    }

    /// What a file could not hold: open files, and a list that can be wrong in itself.
    #[cfg(feature = "serde")]
    const NOT_PLAIN: [&str; 3] = ["error_log_handle", "access_log_handle", "auto_reload_watch"];

    #[cfg(feature = "serde")]
    #[test]
    fn every_argument_that_is_plain_data_is_a_setting() {
        let sources = [include_str!("../data.rs"), include_str!("../privileges.rs")];
        let setters = sources.iter().flat_map(|source| source.split("    pub fn ").skip(1));
        let names = setters.map(|rest| rest.split_once(['(', '<']).map_or(rest, |(name, _)| name));
        let wanted: Vec<_> = names.filter(|name| !NOT_PLAIN.contains(name)).collect();
        assert!(wanted.len() > 25, "{wanted:?}");
        for name in wanted {
            assert!(Settings::KEYS.contains(&name), "{name} cannot be read from a file");
        }
    }
}
