//! The settings of the daemon: those of a file, of variables and of flags, and what is another default here.

use std::{env, ffi::OsString, path::PathBuf, time::Duration};

use prefork::{Args, OnChange, Settings, WatchList};

use super::{
    given::Refused,
    own::{UNFIT, VARIABLES},
    place::Place,
};

/// How often files that are watched are looked at where the kernel reports no changes.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// The number of children, where nothing was said of it.
const PREFORK: u32 = 3;

/// Settings, those that go before others last.
#[derive(Debug)]
pub(super) struct Layers {
    file: Settings,
    variables: Settings,
    flags: Settings,
}

/// Arguments of a daemon, but for the program.
#[derive(Debug)]
pub(super) struct Arranged {
    pub(super) args: Args,
    /// All settings, each with where it comes from.
    pub(super) list: String,
}

impl Layers {
    pub(super) fn new(
        file: Settings,
        flags: Vec<(String, OsString)>,
        refused: &mut Vec<Refused>,
    ) -> Self {
        let unfit = UNFIT.iter().map(|(name, _)| format!("{VARIABLES}_{}", name.to_uppercase()));
        for (name, (_, why)) in unfit.zip(UNFIT) {
            if env::var_os(&name).is_some() {
                let problem = format!("is no setting of a program that is run: {why}");
                refused.push(Refused { what: name, problem });
            }
        }
        // What is misspelt is refused with what is the program's.
        let all = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let mut variables = Settings::from_environment(VARIABLES).own_variables(all);
        (variables.on_client_disconnect, variables.netwatch_interval) = (None, None);
        let mut flags = Settings::from_flags(flags);
        for settings in [&mut variables, &mut flags] {
            if settings.scoreboard_path.is_some() {
                // It goes before a board in memory of an earlier layer.
                settings.scoreboard_in_memory.get_or_insert(false);
            }
        }
        Self { file, variables, flags }
    }

    /// Returns what counts of one setting.
    pub(super) fn last<T>(&self, of: impl Fn(&Settings) -> Option<T>) -> Option<T> {
        of(&self.flags).or_else(|| of(&self.variables)).or_else(|| of(&self.file))
    }

    /// Returns where the daemon has its files, as far as nothing else was said.
    pub(super) fn place(&self, default_name: &str) -> Option<Place> {
        // A parent that becomes another user could not remove them, and its reload would look elsewhere.
        if self.last(|it| it.drop_parent) == Some(true) {
            return None;
        }
        let name = self.last(|it| it.name.clone());
        Place::of(name.as_deref().unwrap_or(default_name))
    }

    /// Returns where the program runs if nothing else was said: a daemon in the background is elsewhere than where it was
    /// started. In the foreground it just stays, as its user may be one who could not come back.
    pub(super) fn directory(&self) -> Option<PathBuf> {
        let is_in_background = self.last(|it| it.daemonize) == Some(true);
        is_in_background.then(|| env::current_dir().ok()).flatten()
    }

    /// Returns what is the daemon's, of several pools, or all pools have in common.
    pub(super) fn common(&self, name: &str, place: Option<&Place>) -> Settings {
        let mut defaults = self.defaults(name, place, false);
        // Of each pool.
        defaults.max_children = None;
        let args = Args::new().settings(defaults).settings(self.file.clone());
        let args = args.settings(self.variables.clone()).settings(self.flags.clone());
        let mut common = args.given().clone();
        // It is about the memory of the programs, and not of what starts them.
        common.max_memory = None;
        common
    }

    /// Adds to the settings of one of several pools the sizes that have other defaults here.
    pub(super) fn complete_sizes(&self, settings: &mut Settings) {
        let prefork = settings.prefork.or_else(|| self.last(|it| it.prefork)).unwrap_or(PREFORK);
        settings.prefork = Some(prefork);
        if settings.max_children.or_else(|| self.last(|it| it.max_children)).is_none() {
            settings.max_children = Some(if prefork == 0 { PREFORK } else { prefork });
        }
    }

    /// Adds what else has another default here.
    pub(super) fn complete(&self, settings: &mut Settings, watches: bool) {
        let every = settings.auto_reload_check_every;
        // Without files of its own it watches nothing: whoever starts all pools watches the program.
        if watches || every.is_some() {
            let every = every.or_else(|| self.last(|it| it.auto_reload_check_every));
            settings.auto_reload_check_every = Some(every.unwrap_or(WATCH_EVERY));
            let on_change = if watches { OnChange::Reload } else { OnChange::Upgrade };
            settings.auto_reload_handler.get_or_insert(on_change);
        }
    }

    /// Makes the arguments.
    pub(super) fn arrange(
        mut self,
        default_name: &str,
        place: Option<&Place>,
        watch: Option<WatchList>,
        refused: &mut Vec<Refused>,
    ) -> Arranged {
        if self.last(|it| it.prefork) == Some(0) {
            let problem = "must be at least 1, as each program has a child of its own";
            refused.push(Refused { what: "prefork".to_owned(), problem: problem.to_owned() });
        }
        let defaults = self.defaults(default_name, place, watch.is_some());
        let listed = Args::new().settings(defaults.clone()).settings(self.file.clone());
        let list = listed.settings(self.variables.clone()).settings(self.flags.clone());
        let list = list.list_settings();
        for settings in [&mut self.file, &mut self.variables, &mut self.flags] {
            // It is about the memory of the program, and not of what starts it.
            settings.max_memory = None;
        }
        let args = Args::new().settings(defaults).settings(self.file);
        let args = args.settings(self.variables).settings(self.flags);
        let args = match watch {
            Some(list) => args.auto_reload_watch(list),
            None => args,
        };
        Arranged { args, list }
    }

    /// What is another default here than for any daemon.
    fn defaults(&self, name: &str, place: Option<&Place>, watches: bool) -> Settings {
        let mut defaults = Settings::default();
        defaults.name = Some(name.to_owned());
        defaults.daemonize = Some(false);
        // How much memory a program takes is not known, so a pool grows where that is asked for.
        let prefork = self.last(|it| it.prefork).unwrap_or(PREFORK);
        defaults.max_children = Some(prefork.max(1));
        let board = self.last(|it| it.scoreboard_path.clone()).map(drop);
        if board.or(self.last(|it| it.scoreboard_in_memory).map(drop)).is_none() {
            defaults.scoreboard_path = place.map(Place::board);
            defaults.scoreboard_in_memory = place.is_none().then_some(true);
        }
        if self.last(|it| it.pid_path.clone()).is_none() {
            defaults.pid_path = place.map(Place::pid_file);
        }
        if self.last(|it| it.daemonize) == Some(true) {
            // What the program prints goes to one file, unless another is given.
            defaults.access_log_path = self.last(|it| it.error_log_path.clone());
        }
        let every = self.last(|it| it.auto_reload_check_every);
        if watches || every.is_some() {
            defaults.auto_reload_check_every = Some(WATCH_EVERY);
            let on_change = if watches { OnChange::Reload } else { OnChange::Upgrade };
            defaults.auto_reload_handler = Some(on_change);
        }
        defaults
    }
}
