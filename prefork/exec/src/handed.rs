//! What is to be run, as settings that a reload hands to children.
//!
//! A reload executes `prefork` once more to read the settings, and what that process makes of them has to reach children
//! that the old parent forks: as texts. The sockets stay those of the parent, so where to listen takes an upgrade, and so do
//! whom the parent asks for jobs, and whether a program is started for each client.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    time::Duration,
};

use nix::sys::signal::Signal;
use prefork::{Args, Child};

use crate::{LIMITS, Output, Program, Ready, Stdin, limit_name};

/// Between the parts of a text; no argument and no variable holds one.
const SEPARATOR: u8 = 0;

impl Program {
    /// Declares it as settings.
    pub(crate) fn declare(&self, mut args: Args) -> Args {
        for (name, text) in self.texts() {
            args = args.own_setting(name, text);
        }
        args.own_fixed_setting("listen", &self.listen)
            .own_fixed_setting("demand", &self.demand)
            .own_fixed_setting("inetd", &(self.stdin == Stdin::Connection))
    }

    /// Returns what this child is to run: what was declared when it was started.
    pub(crate) fn of_child(&self, child: &Child) -> Self {
        let mut program = self.clone();
        for (name, _) in self.texts() {
            if let Some(text) = child.own_setting(name) {
                program.take(name, text);
            }
        }
        program
    }

    fn texts(&self) -> [(&'static str, String); 11] {
        let pair = |(name, value): &(OsString, OsString)| {
            let mut pair = name.clone();
            pair.push("=");
            pair.push(value);
            pair
        };
        let env: Vec<OsString> = self.env.iter().map(pair).collect();
        let limits = self.limits.iter().map(|(it, n)| format!("{}={n}", limit_name(*it)).into());
        let limits: Vec<OsString> = limits.collect();
        let stdin = match self.stdin {
            Stdin::Null => "",
            Stdin::Socket => "socket",
            Stdin::Connection => "connection",
        };
        let output = match self.output {
            Output::Log => "log",
            Output::Inherit => "inherit",
            Output::Discard => "discard",
        };
        let ready = match &self.ready {
            Ready::Auto => "auto".to_owned(),
            Ready::Notify => "notify".to_owned(),
            Ready::Accept => "accept".to_owned(),
            Ready::Tcp(address) => format!("tcp {address}"),
            Ready::Http(address) => format!("http {address}"),
            Ready::After(time) => format!("after {}", time.as_nanos()),
        };
        let directory: Vec<OsString> = self.directory.iter().map(OsString::from).collect();
        [
            ("command", joined(&self.command)),
            ("env", joined(&env)),
            ("directory", joined(&directory)),
            ("stdin_socket", stdin.to_owned()),
            ("ready", ready),
            ("output", output.to_owned()),
            ("stop_signal", (self.stop_signal as i32).to_string()),
            ("stop_command", joined(self.stop_command.as_deref().unwrap_or_default())),
            ("max_memory", self.max_memory.map(|bytes| bytes.to_string()).unwrap_or_default()),
            ("max_output", self.max_output.map(|bytes| bytes.to_string()).unwrap_or_default()),
            ("limits", joined(&limits)),
        ]
    }

    /// Takes over what such a text says. What cannot be read is no text of [`texts`](Self::texts), and leaves all as it is.
    fn take(&mut self, name: &str, text: &str) {
        match name {
            "command" => self.command = split(text),
            "env" => self.env = split(text).iter().filter_map(|pair| pair_of(pair)).collect(),
            "directory" => self.directory = split(text).pop().map(Into::into),
            "stdin_socket" => {
                self.stdin = match text {
                    "socket" => Stdin::Socket,
                    "connection" => Stdin::Connection,
                    _ => Stdin::Null,
                };
            }
            "ready" => self.ready = ready_of(text).unwrap_or_else(|| self.ready.clone()),
            "output" => {
                self.output = match text {
                    "inherit" => Output::Inherit,
                    "discard" => Output::Discard,
                    _ => Output::Log,
                }
            }
            "stop_signal" => {
                let signal =
                    text.parse().ok().and_then(|number: i32| Signal::try_from(number).ok());
                self.stop_signal = signal.unwrap_or(self.stop_signal);
            }
            "stop_command" => {
                self.stop_command = Some(split(text)).filter(|words| !words.is_empty());
            }
            "max_memory" => self.max_memory = text.parse().ok(),
            "max_output" => self.max_output = text.parse().ok(),
            "limits" => {
                let limit = |pair: OsString| {
                    let (name, value) = pair_of(&pair)?;
                    let (_, resource) = LIMITS.iter().find(|(known, _)| name == *known)?;
                    Some((*resource, value.to_str()?.parse().ok()?))
                };
                self.limits = split(text).into_iter().filter_map(limit).collect();
            }
            _ => {}
        }
    }
}

/// Writes parts as one text, each byte as the letter of its number, since they need not be UTF-8.
fn joined(parts: &[OsString]) -> String {
    let bytes = parts.iter().flat_map(|part| part.as_bytes().iter().copied().chain([SEPARATOR]));
    bytes.map(char::from).collect()
}

fn split(text: &str) -> Vec<OsString> {
    let bytes: Vec<u8> = text.chars().filter_map(|letter| u8::try_from(letter).ok()).collect();
    let parts = bytes.split_inclusive(|byte| *byte == SEPARATOR);
    parts
        .map(|part| OsString::from_vec(part.strip_suffix(&[SEPARATOR]).unwrap_or(part).to_vec()))
        .collect()
}

fn pair_of(text: &OsStr) -> Option<(OsString, OsString)> {
    let at = text.as_bytes().iter().position(|byte| *byte == b'=')?;
    let part = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    Some((part(&text.as_bytes()[..at]), part(&text.as_bytes()[at + 1..])))
}

fn ready_of(text: &str) -> Option<Ready> {
    Some(match text.split_once(' ').unwrap_or((text, "")) {
        ("auto", _) => Ready::Auto,
        ("notify", _) => Ready::Notify,
        ("accept", _) => Ready::Accept,
        ("tcp", address) => Ready::Tcp(address.to_owned()),
        ("http", address) => Ready::Http(address.to_owned()),
        ("after", nanos) => Ready::After(Duration::from_nanos(nanos.parse().ok()?)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use nix::sys::resource::Resource;

    use super::*;

    /// Every field that children are handed, with another value than the default.
    fn program() -> Program {
        let mut program = Program::new([OsString::from_vec(b"a\xff\xc3\xa9".to_vec()), "".into()]);
        program.env = vec![("A".into(), "x=y\n".into()), ("B".into(), "".into())];
        program.directory = Some("/srv".into());
        program.stdin = Stdin::Socket;
        program.ready = Ready::After(Duration::from_millis(1500));
        program.output = Output::Discard;
        program.stop_signal = Signal::SIGQUIT;
        program.stop_command = Some(vec!["kill".into(), "".into(), "{pid}".into()]);
        program.max_memory = Some(5);
        program.max_output = Some(6);
        program.limits = vec![(Resource::RLIMIT_NOFILE, 7), (Resource::RLIMIT_CORE, u64::MAX)];
        program
    }

    #[test]
    fn a_program_is_the_same_when_it_arrives() {
        let readies = [
            Ready::Auto,
            Ready::Notify,
            Ready::Accept,
            Ready::Tcp("127.0.0.1:1".to_owned()),
            Ready::Http("http://x/{slot}".to_owned()),
        ];
        let others = readies.map(|ready| {
            let (output, stdin) = (Output::Inherit, Stdin::Connection);
            Program { ready, output, stdin, ..program() }
        });
        let programs = [program(), Program::new(["x"])].into_iter().chain(others);
        for sent in programs {
            for mut arrived in [Program::new(["old"]), program()] {
                for (name, text) in sent.texts() {
                    arrived.take(name, &text);
                }
                assert_eq!(format!("{arrived:?}"), format!("{sent:?}"));
            }
        }
    }

    /// A field that is added must be handed as well, or take an upgrade.
    #[test]
    fn every_field_is_handed_or_takes_an_upgrade() {
        let Program {
            command: _,
            env: _,
            directory: _,
            stdin: _,
            ready: _,
            output: _,
            stop_signal: _,
            stop_command: _,
            max_memory: _,
            max_output: _,
            limits: _,
            // Take an upgrade.
            listen: _,
            demand: _,
            // For messages at the start.
            origins: _,
        } = program();
    }
}
