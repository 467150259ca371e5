//! `prefork run DIRECTORY`: a daemon of several pools, one for each file of settings in a directory.
//!
//! What is given by flags, variables and `--common` is the daemon's, or what all pools have that do not say otherwise: here a
//! file goes before a flag. Each pool is executed by the arbiter as this very command, and then reads its own file alone:
//! so what becomes of others' files does not matter to it, and a reload of it reads its file again. A reload of the whole reads the
//! directory again: the arbiter is executed once more, and says of each file what is made of it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use prefork::{Args, ArgsError, Pools, Settings, SettingsError};
use prefork_core::{ErrorChain, one_line, pools::is_pool_name};
use prefork_exec::{Identity, Sockets};

use super::{
    Failure, RunArgs,
    file::{self, FileSettings},
    gather,
    given::{Given, Refused, in_force},
    layers::Layers,
    membership::{Membership, Shared},
    program::{self, Made},
    serve,
    show::Shown,
};
use crate::{exit::Exit, output};

/// What a daemon of several pools is called if nothing else was said.
const NAME: &str = "prefork";

/// A file of settings, and the pool that it is.
#[derive(Debug)]
struct PoolFile {
    name: String,
    path: PathBuf,
}

/// What all pools have in common.
struct Common {
    layers: Layers,
    given: Vec<Given>,
    args: Settings,
    directory: Option<PathBuf>,
    shared: Shared,
}

/// What is made of one file.
struct Pool {
    args: Args<Sockets>,
    membership: Membership,
    /// The pool in words, for `--check`.
    text: String,
    /// All that it is, so that it can be seen when that has changed.
    made_of: String,
}

/// Runs the daemon, goes on with it, or becomes one of its pools.
pub(super) fn attempt(directory: &Path, args: RunArgs) -> Result<Exit, Failure> {
    let RunArgs { check, flags, command, common, skip_bad, ceiling, memory_ceiling, .. } = args;
    let common_file = common.map(|path| file::absolute(&path));
    let mut read = common_file.as_deref().map(file::read).transpose()?;
    let for_each = Membership::take_for_each(read.as_mut());
    let (layers, mut given, mut refused) = gather(read, flags, command);
    given.extend(for_each);
    for given in given.iter().filter(|given| ["listen", "command"].contains(&given.own.name)) {
        let problem = "belongs to one pool; set it in the file of that";
        refused.push(Refused::of(given, problem));
    }
    let name = layers.last(|it| it.name.clone()).unwrap_or_else(|| NAME.to_owned());
    let place = layers.place(&name);
    let directory_of_programs = layers.directory();
    let settings = layers.common(&name, place.as_ref());
    let common = Common {
        layers,
        given,
        args: settings,
        directory: directory_of_programs,
        shared: Shared { children: ceiling.is_some(), memory: memory_ceiling.is_some() },
    };
    let mut daemon = Args::new().settings(common.args.clone());
    for Refused { what, problem } in refused {
        daemon = daemon.refuse(what, problem);
    }
    let own = Pools::name_of_own();
    if let Some(name) = own {
        let file = PoolFile { path: directory.join(format!("{name}.toml")), name };
        let pool = common.make(&file)?;
        return serve(|| pool.join(Pools::new(daemon), file.name).run(), None);
    }
    let (files, mut problems) = files(directory)?;
    let mut good = Vec::new();
    for file in files {
        match common.check(&file) {
            Ok(()) => good.push(file),
            Err(error) => problems.push(Problem { name: file.name, text: error }),
        }
    }
    let mut bad = Vec::new();
    if skip_bad {
        for Problem { name, text } in problems.drain(..) {
            let what =
                if Pools::goes_on() { "is left out, or goes on as it is" } else { "is left out" };
            output::warn(&format!("pool {name} {what}: {text}"));
            bad.push(name);
        }
    }
    if !problems.is_empty() {
        return Err(Failure::BadPools {
            problems: problems.into_iter().map(|problem| problem.text).collect(),
        });
    }
    let keeps = Pools::goes_on() && !bad.is_empty();
    if good.is_empty() && !keeps {
        return Err(Failure::NoPools { directory: directory.to_owned() });
    }
    let mut pools = Pools::new(daemon);
    let (mut text, count) = (String::new(), good.len());
    for file in good {
        let pool = common.make(&file)?;
        text.push_str(&format!(
            "# pool {}, by {}\n{}\n",
            file.name,
            one_line(&file.path),
            pool.text
        ));
        pools = pool.join(pools, file.name);
    }
    for name in bad {
        pools = pools.unreadable(name);
    }
    if let Some(children) = ceiling {
        pools = pools.ceiling(children);
    }
    if let Some(bytes) = memory_ceiling {
        pools = pools.memory_ceiling(bytes);
    }
    if check {
        let _ = output::print(&text);
        pools.check()?;
        let _ = output::print(&format!(
            "# {}: the settings of {count} pools are right\n",
            one_line(&name)
        ));
        return Ok(Exit::Done);
    }
    serve(|| pools.run(), place.as_ref())
}

/// A file of which no pool can be made.
struct Problem {
    name: String,
    text: String,
}

/// Returns the files of a directory, in the order of their names, and what is none that should be one.
fn files(directory: &Path) -> Result<(Vec<PoolFile>, Vec<Problem>), Failure> {
    let unreadable = |source| Failure::NoDirectory { path: directory.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        paths.push(entry.map_err(unreadable)?.path());
    }
    paths.sort();
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        let is_hidden =
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if is_hidden || path.extension().is_none_or(|ending| ending != "toml") {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let problem = match fs::metadata(&path) {
            _ if !is_pool_name(&name) => {
                "the file's name is that of the pool: 1 to 32 of a to z, 0 to 9, - and _".to_owned()
            }
            // To open a pipe is to wait for who writes to it.
            Ok(metadata) if !metadata.is_file() => {
                "is no file; only files end in .toml here".to_owned()
            }
            Ok(_) => {
                files.push(PoolFile { name, path });
                continue;
            }
            Err(error) => format!("cannot be read: {error}"),
        };
        let text = format!("{}: {problem}", one_line(&path));
        problems.push(Problem { name: one_line(&name).to_string(), text });
    }
    Ok((files, problems))
}

impl Pool {
    /// Adds it to the others.
    fn join(self, pools: Pools, name: String) -> Pools {
        let Membership { weight, child_memory, is_role, .. } = self.membership;
        let pools =
            if is_role { pools.role_with(name, self.args) } else { pools.pool(name, self.args) };
        let mut pools = pools.made_of(&self.made_of);
        if let Some(weight) = weight {
            pools = pools.weight(weight);
        }
        if let Some(bytes) = child_memory {
            pools = pools.child_memory(bytes);
        }
        pools
    }
}

impl Common {
    /// Finds out what is wrong with one file, whatever the others are.
    fn check(&self, file: &PoolFile) -> Result<(), String> {
        let lines = |error: &ArgsError| {
            error.faults().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        let pool = self.make(file).map_err(|error| ErrorChain(&error).to_string())?;
        let alone = Pools::new(Args::new().settings(self.args.clone()));
        // Alone it shares nothing.
        let (weight, child_memory) = (None, None);
        let membership = Membership { weight, child_memory, ..pool.membership };
        let pool = Pool { membership, ..pool };
        pool.join(alone, file.name.clone()).check().map_err(|error| lines(&error))
    }

    /// Makes the arguments of a pool.
    fn make(&self, file: &PoolFile) -> Result<Pool, SettingsError> {
        let FileSettings { own, of_daemon, mut refused } = file::read(&file.path)?;
        // A file says more of its pool than what all have in common.
        let mut given = self.given.clone();
        given.extend(own);
        let mut given = in_force(&given);
        let membership = Membership::take(&mut given, self.shared, &mut refused);
        let Made { mut program, watch, from_files } =
            program::make(&given, self.directory.clone(), &mut refused)?;
        let mut settings = of_daemon;
        program.max_memory =
            settings.max_memory.take().or_else(|| self.layers.last(|it| it.max_memory));
        if !membership.is_role {
            self.layers.complete_sizes(&mut settings);
        }
        self.layers.complete(&mut settings, watch.is_some());
        let of_daemon = Args::new().settings(self.args.clone()).settings(settings.clone());
        let of_daemon = of_daemon.list_settings();
        let mut args = Args::new().settings(settings);
        if let Some(list) = watch {
            args = args.auto_reload_watch(list);
        }
        for Refused { what, problem } in refused {
            args = args.refuse(what, problem);
        }
        let addresses: Vec<_> = program.listen.iter().map(|it| it.address.clone()).collect();
        if let Some(mode) = program.listen.iter().find_map(|it| it.mode) {
            args = args.listens_with_mode(mode);
        }
        let identity = Identity::of(args.given());
        let text = Shown {
            program: &program,
            identity: &identity,
            given: &given,
            from_files: &from_files,
            of_daemon: &of_daemon,
            membership: &membership,
        }
        .text();
        // What is not shown, as it may be secret, is part of it.
        let made_of = format!("{text}{:?}", program.env);
        let args = prefork_exec::attach(program, args).listens_at(addresses);
        Ok(Pool { args, membership, text, made_of })
    }
}
