//! The settings of a program that is run: all that is said of one is said here, but for what is made of its value.
//!
//! From this list come the flags, the keys of the file and the variables.

use prefork::{Setting, Settings};

/// A setting of the program, beside those of every daemon.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Own {
    /// Its key in a file.
    pub(super) name: &'static str,
    /// Its flag.
    pub(super) flag: &'static str,
    /// What stands for its value in the help.
    pub(super) value: &'static str,
    /// What it is, with its default.
    pub(super) help: &'static str,
    pub(super) kind: Kind,
}

/// What a setting of the program is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One text.
    One,
    /// True or false.
    Switch,
    /// Texts; what is given later goes before all that was given earlier.
    List,
    /// Names with values; what is given later is added, and goes before what was given earlier under that name.
    Pairs,
    /// A program and its arguments.
    Command,
}

/// What of the whole is a flag, but no setting.
pub(super) const COMMAND: Own =
    Own { name: "command", flag: "", value: "PROGRAM", help: "", kind: Kind::Command };

/// The settings that have flags, in the order of the help.
pub(super) const OWN: [Own; 17] = [
    Own {
        name: "listen",
        flag: "listen",
        value: "ADDR",
        help: "Where the program listens, as 0.0.0.0:8000, :8000, [::1]:8000 or /run/app.sock; with a name for it as \
               http=:8000. Repeatable. It has the first as descriptor 3 [default: nowhere]",
        kind: Kind::List,
    },
    Own {
        name: "listen_mode",
        flag: "listen-mode",
        value: "MODE",
        help: "Permissions of the files of UNIX sockets, in octal, as 0660",
        kind: Kind::One,
    },
    Own {
        name: "stdin_socket",
        flag: "stdin-socket",
        value: "",
        help: "Give the program its first socket as standard input too, as FastCGI has it",
        kind: Kind::Switch,
    },
    Own {
        name: "inetd",
        flag: "inetd",
        value: "",
        help: "Start the program for each client, with the connection as standard input and output; with --one-shot each \
               client has a child of its own",
        kind: Kind::Switch,
    },
    Own {
        name: "max_output",
        flag: "max-output",
        value: "BYTES",
        help: "With --inetd over TCP: what the program may write to its client; it is ended when it has written more",
        kind: Kind::One,
    },
    Own {
        name: "ready",
        flag: "ready",
        value: "HOW",
        help: "How the program shows that it serves: auto, notify (READY=1), accept (it waits at its socket), tcp:ADDR, \
               http://ADDR/PATH, or after:TIME [default: auto, which is notify or accept]",
        kind: Kind::One,
    },
    Own {
        name: "output",
        flag: "output",
        value: "WHERE",
        help: "Where goes what the program prints: log, line by line with the child before it; inherit, as it is; or \
               discard [default: log]",
        kind: Kind::One,
    },
    Own {
        name: "env",
        flag: "env",
        value: "NAME=VALUE",
        help: "Variable for the program, beside those that prefork has. Repeatable",
        kind: Kind::Pairs,
    },
    Own {
        name: "env_file",
        flag: "env-file",
        value: "FILE",
        help: "File of such variables, a line each. Repeatable; --env goes before it",
        kind: Kind::List,
    },
    Own {
        name: "directory",
        flag: "directory",
        value: "DIR",
        help: "Working directory of the program [default: the one in which prefork was started]",
        kind: Kind::One,
    },
    Own {
        name: "stop_signal",
        flag: "stop-signal",
        value: "SIGNAL",
        help: "Signal that has the program finish and end [default: TERM]",
        kind: Kind::One,
    },
    Own {
        name: "stop_command",
        flag: "stop-command",
        value: "COMMAND",
        help: "What is run to have the program finish and end, in the place of that signal, as 'kill -QUIT {pid}'",
        kind: Kind::Command,
    },
    Own {
        name: "demand_command",
        flag: "demand-command",
        value: "COMMAND",
        help: "What prints how many jobs wait elsewhere than at a socket, as 'redis-cli llen jobs'; the pool follows that",
        kind: Kind::Command,
    },
    Own {
        name: "demand_file",
        flag: "demand-file",
        value: "FILE",
        help: "File that begins with how many jobs wait",
        kind: Kind::One,
    },
    Own {
        name: "demand_socket",
        flag: "demand-socket",
        value: "PATH",
        help: "UNIX socket at which whoever connects reads how many jobs wait",
        kind: Kind::One,
    },
    Own {
        name: "limits",
        flag: "limit",
        value: "NAME=N",
        help: "Limit for the program, as nofile=1024, core=unlimited, as=2G; by the names of limits.conf(5). Repeatable",
        kind: Kind::Pairs,
    },
    Own {
        name: "watch",
        flag: "watch",
        value: "GLOB",
        help: "Files that, once they have changed, have the children replaced, as 'app/**/*.py'; a directory stands for all \
               in it. Repeatable",
        kind: Kind::List,
    },
];

/// The keys that only the file of one of several pools has.
pub(super) const OF_POOLS: [Own; 3] = [
    Own { name: "role", flag: "", value: "", help: "", kind: Kind::Switch },
    Own { name: "weight", flag: "", value: "N", help: "", kind: Kind::One },
    Own { name: "child_memory", flag: "", value: "BYTES", help: "", kind: Kind::One },
];

impl Own {
    /// Finds one by its key.
    pub(super) fn of(name: &str) -> Option<&'static Self> {
        [&COMMAND].into_iter().chain(&OWN).chain(&OF_POOLS).find(|own| own.name == name)
    }

    /// Whether only the file of one of several pools has it.
    pub(super) fn is_of_pools(&self) -> bool {
        OF_POOLS.contains(self)
    }

    /// Its variable; none for variables, as the program has those of prefork anyway.
    pub(super) fn variable(&self) -> Option<String> {
        (self.name != "env").then(|| format!("{VARIABLES}_{}", self.name.to_uppercase()))
    }
}

/// What variables begin with.
pub(super) const VARIABLES: &str = "PREFORK_RUN";

/// The settings of every daemon that have nothing to do with a program, each with why.
pub(super) const UNFIT: [(&str, &str); 2] = [
    ("on_client_disconnect", "a program has to notice itself that its clients have gone"),
    ("netwatch_interval", "a program has to notice itself that its clients have gone"),
];

/// The settings of every daemon that a program can be run with.
pub(super) fn of_daemons() -> impl Iterator<Item = &'static Setting> {
    Settings::list().iter().filter(|setting| why_unfit(setting.name).is_none())
}

/// Returns why a setting of daemons is none here.
pub(super) fn why_unfit(name: &str) -> Option<&'static str> {
    UNFIT.iter().find(|(unfit, _)| *unfit == name).map(|(_, why)| *why)
}

/// Returns the key that was probably meant.
pub(super) fn nearest(key: &str) -> Option<&'static str> {
    const ALIKE: f64 = 0.8;
    let key = key.to_lowercase().replace('-', "_");
    let own = [&COMMAND].into_iter().chain(&OWN).chain(&OF_POOLS).map(|own| own.name);
    let likeness = |name: &&str| strsim::jaro_winkler(&key, name);
    let all = own.chain(of_daemons().map(|setting| setting.name));
    let best = all.max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(&best) >= ALIKE).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_setting_has_two_meanings() {
        for own in OWN.iter().chain(&OF_POOLS) {
            assert!(of_daemons().all(|it| it.name != own.name), "{}", own.name);
            assert!(of_daemons().all(|it| it.flag() != own.flag), "{}", own.name);
        }
        for (unfit, _) in UNFIT {
            assert!(Settings::list().iter().any(|it| it.name == unfit), "{unfit}");
        }
    }

    #[test]
    fn the_right_key_is_found_among_all() {
        for (given, expected) in [
            ("listne", Some("listen")),
            ("max-childern", Some("max_children")),
            ("Env-File", Some("env_file")),
            ("cmd", None),
            ("commando", Some("command")),
            ("netwatch_intervall", None),
            ("zzz", None),
        ] {
            assert_eq!(nearest(given), expected, "{given}");
        }
    }
}
