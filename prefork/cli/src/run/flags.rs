//! The flags of `run`, made of the lists of settings.

use std::ffi::OsString;

use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches, ValueHint, value_parser};

use super::{
    given::{Given, Origin, Refused, parts},
    own::{Kind, OWN, Own, of_daemons},
};

/// What flags have given.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    pub(super) own: Vec<Given>,
    /// Settings of every daemon, by their names.
    pub(super) of_daemon: Vec<(String, OsString)>,
    pub(super) refused: Vec<Refused>,
}

impl clap::Args for Flags {
    fn augment_args(command: Command) -> Command {
        let own = OWN.iter().map(of_own);
        let of_daemon = of_daemons().map(|setting| {
            let flag = flag(setting.name, setting.flag()).help(setting.help);
            let flag = flag.help_heading("Settings of the daemon");
            match setting.value {
                Some(value) => flag.value_name(value).value_hint(hint(value)),
                None => switch(flag),
            }
        });
        command.args(own).args(of_daemon)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        for own in &OWN {
            let Some(texts) = matches.get_many::<OsString>(own.name) else { continue };
            let texts: Vec<_> = texts.cloned().collect();
            let mut given = Given { own, texts, origin: Origin::Flag(own.flag) };
            if own.kind == Kind::Command {
                match parts(own.kind, &given.texts[0]) {
                    Ok(words) => given.texts = words,
                    Err(problem) => {
                        flags.refused.push(Refused::of(&given, problem));
                        continue;
                    }
                }
            }
            flags.own.push(given);
        }
        for setting in of_daemons() {
            if let Some(text) = matches.get_one::<OsString>(setting.name) {
                flags.of_daemon.push((setting.name.to_owned(), text.clone()));
            }
        }
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn of_own(own: &'static Own) -> Arg {
    let flag =
        flag(own.name, own.flag.to_owned()).help(own.help).help_heading("Settings of the program");
    match own.kind {
        Kind::Switch => switch(flag),
        Kind::One | Kind::Command => flag.value_name(own.value).value_hint(hint(own.value)),
        Kind::List | Kind::Pairs => {
            let flag = flag.value_name(own.value).value_hint(hint(own.value));
            flag.action(ArgAction::Append)
        }
    }
}

fn flag(name: &'static str, flag: String) -> Arg {
    Arg::new(name).long(flag).value_parser(value_parser!(OsString)).allow_negative_numbers(true)
}

/// One that needs no value to be true.
fn switch(flag: Arg) -> Arg {
    let flag = flag.value_name("true|false").num_args(0..=1).require_equals(true);
    flag.default_missing_value("true")
}

fn hint(value: &str) -> ValueHint {
    match value {
        "FILE" | "GLOB" | "PATH" => ValueHint::FilePath,
        "DIR" => ValueHint::DirPath,
        "USER" => ValueHint::Username,
        _ => ValueHint::Unknown,
    }
}
