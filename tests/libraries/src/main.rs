//! A daemon that uses one library before the fork, or after it, and whose children write what they see to a file.
//!
//! `libraries CASE FOLDER [ADDRESS]`, in the foreground. A case that ends in `-remedy` does what the table in
//! `prefork/docs/fork_safety.md` says to do instead.

mod databases;
mod logs;
mod random;

use std::{
    env,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use prefork::{Args, BoxError, Child, Init, Lines, Prefork, Result};

/// How many children there are.
const CHILDREN: u32 = 3;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "libraries: {}", Lines(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result {
    let mut arguments = env::args().skip(1);
    let case = arguments.next().ok_or("which case?")?;
    let place = Place {
        folder: arguments.next().ok_or("in which folder?")?.into(),
        address: arguments.next().unwrap_or_default(),
    };
    match &*case {
        "rand-0.8" => random::rand_08(place),
        "rand-0.8-remedy" => random::rand_08_remedy(place),
        "rand-0.9" => random::rand_09(place),
        "rand-0.9-remedy" => random::rand_09_remedy(place),
        "hash-map" => random::hash_map(place),
        "hash-map-remedy" => random::hash_map_remedy(place),
        "rusqlite" => databases::rusqlite(place),
        "rusqlite-locked" => databases::rusqlite_locked(place),
        "rusqlite-remedy" => databases::rusqlite_remedy(place),
        "rusqlite-check" => databases::rusqlite_check(&place),
        "redis" => databases::redis(place),
        "redis-remedy" => databases::redis_remedy(place),
        "tracing-appender" => logs::tracing_appender(place),
        "tracing-appender-remedy" => logs::tracing_appender_remedy(place),
        "tracing-appender-blocking" => logs::tracing_appender_blocking(place),
        case => Err(format!("no such case: {case}").into()),
    }
}

/// What a case is given.
struct Place {
    folder: PathBuf,
    address: String,
}

impl Place {
    /// Runs a daemon: `before` in the parent, `after` in each process that is forked, and what `sees` returns in each child
    /// is a line in the file `seen`.
    fn serve<S: 'static>(
        self,
        before: impl FnOnce(&Self) -> Result<S> + 'static,
        after: impl FnMut(&S) -> Result + 'static,
        sees: impl Fn(&S, &Self) -> Result<String> + 'static,
    ) -> Result {
        let place = std::rc::Rc::new(self);
        let parents = place.clone();
        let args = Args::new()
            .name("libraries")
            .daemonize(false)
            .prefork(CHILDREN)
            .after_init(move |_: &mut Init| before(&parents))
            .after_fork_in_child(after)
            .main_loop(move |child, state| {
                append(&place.folder.join("seen"), &sees(state, &place)?)?;
                wait_for_the_end(child);
                Ok(())
            });
        Prefork::new(args)?.run()?;
        Ok(())
    }
}

impl Place {
    /// Waits until all children have come to this, so that none is done before another begins.
    fn wait_for_all(&self) -> Result {
        let here = self.folder.join("here");
        append(&here, "here")?;
        while fs::read_to_string(&here)?.lines().count() < CHILDREN as usize {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// Adds a line, of which no other process writes a part.
fn append(path: &Path, line: &str) -> std::result::Result<(), BoxError> {
    let mut file = File::options().create(true).append(true).open(path)?;
    Ok(file.write_all(format!("{line}\n").as_bytes())?)
}

fn wait_for_the_end(child: &mut Child) {
    while !child.should_stop() {
        thread::sleep(Duration::from_millis(10));
    }
}

/// For cases that do nothing right after a fork.
fn nothing<S>(_: &S) -> Result {
    Ok(())
}
