//! What is wrong with a program that is to be run, found before anything starts.

mod executable;
mod identity;

use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use nix::sys::{
    resource::{Resource, getrlimit},
    signal::Signal,
};
use prefork::Init;
use prefork_core::{one_line, too_little_memory};

use crate::{
    Demand, Listen, Program, Ready, Stdin,
    template::{Template, TemplateError},
};
pub(crate) use executable::find;
pub use identity::Identity;

/// What is wrong with one argument of a [`Program`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProgramFault {
    /// The name of the field.
    pub argument: &'static str,
    /// What is wrong with it, and what to do.
    pub problem: String,
}

/// The faults found so far.
#[derive(Default)]
struct Faults(Vec<ProgramFault>);

impl Faults {
    fn add(&mut self, argument: &'static str, problem: impl Into<String>) {
        self.0.push(ProgramFault { argument, problem: problem.into() });
    }
}

impl Program {
    /// Returns all that is wrong with it, for processes of this identity; nothing is started.
    ///
    /// That a program is there and can be executed is found out as `execvp(3)` would. Where slots differ in that, as
    /// `/srv/{slot}/app` does, that of the first slot is looked at.
    #[must_use]
    pub fn check(&self, identity: &Identity) -> Vec<ProgramFault> {
        let mut faults = Faults::default();
        self.check_listen(&mut faults);
        self.check_env(&mut faults);
        self.check_ready(&mut faults);
        let directory = self.check_directory(identity, &mut faults);
        let commands =
            [("command", Some(&self.command)), ("stop_command", self.stop_command.as_ref())];
        for (argument, command) in commands {
            let Some(command) = command else { continue };
            self.check_command(argument, command, directory.as_deref(), identity, &mut faults);
        }
        self.check_demand(directory.as_deref(), identity, &mut faults);
        self.check_stop_signal(&mut faults);
        self.check_limits(&mut faults);
        self.check_inetd(&mut faults);
        if self.max_memory == Some(0) {
            faults.add("max_memory", "must be at least 1; leave it out for no limit");
        }
        if let Some(problem) = self.max_memory.and_then(too_little_memory) {
            faults.add("max_memory", problem);
        }
        faults.0
    }

    /// Fills in what the first slot has.
    ///
    /// # Errors
    ///
    /// Fails with a word in braces that stands for nothing.
    fn first(&self, text: &OsStr) -> Result<OsString, TemplateError> {
        let names = self.socket_names();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let place = |index: usize| self.listen[index].place().to_owned();
        Ok(Template::parse(text, &names)?.render(0, 0, place))
    }

    /// Returns what the first slot runs: the command with its placeholders filled in, and the file that is executed, or what
    /// it is called where it is not found.
    #[must_use]
    pub fn preview(&self, identity: &Identity) -> (PathBuf, Vec<OsString>) {
        let fill_in = |word: &OsString| self.first(word).unwrap_or_else(|_| word.clone());
        let words: Vec<OsString> = self.command.iter().map(fill_in).collect();
        let program = words.first().cloned().unwrap_or_default();
        let directory = self.directory.as_ref().map(|it| PathBuf::from(fill_in(&it.into())));
        let found = find(&program, self.search_path().as_deref(), directory.as_deref(), identity);
        (found.unwrap_or_else(|_| program.into()), words)
    }

    /// The `PATH` by which it is looked for: its own, if it has one.
    fn search_path(&self) -> Option<OsString> {
        let own = self.env.iter().rev().find(|(name, _)| name == "PATH");
        own.map(|(_, value)| value.clone()).or_else(|| env::var_os("PATH"))
    }

    fn check_command(
        &self,
        argument: &'static str,
        command: &[OsString],
        directory: Option<&Path>,
        identity: &Identity,
        faults: &mut Faults,
    ) {
        if command.first().is_none_or(|program| program.is_empty()) {
            return faults.add(argument, "is empty; give a program, as `-- uvicorn app:app`");
        }
        for (index, word) in command.iter().enumerate() {
            let of = match index {
                0 => "the program".to_owned(),
                index => format!("argument {index} ({})", one_line(word)),
            };
            if word.as_bytes().contains(&0) {
                faults.add(argument, format!("{of}: holds a NUL byte, which no argument can"));
            } else if let Err(error) = self.first(word) {
                faults.add(argument, format!("{of}: {error}"));
            }
        }
        let Ok(program) = self.first(&command[0]) else { return };
        if let Err(problem) = find(&program, self.search_path().as_deref(), directory, identity) {
            faults.add(argument, problem);
        }
    }

    fn check_demand(&self, directory: Option<&Path>, identity: &Identity, faults: &mut Faults) {
        let Some(Demand::Command(words)) = &self.demand else { return };
        let Some(program) = words.first().filter(|program| !program.is_empty()) else {
            return faults.add("demand", "is empty; give a command that prints how many jobs wait");
        };
        if let Err(problem) = find(program, self.search_path().as_deref(), directory, identity) {
            faults.add("demand", problem);
        }
    }

    /// Checks the directory; returns it as the first slot has it, if it is one.
    fn check_directory(&self, identity: &Identity, faults: &mut Faults) -> Option<PathBuf> {
        let directory = self.directory.as_ref()?;
        let shown = one_line(directory);
        let directory = match self.first(directory.as_os_str()) {
            Ok(directory) => PathBuf::from(directory),
            Err(error) => {
                faults.add("directory", error.to_string());
                return None;
            }
        };
        match std::fs::metadata(&directory) {
            Err(error) => faults.add("directory", format!("cannot enter {shown}: {error}")),
            Ok(found) if !found.is_dir() => {
                faults.add("directory", format!("{shown} is no directory"));
            }
            Ok(_) => match identity.may_enter(&directory) {
                Ok(()) => return Some(directory),
                Err(problem) => faults.add("directory", problem),
            },
        }
        None
    }

    fn check_listen(&self, faults: &mut Faults) {
        for (index, listen) in self.listen.iter().enumerate() {
            if let Err(error) = Init::check_address(&listen.address) {
                faults.add("listen", error.to_string());
            }
            let before = &self.listen[..index];
            if before.iter().any(|other| other.address == listen.address) {
                let address = one_line(&listen.address);
                faults.add("listen", format!("{address} is given twice"));
            }
            if let Some(name) = &listen.name {
                check_name(name, before, faults);
            }
            match listen.mode {
                Some(mode) if mode > 0o777 => {
                    faults.add("listen_mode", format!("must be 0 to 0777, but is {mode:04o}"));
                }
                Some(_) if !listen.is_unix() => {
                    let address = one_line(&listen.address);
                    faults
                        .add("listen_mode", format!("is for UNIX sockets, and {address} is none"));
                }
                Some(_) | None => {}
            }
        }
        if self.listen.is_empty() && self.stdin == Stdin::Socket {
            faults.add("stdin_socket", "needs a listening socket; give one by listen");
        }
    }

    /// Names what means nothing of a program that is started for a client and ends by itself.
    fn check_inetd(&self, faults: &mut Faults) {
        if self.stdin != Stdin::Connection {
            if self.max_output.is_some() {
                faults.add("max_output", "has no effect without inetd");
            }
            return;
        }
        if self.max_output == Some(0) {
            faults.add("max_output", "must be at least 1; leave it out for any amount");
        }
        if let Some(listen) =
            self.listen.iter().find(|it| it.is_unix() && self.max_output.is_some())
        {
            let address = one_line(&listen.address);
            faults.add(
                "max_output",
                format!("is counted on TCP connections alone, and {address} is a UNIX socket"),
            );
        }
        if self.listen.is_empty() {
            faults.add("inetd", "needs a listening socket; give one by listen");
        }
        let rest = "with inetd: the program is started for a client, and ends by itself";
        let given = [
            ("ready", self.ready != Ready::Auto),
            ("stop_signal", self.stop_signal != Signal::SIGTERM),
            ("stop_command", self.stop_command.is_some()),
        ];
        for (argument, _) in given.into_iter().filter(|(_, is_given)| *is_given) {
            faults.add(argument, format!("has no effect {rest}"));
        }
        if self.max_memory.is_some() {
            let problem = "has no effect with inetd; give the program limits, as data=200M";
            faults.add("max_memory", problem);
        }
    }

    fn check_env(&self, faults: &mut Faults) {
        for (name, value) in &self.env {
            let shown = one_line(name);
            let is_name =
                !name.is_empty() && !name.as_bytes().iter().any(|it| [b'=', 0].contains(it));
            if !is_name {
                faults.add("env", format!("\"{shown}\" is no name of a variable"));
            } else if value.as_bytes().contains(&0) {
                faults.add("env", format!("{shown}: holds a NUL byte, which no variable can"));
            } else if let Err(error) = self.first(value) {
                faults.add("env", format!("{shown}: {error}"));
            }
        }
    }

    fn check_ready(&self, faults: &mut Faults) {
        let mut address = |text: &str, address: fn(&str) -> Result<(), String>| {
            let filled = self.first(text.as_ref()).map_err(|error| error.to_string());
            let filled = filled.map(|it| it.to_string_lossy().into_owned());
            if let Err(problem) = filled.and_then(|filled| address(&filled)) {
                faults.add("ready", problem);
            }
        };
        match &self.ready {
            Ready::Tcp(text) => address(text, is_address),
            Ready::Http(text) => address(text, is_url),
            Ready::Accept if self.listen.is_empty() => faults.add(
                "ready",
                "accept needs a listening socket; give one by listen, or say notify or after:2s",
            ),
            Ready::Auto | Ready::Notify | Ready::Accept | Ready::After(_) => {}
        }
    }

    fn check_stop_signal(&self, faults: &mut Faults) {
        match self.stop_signal {
            Signal::SIGSTOP
            | Signal::SIGTSTP
            | Signal::SIGTTIN
            | Signal::SIGTTOU
            | Signal::SIGCONT
            | Signal::SIGCHLD => {
                let name = self.stop_signal.as_str();
                faults.add(
                    "stop_signal",
                    format!("{name} ends no program; give SIGTERM, SIGINT or SIGQUIT"),
                );
            }
            _ => {}
        }
    }

    fn check_limits(&self, faults: &mut Faults) {
        for (resource, wanted) in &self.limits {
            let may_raise = rustix::process::geteuid().is_root();
            if let Ok((_, hard)) = getrlimit(*resource)
                && *wanted > hard
                && !may_raise
            {
                let name = limit_name(*resource);
                let problem = format!(
                    "{name} must be at most {hard}, the hard limit of this process, but is {wanted}"
                );
                faults.add("limits", problem);
            }
        }
    }
}

fn check_name(name: &str, before: &[Listen], faults: &mut Faults) {
    let is_name = !name.is_empty()
        && name.len() <= 255
        && name.bytes().all(|it| it.is_ascii_graphic() && it != b':' && it != b'}')
        && !name.bytes().all(|it| it.is_ascii_digit());
    if !is_name {
        let name = one_line(name);
        let problem = format!(
            "\"{name}\" is no name of a socket: 1 to 255 visible letters, not digits alone, without `:` and `}}`"
        );
        faults.add("listen", problem);
    } else if before.iter().any(|other| other.name.as_deref() == Some(name)) {
        faults.add("listen", format!("two sockets are called {}", one_line(name)));
    }
}

fn is_address(text: &str) -> Result<(), String> {
    let is_address = text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0)
    });
    let problem = || format!("{} is no address to connect to, as 127.0.0.1:8000", one_line(text));
    if is_address { Ok(()) } else { Err(problem()) }
}

fn is_url(text: &str) -> Result<(), String> {
    let url = text.strip_prefix("http://").ok_or_else(|| {
        format!(
            "{} does not begin with http://; the check of a program of this host needs no https",
            one_line(text)
        )
    })?;
    let host = url.split('/').next().unwrap_or_default();
    if host.contains(':') { is_address(host) } else { is_address(&format!("{host}:80")) }
}

/// The name of a limit, as that of its flag.
#[must_use]
pub fn limit_name(resource: Resource) -> &'static str {
    LIMITS.iter().find(|(_, it)| *it == resource).map_or("limit", |(name, _)| name)
}

/// The limits that a program can be given, by their names in `limits.conf(5)`.
pub const LIMITS: [(&str, Resource); 11] = [
    ("as", Resource::RLIMIT_AS),
    ("core", Resource::RLIMIT_CORE),
    ("cpu", Resource::RLIMIT_CPU),
    ("data", Resource::RLIMIT_DATA),
    ("fsize", Resource::RLIMIT_FSIZE),
    ("memlock", Resource::RLIMIT_MEMLOCK),
    ("msgqueue", Resource::RLIMIT_MSGQUEUE),
    ("nofile", Resource::RLIMIT_NOFILE),
    ("nproc", Resource::RLIMIT_NPROC),
    ("rtprio", Resource::RLIMIT_RTPRIO),
    ("stack", Resource::RLIMIT_STACK),
];

#[cfg(test)]
mod tests;
