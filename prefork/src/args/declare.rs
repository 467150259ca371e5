//! What is made of the list of arguments.

use std::{
    fmt::Debug,
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

/// What brings another value of an argument into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// A reload: the parent only decides by it, or hands it to the children that it forks from then on.
    Reload,
    /// An upgrade: it is about what the parent has opened, made or found out when it came up.
    Upgrade,
    /// A start: it is about what comes before the daemon.
    Restart,
}

/// What an argument needs to change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Children: `prefork` is not 0.
    Children,
    /// A scoreboard.
    Scoreboard,
    /// To be one of several pools, with `prefork` 0.
    OnDemand,
    /// `auto_reload_check_every`.
    AutoReloadCheckEvery,
    /// `request_timeout`.
    RequestTimeout,
    /// `queue_limit`.
    QueueLimit,
    /// A hook that is called while there are children.
    Hook,
    /// `demand`.
    Demand,
    /// `on_client_disconnect`.
    OnClientDisconnect,
    /// Another user or group for the children.
    User,
}

/// An argument that was given another value than its default.
pub(crate) struct Argument {
    pub(crate) name: &'static str,
    pub(crate) needs: &'static [Need],
    /// What is wrong with its value in itself.
    pub(crate) problem: Option<String>,
}

/// A number or a time of which none is not a value.
pub(super) trait Positive {
    /// What it must be, if it is none.
    fn problem(&self) -> Option<&'static str>;
}

impl Positive for u32 {
    fn problem(&self) -> Option<&'static str> {
        u64::from(*self).problem()
    }
}

impl Positive for u64 {
    fn problem(&self) -> Option<&'static str> {
        (*self == 0).then_some("must be at least 1")
    }
}

impl Positive for Duration {
    fn problem(&self) -> Option<&'static str> {
        self.is_zero().then_some("must be longer than 0")
    }
}

/// Stands for a value that is to be compared alone: every process that is forked has a copy of what the parent keeps.
pub(super) fn fingerprint(value: &impl Debug) -> u64 {
    number_of(&format!("{value:?}"))
}

/// A number that is the same in every process that runs this program, and another one for other values.
pub(crate) fn number_of(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Makes the settings, their setters, and all else that a declaration says, from one list:
///
/// ```text
/// /// Documentation of the setter.
/// NAME: TYPE [as KIND], by APPLIED [, default VALUE] [, needs NEED ...] [, positive ADVICE];
/// ```
///
/// `KIND` is how the setter takes it: `into` whatever becomes the type, `list` an iterator of such; `hook`: the setter is
/// among the hooks, which take code too. `ADVICE` follows "must be longer than 0".
macro_rules! arguments {
    ($($(#[$doc:meta])* $name:ident: $type:ty $(as $kind:ident)?, by $applied:ident
        $(, default $default:expr)? $(, needs $($need:ident)+)? $(, positive $advice:expr)?;)*) => {
        /// The arguments that are plain data, each under its name, to be read from a file.
        ///
        /// What is not set keeps its default: that of [`Args`], or what was set there before. Apply them
        /// with [`Args::settings`]; they are checked with all the others by
        /// [`Prefork::new`](crate::Prefork::new).
        ///
        /// With the feature `serde` they can be deserialized from any format that describes itself, such as
        /// TOML, YAML or JSON, and be had from variables of the environment (`from_environment`) and flags (`from_flags`).
        /// Times are numbers of seconds (`30`, `0.5`) or texts (`"30s"`, `"5 min"`, `"1h 30m"`, `"1d"`); amounts of
        /// memory are numbers of bytes, or texts with units of powers of 1024 (`"200M"`, `"200MiB"`, `"1.5G"`); `umask`
        /// is an octal text (`"027"`), as a number would be read as decimal; `auto_reload_handler` is `"upgrade"`, `"reload"` or `"nothing"`;
        /// `on_client_disconnect` is `"cancel"` or `"nothing"`; `log_level` is `"error"`, `"warn"`, `"info"` or
        /// `"debug"`.
        ///
        /// Every unknown key and every wrong value is reported. Where [`read_settings`](crate::read_settings) reads the
        /// file, [`Prefork::new`](crate::Prefork::new) reports it, with file, line and column, and with all that is wrong
        /// elsewhere; else it is an error of the parser's.
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
            $(#[doc = concat!("See [`Args::", stringify!($name), "`].")] pub $name: Option<$type>,)*
            /// Where each comes from that no code of the program has set.
            pub(crate) origins: BTreeMap<&'static str, Origin>,
            /// What is wrong with what was given in the place of others.
            pub(crate) faults: Vec<Fault>,
            /// What has no effect, and was probably meant to have one: a sentence each.
            pub(crate) warnings: Vec<String>,
        }

        impl<S> Args<S> {
            $(setter! { $(#[$doc])* $name: $type $(as $kind)? })*

            /// Sets every argument that `settings` has, over what was set before; the others stay.
            ///
            /// A daemon whose arguments were set so reads them again at each reload: see
            /// [operating](crate::docs::operating#settings).
            pub fn settings(mut self, mut settings: Settings) -> Self {
                self.data.has_settings = true;
                self.data.settings.faults.append(&mut settings.faults);
                self.data.settings.warnings.append(&mut settings.warnings);
                $(if let Some(value) = settings.$name {
                    let name = stringify!($name);
                    self = self.$name(value.clone());
                    self.data.settings.$name = Some(value);
                    if let Some(origin) = settings.origins.remove(name) {
                        self.data.settings.origins.insert(name, origin);
                    }
                })*
                self
            }
        }

        impl Settings {
            /// The names, as they are documented.
            #[cfg(feature = "serde")]
            pub(crate) const KEYS: &[&str] = &[$(stringify!($name)),*];

            /// Those defaults that are always the same.
            const DEFAULTS: Self = Self {
                $($name: default!($($default)?),)*
                origins: BTreeMap::new(),
                faults: Vec::new(),
                warnings: Vec::new(),
            };

            /// Fills in the defaults that are always the same.
            pub(crate) fn or_defaults(self) -> Self {
                Self { $($name: self.$name.or(Self::DEFAULTS.$name),)* ..self }
            }

            /// Takes from others what is not set here, with where it comes from.
            pub(crate) fn or(self, others: &Self) -> Self {
                let mut origins = others.origins.clone();
                origins.extend(self.origins);
                Self { $($name: self.$name.or_else(|| others.$name.clone()),)* origins, ..self }
            }

            /// Those that were given another value than their default.
            pub(crate) fn given(&self) -> Vec<Argument> {
                let mut given = Vec::new();
                $(if let Some(value) = &self.$name && Self::DEFAULTS.$name.as_ref() != Some(value) {
                    given.push(Argument {
                        name: stringify!($name),
                        needs: &[$($(Need::$need),+)?],
                        problem: problem!(value $($advice)?),
                    });
                })*
                given
            }

            /// The names, each with what brings another value of it into force, and what stands for its value.
            pub(crate) fn keys(&self) -> Vec<(&'static str, Applied, u64)> {
                vec![$((stringify!($name), Applied::$applied, fingerprint(&self.$name)),)*]
            }
        }

        #[cfg(feature = "serde")]
        impl Settings {
            /// Sets one by its name; `None` if there is none of that name.
            pub(super) fn set(
                &mut self,
                key: &str,
                given: Given<'_>,
            ) -> Option<Result<(), String>> {
                // Numbers that people write otherwise.
                match key {
                    "umask" => {
                        let mask = given.make();
                        return Some(mask.map(|OctalMask(mask)| self.umask = Some(mask)));
                    }
                    "max_memory" => {
                        let memory = given.make();
                        return Some(memory.map(|Memory(bytes)| self.max_memory = Some(bytes)));
                    }
                    "child_memory_limit" => {
                        let memory = given.make();
                        return Some(
                            memory.map(|Memory(bytes)| self.child_memory_limit = Some(bytes)),
                        );
                    }
                    "memory_limit" => {
                        let memory = given.make();
                        return Some(memory.map(|Memory(bytes)| self.memory_limit = Some(bytes)));
                    }
                    _ => {}
                }
                match key {
                    $(stringify!($name) => Some(given.make().map(|made| self.$name = Some(made))),)*
                    _ => None,
                }
            }

            /// The names, each with its value, or that which it has by default, as a file would have it, and whether it
            /// was given.
            pub(super) fn shown(&self) -> Vec<(&'static str, Option<String>, bool)> {
                let defaults = Self::DEFAULTS;
                vec![$((
                    stringify!($name),
                    match stringify!($name) {
                        "umask" => self.umask.map(|mask| OctalMask(mask).shown()),
                        "max_memory" => self.max_memory.map(|bytes| Memory(bytes).shown()),
                        "child_memory_limit" => {
                            self.child_memory_limit.map(|bytes| Memory(bytes).shown())
                        }
                        "memory_limit" => self.memory_limit.map(|bytes| Memory(bytes).shown()),
                        _ => {
                            let value = self.$name.as_ref().or(defaults.$name.as_ref());
                            value.map(Field::shown)
                        }
                    },
                    self.$name.is_some(),
                ),)*]
            }
        }
    };
}

/// The setter of an argument.
macro_rules! setter {
    ($(#[$doc:meta])* $name:ident: $type:ty) => {
        $(#[$doc])*
        pub fn $name(mut self, $name: $type) -> Self {
            self.data.settings.$name = Some($name);
            self.data.settings.origins.remove(stringify!($name));
            self
        }
    };
    ($(#[$doc:meta])* $name:ident: $type:ty as into) => {
        $(#[$doc])*
        pub fn $name(mut self, $name: impl Into<$type>) -> Self {
            self.data.settings.$name = Some($name.into());
            self.data.settings.origins.remove(stringify!($name));
            self
        }
    };
    ($(#[$doc:meta])* $name:ident: $type:ty as list) => {
        $(#[$doc])*
        pub fn $name<T: Into<String>>(mut self, $name: impl IntoIterator<Item = T>) -> Self {
            self.data.settings.$name = Some($name.into_iter().map(Into::into).collect());
            self.data.settings.origins.remove(stringify!($name));
            self
        }
    };
    ($(#[$doc:meta])* $name:ident: $type:ty as hook) => {};
}

/// The default of an argument, if it has one that is always the same.
macro_rules! default {
    () => {
        None
    };
    ($value:expr) => {
        Some($value)
    };
}

/// What is wrong with a value, if it must be above zero.
macro_rules! problem {
    ($value:ident) => {
        None
    };
    ($value:ident $advice:expr) => {
        Positive::problem($value).map(|problem| format!("{problem}{}", $advice))
    };
}

pub(super) use {arguments, default, problem, setter};
