//! The arguments that are plain data, as values that a file can hold.

#[cfg(feature = "serde")]
mod read;
#[cfg(feature = "serde")]
mod value;

use std::{path::PathBuf, time::Duration};

use crate::{Args, OnChange};
#[cfg(feature = "serde")]
use value::Field;

/// Makes the struct, what applies it, and what reads it, from one list.
macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        /// The arguments that are plain data, each under its name, to be read from a file.
        ///
        /// What is not set keeps its default: that of [`Args`], or what was set there before. Apply them
        /// with [`Args::settings`]; they are checked with all the others by
        /// [`Prefork::new`](crate::Prefork::new).
        ///
        /// With the feature `serde` they can be deserialized from any format that describes itself, such as
        /// TOML, YAML or JSON. Times are numbers of seconds (`30`, `0.5`) or texts (`"30s"`, `"1m 30s"`,
        /// `"500ms"`); numbers of bytes are whole numbers; `umask` is a number or an octal text (`"027"`);
        /// `auto_reload_handler` is `"upgrade"`, `"reload"` or `"nothing"`. Every unknown key and every wrong
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

        impl<S> Args<S> {
            /// Sets every argument that `settings` has, over what was set before; the others stay.
            pub fn settings(mut self, settings: Settings) -> Self {
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
    name: String,
    /// See [`Args::require_root`]. Default off.
    require_root: bool,
    /// See [`Args::daemonize`]. Default on.
    daemonize: bool,
    /// See [`Args::error_log_path`]. Required with `daemonize`.
    error_log_path: PathBuf,
    /// See [`Args::access_log_path`]. Required with `daemonize`.
    access_log_path: PathBuf,
    /// See [`Args::pid_path`]. Required with `daemonize`.
    pid_path: PathBuf,
    /// See [`Args::scoreboard_path`]. Default none.
    scoreboard_path: PathBuf,
    /// See [`Args::scoreboard_in_memory`]. Default off.
    scoreboard_in_memory: bool,
    /// See [`Args::prefork`]. Default 3.
    prefork: u32,
    /// See [`Args::max_children`]. Default 150.
    max_children: u32,
    /// See [`Args::min_spare`]. Default 1.
    min_spare: u32,
    /// See [`Args::max_spare`]. Default none.
    max_spare: u32,
    /// See [`Args::max_unavailable`]. Default: a quarter of `prefork`, at least 1.
    max_unavailable: u32,
    /// See [`Args::max_requests`]. Default none.
    max_requests: u64,
    /// See [`Args::max_lifetime`]. Default none.
    max_lifetime: Duration,
    /// See [`Args::max_memory`], in bytes. Default none.
    max_memory: u64,
    /// See [`Args::request_timeout`]. Default none.
    request_timeout: Duration,
    /// See [`Args::start_timeout`]. Default 60 s.
    start_timeout: Duration,
    /// See [`Args::graceful_timeout`]. Default 30 s.
    graceful_timeout: Duration,
    /// See [`Args::auto_reload_check_every`]. Default never.
    auto_reload_check_every: Duration,
    /// See [`Args::auto_reload_handler`]. Required with `auto_reload_check_every`.
    auto_reload_handler: OnChange,
    /// See [`Args::user`]. Default: the one of the parent.
    user: String,
    /// See [`Args::group`]. Default: that of `user`.
    group: String,
    /// See [`Args::supplementary_groups`]. Default: those of `user`.
    supplementary_groups: Vec<String>,
    /// See [`Args::umask`]. Default: that of the parent.
    umask: u32,
    /// See [`Args::no_new_privs`]. Default off.
    no_new_privs: bool,
    /// See [`Args::rlimit_nofile`]. Default: the limits of the parent.
    rlimit_nofile: u64,
    /// See [`Args::drop_parent`]. Default off.
    drop_parent: bool,
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
}
