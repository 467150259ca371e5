//! What is to be run, made of what was given.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use nix::sys::signal::Signal;
use prefork::{Settings, SettingsError, WatchList, read_settings};
use prefork_core::one_line;
use prefork_exec::{Demand, LIMITS, Listen, Output, Program, Ready, Stdin, literal};

use super::{
    env_file,
    given::{Given, Refused, in_line},
};

/// What was made of what was given.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) program: Program,
    /// Files that have the children replaced when they change.
    pub(super) watch: Option<WatchList>,
    /// Names of variables that come from files, which may hold secrets.
    pub(super) from_files: Vec<String>,
}

/// Makes it, to run in this directory if none was given; notes what is wrong.
pub(super) fn make(
    given: &[Given],
    directory: Option<PathBuf>,
    refused: &mut Vec<Refused>,
) -> Result<Made, SettingsError> {
    let mut made =
        Made { program: Program::new(Vec::<OsString>::new()), watch: None, from_files: Vec::new() };
    made.program.directory = directory;
    let mut mode = None;
    // Files of variables first, so that others go before them.
    let (files, others): (Vec<_>, Vec<_>) =
        given.iter().partition(|given| given.own.name == "env_file");
    for given in files.into_iter().chain(others) {
        let label = given.origin.label(given.own);
        if given.own.name.starts_with("demand_") {
            made.program.origins.insert("demand", label.clone());
        }
        made.program.origins.insert(given.own.name, label);
        let result = match given.own.name {
            "env_file" => made.read_env_files(given, refused)?,
            "listen_mode" => one(given).and_then(parse_mode).map(|it| mode = Some((it, given))),
            _ => made.take(given),
        };
        if let Err(problem) = result {
            refused.push(Refused::of(given, problem));
        }
    }
    if let Some((mode, given)) = mode {
        let is_unix = |listen: &&mut Listen| listen.is_unix();
        let mut count = 0;
        for listen in made.program.listen.iter_mut().filter(is_unix) {
            listen.mode = Some(mode);
            count += 1;
        }
        if count == 0 {
            refused
                .push(Refused::of(given, "is for UNIX sockets, and the program listens at none"));
        }
    }
    Ok(made)
}

impl Made {
    fn take(&mut self, given: &Given) -> Result<(), String> {
        let program = &mut self.program;
        match given.own.name {
            "command" => program.command.clone_from(&given.texts),
            "stop_command" => program.stop_command = Some(given.texts.clone()),
            "listen" => program.listen = each(given, parse_listen)?,
            "demand_command" => self.ask(Demand::Command(given.texts.clone()))?,
            "demand_file" => self.ask(Demand::File(path(given)?))?,
            "demand_socket" => self.ask(Demand::Socket(path(given)?))?,
            "stdin_socket" => {
                let is_on = one(given).and_then(parse_switch)?;
                self.take_stdin(is_on, Stdin::Socket)?;
            }
            "inetd" => {
                let is_on = one(given).and_then(parse_switch)?;
                self.take_stdin(is_on, Stdin::Connection)?;
            }
            "max_output" => program.max_output = Some(one(given).and_then(parse_amount)?),
            "ready" => program.ready = one(given).and_then(parse_ready)?,
            "output" => program.output = one(given).and_then(parse_output)?,
            "env" => {
                for text in &given.texts {
                    let (name, value) = pair(text)?;
                    program.env.push((name, value));
                }
            }
            "directory" => {
                program.directory = Some(path(given)?);
            }
            "stop_signal" => program.stop_signal = one(given).and_then(parse_signal)?,
            "limits" => {
                for limit in each(given, parse_limit)? {
                    program.limits.retain(|(resource, _)| *resource != limit.0);
                    program.limits.push(limit);
                }
            }
            "watch" => self.watch = Some(watch_list(&each(given, |text| Ok(text.to_owned()))?)?),
            other => return Err(format!("nothing is made of {other}")),
        }
        Ok(())
    }

    /// Has it this as its standard input, if that is switched on.
    fn take_stdin(&mut self, is_on: bool, stdin: Stdin) -> Result<(), String> {
        match self.program.stdin {
            _ if !is_on => Ok(()),
            Stdin::Null => {
                self.program.stdin = stdin;
                Ok(())
            }
            _ => Err("is one too many: standard input is the listening socket by stdin_socket, or the connection \
                      by inetd"
                .to_owned()),
        }
    }

    /// Has it asked how many jobs wait.
    fn ask(&mut self, demand: Demand) -> Result<(), String> {
        match self.program.demand.replace(demand) {
            None => Ok(()),
            Some(_) => {
                Err("is one way too many: a command, a file or a socket says how many jobs wait"
                    .to_owned())
            }
        }
    }

    /// Reads files of variables. That one cannot be read is an error, as of a file of settings: it decides as much.
    fn read_env_files(
        &mut self,
        given: &Given,
        refused: &mut Vec<Refused>,
    ) -> Result<Result<(), String>, SettingsError> {
        for path in &given.texts {
            let path = Path::new(path);
            let read = read_settings(path, |text| Ok::<_, String>(env_file::read(text)));
            let (variables, faults) = read?;
            for (line, problem) in faults {
                refused.push(Refused { what: in_line(path, line), problem });
            }
            for (name, value) in variables {
                self.program.env.push((name.clone().into(), literal(value.as_ref())));
                self.from_files.push(name);
            }
        }
        Ok(Ok(()))
    }
}

fn one(given: &Given) -> Result<&str, String> {
    given.texts.first().and_then(|text| text.to_str()).ok_or_else(|| "must be UTF-8".to_owned())
}

/// A path, taken from the directory in which this process was started.
fn path(given: &Given) -> Result<PathBuf, String> {
    let path = given.texts.first().map(Path::new).unwrap_or(Path::new(""));
    std::path::absolute(path).map_err(|error| format!("cannot be made absolute: {error}"))
}

fn each<T>(given: &Given, parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    let parse = |text: &OsString| parse(text.to_str().ok_or("must be UTF-8")?);
    given.texts.iter().map(parse).collect()
}

fn pair(text: &OsStr) -> Result<(OsString, OsString), String> {
    let bytes = text.as_bytes();
    let at = bytes.iter().position(|byte| *byte == b'=');
    let at = at.ok_or_else(|| format!("must be NAME=VALUE, not \"{}\"", one_line(text)))?;
    let part = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    Ok((part(&bytes[..at]), part(&bytes[at + 1..])))
}

fn parse_listen(text: &str) -> Result<Listen, String> {
    let named = text.split_once('=').filter(|(name, _)| !name.contains('/'));
    Ok(match named {
        Some((name, address)) => Listen { name: Some(name.to_owned()), ..Listen::at(address) },
        None => Listen::at(text),
    })
}

fn parse_mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let is_octal = !digits.is_empty() && digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    let mode = u32::from_str_radix(digits, 8).ok().filter(|_| is_octal);
    mode.ok_or_else(|| format!("must be octal digits, as 0660, not {text:?}"))
}

fn parse_switch(text: &str) -> Result<bool, String> {
    // As the library reads its own.
    Settings::from_flags([("require_root", text)])
        .require_root
        .ok_or_else(|| format!("must be true or false, not {text:?}"))
}

fn parse_ready(text: &str) -> Result<Ready, String> {
    Ok(match text.split_once(':') {
        None if text == "auto" => Ready::Auto,
        None if text == "notify" => Ready::Notify,
        None if text == "accept" => Ready::Accept,
        Some(("tcp", address)) => Ready::Tcp(address.trim_start_matches("//").to_owned()),
        Some(("http" | "https", _)) => Ready::Http(text.to_owned()),
        Some(("after", time)) => Ready::After(parse_time(time)?),
        _ => {
            let wanted = "auto, notify, accept, tcp:ADDR, http://ADDR/PATH or after:TIME";
            return Err(format!("must be {wanted}, not {text:?}"));
        }
    })
}

fn parse_time(text: &str) -> Result<Duration, String> {
    // As the library reads its own.
    Settings::from_flags([("max_lifetime", text)]).max_lifetime.ok_or_else(|| {
        format!("after: must have a time such as 2s or 500ms behind it, not {text:?}")
    })
}

fn parse_output(text: &str) -> Result<Output, String> {
    match text {
        "log" => Ok(Output::Log),
        "inherit" => Ok(Output::Inherit),
        "discard" => Ok(Output::Discard),
        _ => Err(format!("must be log, inherit or discard, not {text:?}")),
    }
}

fn parse_signal(text: &str) -> Result<Signal, String> {
    let name = text.to_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    Signal::from_str(&format!("SIG{name}"))
        .map_err(|_error| format!("must be the name of a signal, as TERM or SIGINT, not {text:?}"))
}

fn parse_limit(text: &str) -> Result<(nix::sys::resource::Resource, u64), String> {
    let (name, value) =
        text.split_once('=').ok_or_else(|| format!("must be NAME=N, not {text:?}"))?;
    let found = LIMITS.iter().find(|(known, _)| *known == name);
    let Some((_, resource)) = found else {
        let names: Vec<_> = LIMITS.iter().map(|(name, _)| *name).collect();
        return Err(format!("{name:?} is no limit; there are {}", names.join(", ")));
    };
    if matches!(value, "unlimited" | "infinity") {
        return Ok((*resource, nix::libc::RLIM_INFINITY));
    }
    let amount = amount(value).ok_or_else(|| {
        format!(
            "{name}: must be a number, an amount of memory such as 2G, or unlimited, not {value:?}"
        )
    })?;
    Ok((*resource, amount))
}

/// Reads a number of bytes, with units as the library reads them.
fn amount(text: &str) -> Option<u64> {
    Settings::from_flags([("max_memory", text)]).max_memory
}

fn parse_amount(text: &str) -> Result<u64, String> {
    amount(text).ok_or_else(|| format!("must be a number of bytes such as 64K, not {text:?}"))
}

fn watch_list(patterns: &[String]) -> Result<WatchList, String> {
    let mut list = WatchList::new();
    for pattern in patterns {
        let added = match fs::metadata(pattern) {
            Ok(found) if found.is_dir() => list.directory(pattern),
            Ok(_) | Err(_) => list.glob(pattern),
        };
        added.map_err(|error| prefork::ErrorChain(&error).to_string())?;
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{given::Origin, own::Own};

    fn made(given: &[(&str, &[&str])]) -> (Made, Vec<String>) {
        let given = given.iter().map(|(name, texts)| {
            let own = Own::of(name).expect(name);
            let texts = texts.iter().map(Into::into).collect();
            Given { own, texts, origin: Origin::Flag(own.flag) }
        });
        let mut refused = Vec::new();
        let made = make(&given.collect::<Vec<_>>(), None, &mut refused).expect("files can be read");
        (made, refused.iter().map(|it| format!("{}: {}", it.what, it.problem)).collect())
    }

    #[test]
    fn a_program_is_made_of_texts() {
        let (made, refused) = made(&[
            ("command", &["uvicorn", "app:app"]),
            ("listen", &["http=:80", "/run/a=b.sock", "unix:/run/c"]),
            ("listen_mode", &["0660"]),
            ("stdin_socket", &["true"]),
            ("ready", &["after:500ms"]),
            ("output", &["discard"]),
            ("env", &["A=1", "B=x=y"]),
            ("directory", &["/srv"]),
            ("stop_signal", &["sigquit"]),
            ("stop_command", &["kill", "{pid}"]),
            ("demand_file", &["/run/jobs"]),
            ("limits", &["nofile=64", "as=2G", "core=unlimited", "nofile=65"]),
            ("watch", &["/etc/*.conf"]),
        ]);
        assert_eq!(refused, [""; 0]);
        let program = made.program;
        assert_eq!(program.command, ["uvicorn", "app:app"]);
        let listen = [
            Listen { name: Some("http".to_owned()), ..Listen::at(":80") },
            Listen { mode: Some(0o660), ..Listen::at("/run/a=b.sock") },
            Listen { mode: Some(0o660), ..Listen::at("unix:/run/c") },
        ];
        assert_eq!(program.listen, listen);
        assert_eq!(program.stdin, Stdin::Socket);
        assert_eq!(program.ready, Ready::After(Duration::from_millis(500)));
        assert_eq!(program.output, Output::Discard);
        assert_eq!(program.env, [("A".into(), "1".into()), ("B".into(), OsString::from("x=y"))]);
        assert_eq!(program.directory.as_deref(), Some(Path::new("/srv")));
        assert_eq!(program.stop_signal, Signal::SIGQUIT);
        assert_eq!(program.stop_command, Some(vec!["kill".into(), "{pid}".into()]));
        assert_eq!(program.demand, Some(Demand::File("/run/jobs".into())));
        assert_eq!(program.origins["demand"], "--demand-file");
        let limits: Vec<_> =
            program.limits.iter().map(|(it, n)| (prefork_exec::limit_name(*it), *n)).collect();
        assert_eq!(limits, [("as", 2 << 30), ("core", u64::MAX), ("nofile", 65)]);
        assert!(made.watch.is_some_and(|list| !list.is_empty()));
        assert_eq!(program.origins["listen"], "--listen");
    }

    #[test]
    fn each_way_to_be_ready_has_its_word() {
        for (text, expected) in [
            ("auto", Some(Ready::Auto)),
            ("notify", Some(Ready::Notify)),
            ("accept", Some(Ready::Accept)),
            ("tcp:127.0.0.1:1", Some(Ready::Tcp("127.0.0.1:1".to_owned()))),
            ("tcp://127.0.0.1:1", Some(Ready::Tcp("127.0.0.1:1".to_owned()))),
            ("http://x/live", Some(Ready::Http("http://x/live".to_owned()))),
            ("after:2", Some(Ready::After(Duration::from_secs(2)))),
            ("after:soon", None),
            ("Auto", None),
            ("", None),
        ] {
            assert_eq!(parse_ready(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_by_its_flag() {
        for (name, text, expected) in [
            (
                "ready",
                "soon",
                "--ready: must be auto, notify, accept, tcp:ADDR, http://ADDR/PATH or after:TIME, not \"soon\"",
            ),
            (
                "ready",
                "after:x",
                "--ready: after: must have a time such as 2s or 500ms behind it, not \"x\"",
            ),
            ("output", "file", "--output: must be log, inherit or discard, not \"file\""),
            ("env", "A", "--env: must be NAME=VALUE, not \"A\""),
            (
                "stop_signal",
                "TREM",
                "--stop-signal: must be the name of a signal, as TERM or SIGINT, not \"TREM\"",
            ),
            ("stdin_socket", "perhaps", "--stdin-socket: must be true or false, not \"perhaps\""),
            ("listen_mode", "rw", "--listen-mode: must be octal digits, as 0660, not \"rw\""),
            (
                "listen_mode",
                "0660",
                "--listen-mode: is for UNIX sockets, and the program listens at none",
            ),
            (
                "limits",
                "files=1",
                "--limit: \"files\" is no limit; there are as, core, cpu, data, fsize, memlock, msgqueue, nofile, nproc, rtprio, stack",
            ),
            ("limits", "nofile", "--limit: must be NAME=N, not \"nofile\""),
            (
                "limits",
                "as=2GB",
                "--limit: as: must be a number, an amount of memory such as 2G, or unlimited, not \"2GB\"",
            ),
        ] {
            assert_eq!(made(&[(name, &[text])]).1, [expected]);
        }
    }

    #[test]
    fn one_way_says_how_many_jobs_wait() {
        let (made, refused) =
            made(&[("demand_command", &["redis-cli", "llen", "x"]), ("demand_socket", &["/x"])]);
        let expected = "--demand-socket: is one way too many: a command, a file or a socket says how many jobs wait";
        assert_eq!(refused, [expected]);
        assert_eq!(made.program.demand, Some(Demand::Socket("/x".into())));
    }

    #[test]
    fn standard_input_is_one_thing() {
        for (texts, stdin, is_refused) in [
            (["true", "false"], Stdin::Socket, false),
            (["false", "true"], Stdin::Connection, false),
            (["false", "false"], Stdin::Null, false),
            (["true", "true"], Stdin::Socket, true),
        ] {
            let (made, refused) = made(&[("stdin_socket", &texts[..1]), ("inetd", &texts[1..])]);
            assert_eq!((made.program.stdin, refused.len()), (stdin, usize::from(is_refused)));
        }
    }

    #[test]
    fn files_of_variables_go_behind_variables_and_their_braces_stay() {
        // As root, no file is read in a directory that others may write.
        let folder = std::env::var_os("PREFORK_TESTS_FOLDER");
        let folder = folder.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let directory = tempfile::tempdir_in(folder).expect("a directory");
        let path = directory.path().join("env");
        fs::write(&path, "A={fd}\nB=2\nbad\n").expect("written");
        let path = path.to_str().expect("UTF-8");
        let (made, refused) = made(&[("env", &["B=3"]), ("env_file", &[path])]);
        assert_eq!(refused, [format!("{path}:3: is not NAME=VALUE")]);
        let expected = [("A", "{{fd}}"), ("B", "2"), ("B", "3")];
        assert_eq!(made.program.env, expected.map(|(a, b)| (OsString::from(a), OsString::from(b))));
        assert_eq!(made.from_files, ["A", "B"]);
    }
}
