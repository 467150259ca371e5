//! The servers that are compared: how each is found, what it can do, and why not.

use std::process::Command;

use rustix::process::Signal;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Forks and accepts, no more: the yardstick.
    Bare,
    Hello,
    Uwsgi,
    Apache,
    Unicorn,
    NetServer,
    Starman,
    Gunicorn,
}

impl Peer {
    pub(crate) const ALL: [Self; 8] = [
        Self::Bare,
        Self::Hello,
        Self::Uwsgi,
        Self::Apache,
        Self::Unicorn,
        Self::NetServer,
        Self::Starman,
        Self::Gunicorn,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare fork loop",
            Self::Hello => "hello (prefork)",
            Self::Uwsgi => "uWSGI, Python",
            Self::Apache => "Apache prefork MPM",
            Self::Unicorn => "unicorn",
            Self::NetServer => "Net::Server::PreFork",
            Self::Starman => "Starman",
            Self::Gunicorn => "gunicorn, sync",
        }
    }

    /// Returns the version, if it is installed.
    pub(crate) fn version(self) -> Option<String> {
        let (program, args): (_, &[&str]) = match self {
            Self::Bare => return Some(String::new()),
            Self::Hello => return Some(env!("CARGO_PKG_VERSION").to_owned()),
            Self::Uwsgi => ("uwsgi", &["--version"]),
            Self::Apache => ("apache2", &["-v"]),
            Self::Unicorn => ("unicorn", &["--version"]),
            Self::NetServer => {
                ("perl", &["-MNet::Server::PreFork", "-e", "print Net::Server->VERSION"])
            }
            Self::Starman => ("starman", &["--version"]),
            Self::Gunicorn => ("gunicorn", &["--version"]),
        };
        let output = Command::new(program).args(args).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = text
            .split(|c: char| c.is_whitespace() || "()/v".contains(c))
            .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
        output.status.success().then(|| version.to_owned())
    }

    /// Returns whether the pool can follow the load.
    pub(crate) const fn grows(self) -> bool {
        match self {
            Self::Hello | Self::Uwsgi | Self::Apache | Self::NetServer => true,
            Self::Bare | Self::Unicorn | Self::Starman | Self::Gunicorn => false,
        }
    }

    /// Returns whether it replaces workers and stops in order.
    pub(crate) const fn manages(self) -> bool {
        !matches!(self, Self::Bare)
    }

    /// Returns the signal that asks for a graceful reload.
    pub(crate) const fn reload(self) -> Signal {
        match self {
            // HUP would cut requests off.
            Self::Apache => Signal::USR1,
            Self::Bare
            | Self::Hello
            | Self::Uwsgi
            | Self::Unicorn
            | Self::NetServer
            | Self::Starman
            | Self::Gunicorn => Signal::HUP,
        }
    }
}
