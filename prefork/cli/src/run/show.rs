//! What would be run, for `--check`: a file of settings that says the same, with comments.

use std::{ffi::OsString, fmt::Write, path::Path};

use prefork_core::{in_memory_units, one_line};
use prefork_exec::{Identity, Program};
use toml::Value;

use super::{
    given::Given,
    membership::Membership,
    own::{COMMAND, Kind, OWN, Own, why_unfit},
    split::joined,
};

/// Where the second column begins, as in the list of the library.
const WIDTH: usize = 48;

/// Settings that a role does not have.
const SIZES: [&str; 4] = ["prefork", "max_children", "one_shot", "concurrency"];

/// All that is shown.
pub(super) struct Shown<'a> {
    pub(super) program: &'a Program,
    pub(super) identity: &'a Identity,
    /// What counts of what was given.
    pub(super) given: &'a [Given],
    /// Names of variables whose values are in files, and are not shown.
    pub(super) from_files: &'a [String],
    /// The settings of the daemon, as the library lists them.
    pub(super) of_daemon: &'a str,
    /// What was given of a pool among others.
    pub(super) membership: &'a Membership,
}

impl Shown<'_> {
    /// Makes the text.
    pub(super) fn text(&self) -> String {
        let mut text = self.heading();
        for own in [&COMMAND].into_iter().chain(&OWN) {
            if own.kind != Kind::Pairs {
                text.push_str(&self.row(own));
            }
        }
        for line in self.of_daemon.lines() {
            let name = line.trim_start_matches("# ").split(' ').next().unwrap_or_default();
            let is_of_others = self.membership.is_role && SIZES.contains(&name);
            if why_unfit(name).is_none() && !is_of_others {
                text.push_str(line);
                text.push('\n');
            }
        }
        let Membership { weight, child_memory, is_role, origins } = self.membership;
        if *is_role {
            text.push_str(&row("role = true", &origins.role));
        }
        if let Some(weight) = weight {
            text.push_str(&row(&format!("weight = {weight}"), &origins.weight));
        }
        if let Some(bytes) = child_memory {
            let setting = format!("child_memory = \"{}\"", in_memory_units(*bytes));
            text.push_str(&row(&setting, &origins.child_memory));
        }
        for own in OWN.iter().filter(|own| own.kind == Kind::Pairs) {
            text.push_str(&self.table(own));
        }
        text
    }

    /// What is executed in the first slot, and with what.
    fn heading(&self) -> String {
        let mut text = String::new();
        let (file, words) = self.program.preview(self.identity);
        if let Some((_, arguments)) = words.split_first() {
            let file = one_line(&file).to_string();
            let arguments: Vec<String> =
                arguments.iter().map(|word| one_line(word).to_string()).collect();
            let words = [&file].into_iter().chain(&arguments).map(String::as_str);
            let _ = writeln!(text, "# runs, in slot 0: {}", joined(words));
        }
        if let Some(directory) = &self.program.directory {
            let _ = writeln!(text, "# in {}", one_line(directory));
        }
        for (index, listen) in self.program.listen.iter().enumerate() {
            let name = listen.name.as_ref().map(|name| format!(" ({})", one_line(name)));
            let _ = writeln!(
                text,
                "# descriptor {}: {}{}",
                3 + index,
                one_line(&listen.address),
                name.unwrap_or_default()
            );
        }
        if !self.from_files.is_empty() {
            let names = self.from_files.join(", ");
            let _ = writeln!(text, "# variables from files, not shown: {}", one_line(&names));
        }
        text
    }

    fn row(&self, own: &Own) -> String {
        let given = self.given.iter().rev().find(|given| given.own == own);
        match given {
            Some(given) => row(&format!("{} = {}", own.name, value(given)), &given.origin),
            None => {
                let default = match own.name {
                    "ready" => "ready = \"auto\"",
                    "output" => "output = \"log\"",
                    "stop_signal" => "stop_signal = \"TERM\"",
                    "stdin_socket" => "stdin_socket = false",
                    "inetd" => "inetd = false",
                    name => &format!("# {name}"),
                };
                row(default, &"default")
            }
        }
    }

    /// Pairs, in a table of their own, each with the last that has given it.
    fn table(&self, own: &Own) -> String {
        let mut rows: Vec<(String, String, String)> = Vec::new();
        for given in self.given.iter().filter(|given| given.own == own) {
            for text in &given.texts {
                let text = text.to_string_lossy();
                let (name, value) = text.split_once('=').unwrap_or((&text, ""));
                rows.retain(|(known, ..)| known != name);
                rows.push((name.to_owned(), quoted(value), given.origin.to_string()));
            }
        }
        if rows.is_empty() {
            return String::new();
        }
        let rows = rows.iter().map(|(name, value, origin)| {
            let is_bare = !name.is_empty()
                && name.bytes().all(|it| it.is_ascii_alphanumeric() || [b'_', b'-'].contains(&it));
            let name = if is_bare { name.clone() } else { quoted(name) };
            row(&format!("{name} = {value}"), origin)
        });
        format!("\n[{}]\n{}", own.name, rows.collect::<String>())
    }
}

fn row(setting: &str, origin: &dyn std::fmt::Display) -> String {
    format!("{setting:WIDTH$} # {origin}\n")
}

fn value(given: &Given) -> String {
    let text = |text: &OsString| text.to_string_lossy().into_owned();
    match given.own.kind {
        Kind::One if given.own.name == "directory" => quoted(&absolute(&given.texts)),
        Kind::One => quoted(&given.texts.first().map(text).unwrap_or_default()),
        Kind::Switch => given.texts.first().map(text).unwrap_or_default(),
        Kind::List | Kind::Pairs | Kind::Command => {
            Value::Array(given.texts.iter().map(text).map(Value::String).collect()).to_string()
        }
    }
}

fn absolute(texts: &[OsString]) -> String {
    let path = texts.first().map(Path::new).unwrap_or(Path::new(""));
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned()
}

fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}
