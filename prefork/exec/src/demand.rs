//! How many jobs wait for programs that fetch them from elsewhere than a socket.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use prefork::Args;
use prefork_core::one_line;
use thiserror::Error;

use crate::{Program, environment::REMOVED};

/// What reports how many jobs wait that nobody has taken, asked every [`demand_every`](Args::demand_every).
///
/// All of it happens in a process of its own with the rights of a child. What cannot be had, or hangs for longer than
/// [`hook_timeout`](Args::hook_timeout), is logged once until it works again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Demand {
    /// A command that prints it, found by `PATH` if there is no slash in it, with its arguments. It has the directory and the
    /// variables of the program, and placeholders are not filled in. An exit status other than 0 is a failure.
    Command(Vec<OsString>),
    /// A file that begins with it.
    File(PathBuf),
    /// A UNIX socket at which whoever connects is told it, after which the connection ends.
    Socket(PathBuf),
}

/// Why it is not known how many jobs wait.
#[derive(Debug, Error)]
enum DemandError {
    #[error("cannot run {program:?}")]
    Run { program: OsString, source: io::Error },
    #[error("{program:?} has failed: {status}")]
    Failed { program: OsString, status: std::process::ExitStatus },
    #[error("cannot read {}", one_line(path))]
    File { path: PathBuf, source: io::Error },
    #[error("cannot ask at {}", one_line(path))]
    Socket { path: PathBuf, source: io::Error },
    #[error("{from} says \"{}\", which is no number of jobs", one_line(text))]
    NoNumber { from: String, text: String },
}

/// Nothing that begins with a number is longer than that.
const MOST: u64 = 64;

/// Has the daemon ask what the program says reports how many jobs wait, if it says so.
pub(crate) fn attach<S>(program: &Program, args: Args<S>) -> Args<S> {
    let Some(demand) = &program.demand else { return args };
    let asked = Asked::new(demand, program);
    args.demand(move || Ok(asked.ask()?))
}

/// What is asked, from wherever the daemon is then.
struct Asked {
    demand: Demand,
    directory: Option<PathBuf>,
    variables: Vec<(OsString, OsString)>,
}

impl Asked {
    /// Takes paths from where the daemon is started.
    fn new(demand: &Demand, program: &Program) -> Self {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let demand = match demand {
            Demand::Command(words) => Demand::Command(words.clone()),
            Demand::File(path) => Demand::File(absolute(path)),
            Demand::Socket(path) => Demand::Socket(absolute(path)),
        };
        // What differs from slot to slot is no place for all.
        let directory =
            program.directory.as_deref().filter(|it| !it.to_string_lossy().contains('{'));
        let directory = directory.map(absolute);
        let directory = directory.or_else(|| std::env::current_dir().ok());
        Self { demand, directory, variables: program.env.clone() }
    }

    fn ask(&self) -> Result<u32, DemandError> {
        match &self.demand {
            Demand::Command(words) => self.run(words),
            Demand::File(path) => {
                let text = File::open(path)
                    .and_then(beginning)
                    .map_err(|source| DemandError::File { path: path.clone(), source })?;
                number(&text, || one_line(path).to_string())
            }
            Demand::Socket(path) => {
                let text = UnixStream::connect(path)
                    .and_then(beginning)
                    .map_err(|source| DemandError::Socket { path: path.clone(), source })?;
                number(&text, || format!("the socket {}", one_line(path)))
            }
        }
    }

    fn run(&self, words: &[OsString]) -> Result<u32, DemandError> {
        let program = words.first().cloned().unwrap_or_default();
        let failed = |source| DemandError::Run { program: program.clone(), source };
        let mut command = Command::new(&program);
        command.args(words.iter().skip(1)).stdin(Stdio::null()).stdout(Stdio::piped());
        // What is for this daemon is not for what it starts.
        for name in REMOVED {
            command.env_remove(name);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let mut child = command.spawn().map_err(failed)?;
        let printed = child.stdout.take().map(|mut output| {
            let text = beginning(&mut output)?;
            // One that prints more is not to end by that.
            io::copy(&mut output, &mut io::sink())?;
            Ok(text)
        });
        let status = child.wait().map_err(failed)?;
        let text = printed.unwrap_or_else(|| Ok(String::new())).map_err(failed)?;
        if !status.success() {
            return Err(DemandError::Failed { program, status });
        }
        number(&text, || format!("{program:?}"))
    }
}

/// Reads so much that a number is in it.
fn beginning(from: impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.take(MOST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Takes the first word for a number.
fn number(text: &str, from: impl Fn() -> String) -> Result<u32, DemandError> {
    let word = text.split_whitespace().next().unwrap_or_default();
    // More than can be counted are as many as can be.
    match word.parse::<u64>() {
        Ok(jobs) => Ok(u32::try_from(jobs).unwrap_or(u32::MAX)),
        Err(_) => Err(DemandError::NoNumber { from: from(), text: word.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write, os::unix::net::UnixListener, thread};

    use prefork_core::ErrorChain;

    use super::*;

    fn ask(demand: &Demand) -> Result<u32, String> {
        let mut program = Program::new(["true"]);
        program.env.push(("JOBS".into(), "7".into()));
        let asked = Asked::new(demand, &program);
        asked.ask().map_err(|error| ErrorChain(&error).to_string())
    }

    fn command(words: &[&str]) -> Demand {
        Demand::Command(words.iter().map(OsString::from).collect())
    }

    #[test]
    fn a_command_prints_how_many_wait() {
        for (script, jobs) in [
            ("echo 12", 12),
            ("printf 3", 3),
            ("echo '5 in the queue'; echo 9", 5),
            ("echo $JOBS", 7),
            ("echo 99999999999", u32::MAX),
            ("echo 4; head -c 300000 /dev/zero", 4),
        ] {
            assert_eq!(ask(&command(&["sh", "-c", script])), Ok(jobs), "{script}");
        }
    }

    #[test]
    fn a_command_that_fails_says_why() {
        let table = [
            (&["sh", "-c", "echo 3; exit 4"][..], "\"sh\" has failed: exit status: 4"),
            (&["sh", "-c", "kill -9 $$"], "\"sh\" has failed: signal: 9 (SIGKILL)"),
            (&["sh", "-c", "echo many"], "\"sh\" says \"many\", which is no number of jobs"),
            (&["true"], "\"true\" says \"\", which is no number of jobs"),
            (&["echo", "-1"], "\"echo\" says \"-1\", which is no number of jobs"),
            (&["/no/such/program"], "cannot run \"/no/such/program\": No such file or directory"),
        ];
        for (words, expected) in table {
            let error = ask(&command(words)).expect_err("no number");
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_file_begins_with_how_many_wait() {
        let folder = tempfile::tempdir().expect("made");
        let path = folder.path().join("jobs");
        let error = ask(&Demand::File(path.clone())).expect_err("it is not there");
        assert!(error.starts_with(&format!("cannot read {}: No such file", path.display())));
        for (text, jobs) in [("20\n", Ok(20)), (" 0", Ok(0)), ("1 2 3", Ok(1))] {
            fs::write(&path, text).expect("written");
            assert_eq!(ask(&Demand::File(path.clone())), jobs);
        }
        fs::write(&path, "none\x1b[2J").expect("written");
        let error = ask(&Demand::File(path.clone())).expect_err("no number");
        assert!(
            error.ends_with("which is no number of jobs") && !error.contains('\x1b'),
            "{error}"
        );
    }

    #[test]
    fn who_connects_to_a_socket_is_told_how_many_wait() {
        let folder = tempfile::tempdir().expect("made");
        let path = folder.path().join("jobs");
        let error = ask(&Demand::Socket(path.clone())).expect_err("it is not there");
        assert!(error.starts_with(&format!("cannot ask at {}: ", path.display())), "{error}");
        let listener = UnixListener::bind(&path).expect("bound");
        let tells = thread::spawn(move || {
            for text in ["", "3", "1", "7\n"] {
                let (mut client, _) = listener.accept().expect("accepted");
                // In pieces, as over any connection.
                for byte in text.as_bytes() {
                    client.write_all(&[*byte]).expect("sent");
                }
            }
        });
        assert!(ask(&Demand::Socket(path.clone())).is_err(), "it has said nothing");
        for jobs in [3, 1, 7] {
            assert_eq!(ask(&Demand::Socket(path.clone())), Ok(jobs));
        }
        tells.join().expect("told");
    }
}
