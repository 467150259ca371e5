//! `prefork run`: any program in the children of a daemon.
//!
//! What is given goes three ways at once: what is the program's ([`own`]) becomes a
//! [`Program`](prefork_exec::Program), what is every daemon's becomes [`Settings`], and what is wrong with either is refused
//! with all the rest. A file goes behind variables, these behind flags. A reload comes here again, up to where the daemon
//! would begin: so nothing here may depend on the moment.

mod env_file;
mod file;
mod flags;
mod given;
mod layers;
mod membership;
mod own;
mod place;
mod pools;
mod program;
mod show;
pub(crate) mod split;

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::ValueHint;
use prefork::{
    Args, ArgsError, BoxError, Inspect, Lines, Pools, Prefork, Returned, RunError, Settings,
    SettingsError,
};
use prefork_core::one_line;
use prefork_daemonize::PidFileError;
use prefork_exec::Identity;

use crate::{amounts::bytes, exit::Exit, output};
use file::FileSettings;
use flags::Flags;
use given::{Given, Origin, Refused};
use layers::Layers;
use membership::Membership;
use own::COMMAND;
use place::Place;
use program::Made;
use show::Shown;

/// The arguments of `run`.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// File of settings, in TOML: keys are the names of the flags with underscores; command, [env] and [limits]. Or a directory
    /// with such files, conf.d/NAME.toml: a daemon of several pools, one for each
    #[arg(value_name = "FILE", value_hint = ValueHint::AnyPath)]
    file: Option<PathBuf>,
    /// With a directory: a file of settings that are the daemon's, or of all pools that do not say otherwise
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    common: Option<PathBuf>,
    /// With a directory: leave out files that are wrong, with a warning, rather than refuse all
    #[arg(long)]
    skip_bad: bool,
    /// With a directory: how many children all pools together never exceed; what is idle in one goes where clients wait
    #[arg(long, value_name = "N")]
    ceiling: Option<u32>,
    /// With a directory: how much memory the children of all pools take at most, as 4G, by what each pool's file says of a child
    /// (child_memory) and by what is found
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    memory_ceiling: Option<u64>,
    /// Print what would be run, and every setting with where it comes from; check all of it, and start nothing
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    flags: Flags,
    /// The program, and its arguments, in which {fd}, {path}, {slot} and {pid} stand for what the child has
    #[arg(last = true, value_name = "PROGRAM")]
    command: Vec<OsString>,
}

/// Why nothing runs, or why it has not ended in order.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(
        "nothing to run; give a program behind --, as `prefork run --listen :8000 -- uvicorn app:app --fd {{fd}}`, or a file"
    )]
    Nothing,
    #[error(
        "there is no file of settings {}; a program stands behind --: `prefork run -- {}`",
        one_line(path),
        one_line(path)
    )]
    NoFile { path: PathBuf },
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Args(#[from] ArgsError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("a daemon of this name runs already; give this one another by --name")]
    Taken { source: RunError },
    #[error("{}", problems.join("\n"))]
    BadPools { problems: Vec<String> },
    #[error("there is no file of settings, NAME.toml, in {}", one_line(directory))]
    NoPools { directory: PathBuf },
    #[error("cannot read the directory {}", one_line(path))]
    NoDirectory { path: PathBuf, source: io::Error },
    #[error(
        "{flag} is for a directory with the files of several pools; give one in the place of the file"
    )]
    NoPoolsMeant { flag: &'static str },
    #[error("{} is a directory; give the file of settings of one daemon", one_line(directory))]
    OneFileMeant { directory: PathBuf },
    #[error("cannot make the program's sockets")]
    Sockets { source: BoxError },
}

impl Failure {
    const fn exit(&self) -> Exit {
        match self {
            Self::Nothing
            | Self::NoFile { .. }
            | Self::NoPoolsMeant { .. }
            | Self::OneFileMeant { .. } => Exit::Usage,
            Self::Settings(_)
            | Self::Args(_)
            | Self::BadPools { .. }
            | Self::NoPools { .. }
            | Self::NoDirectory { .. } => Exit::WrongSettings,
            Self::Run(_) | Self::Taken { .. } | Self::Sockets { .. } => Exit::Failed,
        }
    }
}

/// What is in force where a file of settings is all that is given.
#[derive(Debug)]
pub(crate) struct Settled {
    /// This command.
    pub(crate) prefork: PathBuf,
    /// The file, and what stands in it.
    pub(crate) file: PathBuf,
    pub(crate) text: String,
    /// Where the program listens over TCP, as it is written.
    pub(crate) addresses: Vec<String>,
    pub(crate) settings: Settings,
}

/// Runs it, or says why not.
pub(crate) fn run(args: RunArgs) -> Exit {
    attempt(args).unwrap_or_else(|failure| {
        // A daemon that has executed this to go on is to know why that does not.
        Pools::refuse(&failure);
        complain(&failure)
    })
}

/// Reads a file of settings and checks all of it, or says what is wrong.
pub(crate) fn settle(file: &Path) -> Result<Settled, Exit> {
    try_to_settle(file).map_err(|failure| complain(&failure))
}

fn complain(failure: &Failure) -> Exit {
    // Each fault has a line of its own.
    let _ = writeln!(io::stderr(), "prefork: {}", Lines(failure));
    failure.exit()
}

fn attempt(args: RunArgs) -> Result<Exit, Failure> {
    if let Some(path) = args.file.as_ref().filter(|path| path.is_dir()) {
        return pools::attempt(&file::absolute(path), args);
    }
    let RunArgs { file, check, flags, command, common, skip_bad, ceiling, memory_ceiling } = args;
    for (flag, is_given) in [
        ("--common", common.is_some()),
        ("--skip-bad", skip_bad),
        ("--ceiling", ceiling.is_some()),
        ("--memory-ceiling", memory_ceiling.is_some()),
    ] {
        if is_given {
            return Err(Failure::NoPoolsMeant { flag });
        }
    }
    if let Some(path) = file.as_ref().filter(|path| file::is_probably_a_command(path)) {
        return Err(Failure::NoFile { path: path.clone() });
    }
    let file = file.map(|path| file::absolute(&path));
    let read = file.as_deref().map(file::read).transpose()?;
    let (layers, given, refused) = gather(read, flags, command);
    if !given.iter().any(|given| given.own == &COMMAND) && refused.is_empty() && file.is_none() {
        return Err(Failure::Nothing);
    }
    let Prepared { made, args, of_daemon, place } = prepare(layers, &given, refused)?;
    let identity = Identity::of(args.given());
    if check {
        let shown = Shown {
            program: &made.program,
            identity: &identity,
            given: &given,
            from_files: &made.from_files,
            of_daemon: &of_daemon,
            membership: &Membership::default(),
        };
        let _ = output::print(&shown.text());
        let name = args.given().name.clone().unwrap_or_default();
        let isolation = prefork_exec::attach(made.program, args).inspect(Inspect::Quiet)?;
        let _ = output::print(&format!("# {}: the settings are right\n", one_line(&name)));
        if !isolation.is_empty() {
            let _ = output::print(&format!("# isolation: {isolation}\n"));
        }
        return Ok(Exit::Done);
    }
    let daemon = Prefork::new(prefork_exec::attach(made.program, args))?;
    serve(|| daemon.run(), place.as_ref())
}

fn try_to_settle(file: &Path) -> Result<Settled, Failure> {
    let file = file::absolute(file);
    if file.is_dir() {
        return Err(Failure::OneFileMeant { directory: file });
    }
    let read = file::read(&file)?;
    let (layers, given, refused) = gather(Some(read), Flags::default(), Vec::new());
    let Prepared { made, args, .. } = prepare(layers, &given, refused)?;
    let of_ports = made.program.listen.iter().filter(|listen| !listen.is_unix());
    let addresses = of_ports.map(|listen| listen.address.clone()).collect();
    let settings = args.given().clone();
    prefork_exec::attach(made.program, args).inspect(Inspect::Quiet)?;
    let prefork = env::current_exe().unwrap_or_else(|_| "/usr/local/bin/prefork".into());
    let text = fs::read_to_string(&file).unwrap_or_default();
    Ok(Settled { prefork, file, text, addresses, settings })
}

/// What is to be run, with what is wrong with it in `args`.
struct Prepared {
    made: Made,
    args: Args,
    of_daemon: String,
    place: Option<Place>,
}

fn prepare(
    layers: Layers,
    given: &[Given],
    mut refused: Vec<Refused>,
) -> Result<Prepared, Failure> {
    let mut made = program::make(given, layers.directory(), &mut refused)?;
    made.program.max_memory = layers.last(|settings| settings.max_memory);
    let default_name = made.program.command.first().map(|program| name_of(program.as_ref()));
    let default_name = default_name.unwrap_or_else(|| "prefork".to_owned());
    let place = layers.place(&default_name);
    let arranged = layers.arrange(&default_name, place.as_ref(), made.watch.take(), &mut refused);
    let (of_daemon, mut args) = (arranged.list, arranged.args);
    for Refused { what, problem } in refused {
        args = args.refuse(what, problem);
    }
    Ok(Prepared { made, args, of_daemon, place })
}

fn serve(
    run: impl FnOnce() -> Result<Returned, RunError>,
    place: Option<&Place>,
) -> Result<Exit, Failure> {
    if let Some(place) = place {
        place.make();
    }
    let result = run();
    match (&result, place) {
        // The daemon has its files there.
        (Ok(Returned::Launched { .. }), _) | (_, None) => {}
        (Ok(_) | Err(_), Some(place)) => place.leave(),
    }
    match result {
        Ok(_) => Ok(Exit::Done),
        Err(RunError::Args(error)) => Err(Failure::Args(error)),
        Err(RunError::Hook { hook: "after_init", source, .. }) => Err(Failure::Sockets { source }),
        Err(error) => {
            let own = place.map(Place::pid_file);
            let is_taken = matches!(&error, RunError::PidFile(PidFileError::Held { path, .. }) if Some(path) == own.as_ref());
            if is_taken { Err(Failure::Taken { source: error }) } else { Err(error.into()) }
        }
    }
}

/// Brings together what file, variables, flags and command line have given.
fn gather(
    read: Option<FileSettings>,
    flags: Flags,
    command: Vec<OsString>,
) -> (Layers, Vec<Given>, Vec<Refused>) {
    let FileSettings { own, of_daemon: file, mut refused } = read.unwrap_or_default();
    let mut given = own;
    given.extend(given::of_environment(&mut refused));
    given.extend(flags.own);
    if !command.is_empty() {
        given.push(Given { own: &COMMAND, texts: command, origin: Origin::CommandLine });
    }
    refused.extend(flags.refused);
    Membership::refuse(&mut given, &mut refused);
    let layers = Layers::new(file, flags.of_daemon, &mut refused);
    (layers, given::in_force(&given), refused)
}

/// What a daemon is called that runs this program.
fn name_of(program: &Path) -> String {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    if name.is_empty() { "prefork".to_owned() } else { one_line(&*name).to_string() }
}
