//! Checking the arguments, all at once, before anything is started.

use std::{
    env,
    io::Write,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    time::Duration,
};

use prefork_core::{Config, ConfigError};
use prefork_daemonize::absolute;

use crate::{
    Args, ArgsError, Fault,
    args::{AfterInit, BeforeDaemonize, BeforeShutdown, MainLoop},
};

/// The documented default of `max_children`.
const DEFAULT_MAX_CHILDREN: u32 = 150;

/// Arguments that make sense together.
pub(crate) struct Checked<S> {
    pub(crate) settings: Settings,
    pub(crate) error_log: Option<ErrorLog>,
    pub(crate) access_log: Option<AccessTarget>,
    pub(crate) before_daemonize: Option<BeforeDaemonize>,
    pub(crate) after_init: AfterInit<S>,
    pub(crate) main_loop: MainLoop<S>,
    pub(crate) before_shutdown: Option<BeforeShutdown>,
}

/// The plain data among them.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) daemonize: bool,
    pub(crate) pid_path: Option<PathBuf>,
    pub(crate) scoreboard: Scoreboard,
    pub(crate) pool: Pool,
    /// Whether more children were asked for than a pool without a scoreboard can ever have.
    pub(crate) wants_scoreboard: bool,
    pub(crate) start_timeout: Duration,
    pub(crate) graceful_timeout: Duration,
}

/// Where the scoreboard is.
#[derive(Clone, Debug)]
pub(crate) enum Scoreboard {
    None,
    File(PathBuf),
    InMemory,
}

/// Who runs the main loop.
#[derive(Clone, Debug)]
pub(crate) enum Pool {
    /// The parent itself.
    Solo,
    /// Children.
    Children(Config),
}

/// Where standard error goes.
#[derive(Debug)]
pub(crate) enum ErrorLog {
    Path(PathBuf),
    Handle(OwnedFd),
}

/// Where the access log goes.
pub(crate) enum AccessTarget {
    Path(PathBuf),
    Handle(Box<dyn Write>),
}

/// Checks every argument and names each that is wrong.
pub(crate) fn check<S>(mut args: Args<S>) -> Result<Checked<S>, ArgsError> {
    let mut faults = Faults::default();
    let name = name(args.name.take(), &mut faults);
    if args.require_root && !rustix::process::geteuid().is_root() {
        let user = rustix::process::geteuid().as_raw();
        faults.add("require_root", format!("must be run as root, but the user id is {user}"));
    }
    let pool = pool(&args, &mut faults);
    let pid_path = args.pid_path.and_then(|path| faults.path("pid_path", &path));
    let error_log_path = args.error_log_path.and_then(|path| faults.path("error_log_path", &path));
    let access_log_path =
        args.access_log_path.and_then(|path| faults.path("access_log_path", &path));
    let scoreboard_path =
        args.scoreboard_path.and_then(|path| faults.path("scoreboard_path", &path));
    faults.distinct("pid_path", pid_path.as_deref(), "scoreboard_path", scoreboard_path.as_deref());
    let scoreboard = faults.one_of(
        ["scoreboard_path", "scoreboard_in_memory"],
        scoreboard_path.map(Scoreboard::File),
        args.scoreboard_in_memory.then_some(Scoreboard::InMemory),
    );
    let scoreboard = scoreboard.unwrap_or(Scoreboard::None);
    faults.distinct("pid_path", pid_path.as_deref(), "error_log_path", error_log_path.as_deref());
    faults.distinct("pid_path", pid_path.as_deref(), "access_log_path", access_log_path.as_deref());
    let error_log = faults.one_of(
        ["error_log_path", "error_log_handle"],
        error_log_path.map(ErrorLog::Path),
        args.error_log_handle.map(ErrorLog::Handle),
    );
    let access_log = faults.one_of(
        ["access_log_path", "access_log_handle"],
        access_log_path.map(AccessTarget::Path),
        args.access_log_handle.map(AccessTarget::Handle),
    );
    if args.daemonize {
        faults.required("pid_path", "", pid_path.is_some());
        faults.required("error_log_path", " (or error_log_handle)", error_log.is_some());
        faults.required("access_log_path", " (or access_log_handle)", access_log.is_some());
    }
    if args.main_loop.is_none() {
        let problem = if args.main_loop_came_first {
            "must be set after after_init, as it is handed what that returns"
        } else {
            "is required"
        };
        faults.add("main_loop", problem);
    }
    let main_loop = match args.main_loop {
        Some(main_loop) if faults.0.is_empty() => main_loop,
        _ => return Err(ArgsError::new(faults.0)),
    };
    let settings = Settings {
        name,
        daemonize: args.daemonize,
        pid_path,
        wants_scoreboard: matches!(scoreboard, Scoreboard::None)
            && args.max_children.is_some_and(|max| max > args.prefork && args.prefork > 0),
        scoreboard,
        pool,
        start_timeout: args.start_timeout,
        graceful_timeout: args.graceful_timeout,
    };
    Ok(Checked {
        settings,
        error_log,
        access_log,
        before_daemonize: args.before_daemonize,
        after_init: args.after_init,
        main_loop,
        before_shutdown: args.before_shutdown,
    })
}

/// The faults found so far.
#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, argument: &'static str, problem: impl Into<String>) {
        self.0.push(Fault { argument, problem: problem.into() });
    }

    /// Makes a path absolute, as the daemon will leave the current directory.
    fn path(&mut self, argument: &'static str, path: &Path) -> Option<PathBuf> {
        let bytes = path.as_os_str().as_bytes();
        if bytes.is_empty() {
            self.add(argument, "is empty; give the path of a file");
        } else if bytes.contains(&0) {
            self.add(argument, "holds a NUL byte, which no path can");
        } else if bytes.ends_with(b"/") || path.file_name().is_none() {
            self.add(argument, format!("{} is a directory; give a file", path.display()));
        } else {
            match absolute(path) {
                Ok(path) => return Some(path),
                Err(error) => self.add(argument, format!("cannot be made absolute: {error}")),
            }
        }
        None
    }

    fn distinct(
        &mut self,
        first: &'static str,
        first_path: Option<&Path>,
        second: &'static str,
        second_path: Option<&Path>,
    ) {
        if let (Some(path), Some(other)) = (first_path, second_path)
            && path == other
        {
            self.add(second, format!("is the same file as {first}: {}", path.display()));
        }
    }

    fn one_of<T>(&mut self, names: [&'static str; 2], a: Option<T>, b: Option<T>) -> Option<T> {
        if a.is_some() && b.is_some() {
            self.add(names[1], format!("cannot be given together with {}", names[0]));
        }
        a.or(b)
    }

    /// Demands an argument, unless it was given and found wrong.
    fn required(&mut self, argument: &'static str, alternative: &str, given: bool) {
        if !given && !self.0.iter().any(|fault| fault.argument == argument) {
            self.add(argument, format!("is required{alternative} when daemonize is on"));
        }
    }
}

/// Returns the name given, or that of the program.
fn name(given: Option<String>, faults: &mut Faults) -> String {
    let name = given.unwrap_or_else(|| {
        let program = env::args_os().next().unwrap_or_default();
        let file = Path::new(&program).file_name().unwrap_or_default();
        match file.to_string_lossy() {
            file if file.is_empty() => "prefork".to_owned(),
            file => file.replace(char::is_control, "?"),
        }
    });
    if name.is_empty() || name.contains(char::is_control) {
        faults.add("name", "must be a visible text on one line");
    }
    name
}

fn pool<S>(args: &Args<S>, faults: &mut Faults) -> Pool {
    let has_scoreboard = args.scoreboard_path.is_some() || args.scoreboard_in_memory;
    if !has_scoreboard && args.min_spare != 1 {
        faults.add("min_spare", "needs a scoreboard: set scoreboard_path");
    }
    if !has_scoreboard && args.max_spare.is_some() {
        faults.add("max_spare", "needs a scoreboard: set scoreboard_path");
    }
    if args.prefork == 0 {
        return Pool::Solo;
    }
    let max_children = args.max_children.unwrap_or(DEFAULT_MAX_CHILDREN);
    let mut config = match Config::new(args.prefork, max_children) {
        Ok(config) => config,
        Err(error) => {
            faults.add(blame(error), error.to_string());
            return Pool::Solo;
        }
    };
    if args.min_spare == 0 || args.min_spare > max_children {
        faults.add("min_spare", format!("must be 1 to max_children ({max_children})"));
    }
    if args.max_spare.is_some_and(|max_spare| max_spare < args.min_spare) {
        faults.add("max_spare", format!("must be at least min_spare ({})", args.min_spare));
    }
    config.start_timeout = args.start_timeout;
    config.graceful_timeout = args.graceful_timeout;
    if has_scoreboard {
        let (min_spare, max_spare) = (args.min_spare, args.max_spare);
        config.pool = prefork_core::Pool::ByLoad { min_spare, max_spare };
    }
    Pool::Children(config)
}

const fn blame(error: ConfigError) -> &'static str {
    match error {
        ConfigError::PoolTooLarge { .. } => "max_children",
        _ => "prefork",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults<S>(args: Args<S>) -> Vec<(&'static str, String)> {
        let error = check(args).err().map(|error| error.faults().to_vec()).unwrap_or_default();
        error.into_iter().map(|fault| (fault.argument, fault.problem)).collect()
    }

    fn names<S>(args: Args<S>) -> Vec<&'static str> {
        faults(args).into_iter().map(|(argument, _)| argument).collect()
    }

    fn complete() -> Args {
        let dir = Path::new("/tmp");
        Args::new()
            .pid_path(dir.join("x.pid"))
            .error_log_path(dir.join("x.err"))
            .access_log_path(dir.join("x.log"))
            .main_loop(|_, ()| Ok(()))
    }

    #[test]
    fn complete_arguments_have_no_fault() {
        assert_eq!(faults(complete()), []);
        assert_eq!(faults(Args::new().daemonize(false).main_loop(|_, ()| Ok(()))), []);
        assert_eq!(faults(complete().prefork(0)), []);
    }

    #[test]
    fn all_that_is_missing_is_named_at_once() {
        assert_eq!(
            names(Args::new()),
            ["pid_path", "error_log_path", "access_log_path", "main_loop"]
        );
    }

    #[test]
    fn each_wrong_argument_is_named() {
        let file = || std::fs::File::open("/dev/null").expect("opened");
        assert_eq!(names(complete().prefork(151)), ["prefork"]);
        assert_eq!(names(complete().prefork(70_000).max_children(70_000)), ["max_children"]);
        assert_eq!(names(complete().pid_path("")), ["pid_path"]);
        assert_eq!(names(complete().pid_path("/tmp/")), ["pid_path"]);
        assert_eq!(names(complete().pid_path("a\0b")), ["pid_path"]);
        assert_eq!(names(complete().error_log_path("/tmp/x.pid")), ["error_log_path"]);
        assert_eq!(names(complete().error_log_handle(file())), ["error_log_handle"]);
        assert_eq!(names(complete().access_log_handle(file())), ["access_log_handle"]);
        assert_eq!(names(complete().scoreboard_path("/tmp/x.pid")), ["scoreboard_path"]);
        let both = complete().scoreboard_path("/tmp/x.board").scoreboard_in_memory(true);
        assert_eq!(names(both), ["scoreboard_in_memory"]);
        assert_eq!(names(complete().min_spare(2)), ["min_spare"]);
        assert_eq!(names(complete().max_spare(2)), ["max_spare"]);
        let board = || complete().scoreboard_in_memory(true);
        assert_eq!(faults(board().min_spare(2).max_spare(4)), []);
        assert_eq!(names(board().min_spare(0)), ["min_spare"]);
        assert_eq!(names(board().min_spare(151)), ["min_spare"]);
        assert_eq!(names(board().min_spare(5).max_spare(4)), ["max_spare"]);
        assert_eq!(names(complete().name("")), ["name"]);
        assert_eq!(names(complete().name("a\nb")), ["name"]);
        let root = rustix::process::geteuid().is_root();
        assert_eq!(
            names(complete().require_root(true)),
            if root { vec![] } else { vec!["require_root"] }
        );
    }

    #[test]
    fn a_main_loop_that_came_before_after_init_is_told_so() {
        let args = complete().after_init(|_| Ok(1));
        let [(argument, problem)] = &faults(args)[..] else { panic!("one fault") };
        assert_eq!(*argument, "main_loop");
        assert!(problem.contains("after after_init"), "{problem}");
    }
}
