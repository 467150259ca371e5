//! The arguments that are data which no file can hold: open files, a list that can be wrong in itself, and what the program
//! knows of itself.

use std::{fmt::Debug, io::Write, os::fd::OwnedFd, path::Path};

use prefork_core::{Tuning, one_line};
use prefork_reload::WatchList;
use prefork_scoreboard::metrics::Metrics;

use super::{Args, Settings, fingerprint};
use crate::{
    Fault,
    child::{OwnSetting, OwnValue},
    error::Origin,
};

impl<S> Args<S> {
    /// Sets the version of the program, as `env!("CARGO_PKG_VERSION")`, shown in the first line of its log. Default none.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.data.version = Some(version.into());
        self
    }

    /// Sets what the children run, where that is another program than this one: shown in the first line of the log, and on the
    /// scoreboard. A reload that reads another one shows that. Default none.
    pub fn runs(mut self, program: impl AsRef<Path>) -> Self {
        self.data.runs = Some(one_line(program.as_ref()).to_string());
        self
    }

    /// Declares what children count themselves, by [`Child::metrics`](crate::Child::metrics); shown with what the daemon counts, by
    /// `prefork metrics`, and the status page. Default nothing.
    ///
    /// See [metrics](crate::docs::metrics).
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::{Args, Metrics};
    ///
    /// let mut metrics = Metrics::new();
    /// let orders = metrics.counter("shop_orders_total", "Orders taken").labels(["kind"]).declare()?;
    /// let args = Args::new().metrics(metrics).main_loop(move |child, ()| {
    ///     let books = child.metrics().series(&orders, &["book"]);
    ///     while !child.should_stop() {
    ///         // take an order, then
    ///         books.increment();
    ///     }
    ///     Ok(())
    /// });
    /// # drop(args);
    /// # Ok::<(), prefork::BoxError>(())
    /// ```
    pub fn metrics(mut self, metrics: Metrics) -> Self {
        self.data.metrics = Some(metrics);
        self
    }

    /// Lets children hand connections to these other pools, by [`Child::hand_to`](crate::Child::hand_to). Default none.
    ///
    /// They are others of the same [`Pools`](crate::Pools), which refuses one that there is not. Without those, the ways to them
    /// are passed to the daemon at its start; one that is not there fails the start, with its name. A name has no colon. See
    /// [hand-over](crate::docs::hand_over).
    pub fn hands_to<N: Into<String>>(mut self, pools: impl IntoIterator<Item = N>) -> Self {
        self.data.hands_to = pools.into_iter().map(Into::into).collect();
        self
    }

    /// Returns the settings that were given so far, for code that completes arguments.
    #[must_use]
    pub const fn given(&self) -> &Settings {
        &self.data.settings
    }

    /// Sets a setting of the program's own that children are handed, as [`Child::own_setting`](crate::Child::own_setting): a
    /// reload reads it again with all others, and hands it to the children that replace the present ones. The log names it
    /// where it has changed, but not its value.
    ///
    /// All settings together can take 64 KiB where they are read again.
    pub fn own_setting(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.data
            .own
            .push(OwnSetting { name: name.to_owned(), value: OwnValue::Handed(text.into()) });
        self
    }

    /// Declares a setting of the program's own of which another value takes an upgrade, as an address to listen on does: a
    /// reload that reads another one has the log name it.
    pub fn own_fixed_setting(mut self, name: &'static str, value: &impl Debug) -> Self {
        let value = OwnValue::Fixed(fingerprint(value));
        self.data.own.push(OwnSetting { name: name.to_owned(), value });
        self
    }

    /// Refuses something that the program itself has been given, so that [`Prefork::new`](crate::Prefork::new) names it with
    /// all that is wrong besides, and a reload with it. `what` is what is wrong, with its place: `/etc/hello.toml:3:1: colour`,
    /// `--colour`.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::{Args, Prefork};
    ///
    /// let args = Args::new().daemonize(false).max_requests(0).main_loop(|_child, ()| Ok(()));
    /// let error = Prefork::new(args.refuse("--colour", "must be red or blue, not \"7\"")).expect_err("two faults");
    /// assert_eq!(
    ///     error.to_string(),
    ///     "invalid arguments:\n--colour: must be red or blue, not \"7\"\n\
    ///      max_requests: must be at least 1; leave it out for no limit"
    /// );
    /// ```
    pub fn refuse(mut self, what: impl Into<String>, problem: impl Into<String>) -> Self {
        let (argument, problem) = (what.into(), problem.into());
        self.data.settings.faults.push(Fault { argument, problem, origin: Origin::Program });
        self
    }

    /// Sets an open file, pipe or socket in the place of [`error_log_path`](Self::error_log_path).
    pub fn error_log_handle(mut self, handle: impl Into<OwnedFd>) -> Self {
        self.data.error_log_handle = Some(handle.into());
        self
    }

    /// Sets a writer in the place of [`access_log_path`](Self::access_log_path). Each child has its
    /// own copy; every line is written and flushed at once.
    pub fn access_log_handle(mut self, handle: impl Write + 'static) -> Self {
        self.data.access_log_handle = Some(Box::new(handle));
        self
    }

    /// Sets all that can be tuned of how the pool follows its load, as it was tried with
    /// [`ScalingPolicy`](crate::policy::ScalingPolicy): `min_spare`, `max_spare`, `step` as
    /// [`spawn_step`](Self::spawn_step), `calm` as [`calm_time`](Self::calm_time) and `pace` as
    /// [`retire_pace`](Self::retire_pace).
    pub fn tuning(mut self, tuning: Tuning) -> Self {
        let Tuning { min_spare, max_spare, step, calm, pace } = tuning;
        let settings = &mut self.data.settings;
        (settings.min_spare, settings.max_spare) = (Some(min_spare), max_spare);
        (settings.spawn_step, settings.calm_time) = (Some(step), Some(calm));
        settings.retire_pace = Some(pace);
        self
    }

    /// Sets which files are watched, in the place of the program: see
    /// [`WatchList`]. Needs
    /// [`auto_reload_check_every`](Self::auto_reload_check_every).
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::{Args, OnChange, WatchList};
    /// use std::time::Duration;
    ///
    /// let mut list = WatchList::new();
    /// list.file("/etc/hello.conf")?.glob("/etc/hello.d/*.conf")?;
    /// let args = Args::new()
    ///     .auto_reload_check_every(Duration::from_secs(5))
    ///     .auto_reload_watch(list)
    ///     .auto_reload_handler(OnChange::Reload);
    /// # drop(args);
    /// # Ok::<(), prefork::reload::WatchError>(())
    /// ```
    pub fn auto_reload_watch(mut self, list: WatchList) -> Self {
        self.data.auto_reload_watch = Some(list);
        self
    }
}
