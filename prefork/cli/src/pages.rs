//! What the command prints about itself for shells and man(1).

use std::{fs, path::Path};

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use prefork_core::one_line;

use crate::{cli::Cli, exit::Exit, failure::Failure, manual, output::Voice};

/// Returns the completions for a shell.
pub(crate) fn completions(shell: Shell) -> String {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "prefork", &mut bytes);
    let script = String::from_utf8_lossy(&bytes).into_owned();
    match shell {
        Shell::Bash => files_first(&script),
        _ => script,
    }
}

/// The daemons that are found, by their names. Bash expands each word of such a list, and a name may be whatever a process
/// has written: so only those are taken in which there is nothing to expand.
const DAEMONS: &str = r#"$(prefork list 2>/dev/null | awk 'NR > 1 && $1 ~ /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/ { print $1 }')"#;

/// Offers files and daemons to commands that take one: the script for bash offers them options until a word begins with a
/// dash, and files never.
fn files_first(script: &str) -> String {
    let mut text = String::new();
    let mut takes_files = false;
    for line in script.lines() {
        if let Some(name) =
            line.trim().strip_prefix("prefork__subcmd__").and_then(|it| it.strip_suffix(')'))
        {
            takes_files = of_whole(name).is_some_and(|command| takes_file(&command));
        }
        let line = match takes_files {
            true => line.replace(" || ${COMP_CWORD} -eq 2 ]]", " ]]"),
            false => line.to_owned(),
        };
        // Options stay where a dash was typed, 16 columns from the margin; this is what is offered in the end.
        let is_rest = line == "            COMPREPLY=( $(compgen -W \"${opts}\" -- \"${cur}\") )";
        if takes_files && is_rest {
            text.push_str("            compopt -o filenames 2>/dev/null\n");
            text.push_str(&format!(
                "            COMPREPLY=( $(compgen -f -- \"${{cur}}\") $(compgen -W \"{DAEMONS}\" -- \"${{cur}}\") )\n"
            ));
        } else {
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}

/// Whether a file is the first that a command takes without a flag.
fn takes_file(command: &Command) -> bool {
    command
        .get_positionals()
        .next()
        .is_some_and(|it| it.get_value_hint() == clap::ValueHint::FilePath)
}

fn of_whole(name: &str) -> Option<Command> {
    let mut whole = Cli::command();
    whole.build();
    whole.find_subcommand(name).cloned()
}

/// Writes the pages of the whole and of each command into a directory, which is made if it is not there.
pub(crate) fn install(directory: &Path, voice: Voice) -> Result<Exit, Failure> {
    fs::create_dir_all(directory)
        .map_err(|source| Failure::NotWritten { path: directory.to_owned(), source })?;
    let whole = Cli::command();
    let names = whole.get_subcommands().map(|command| Some(command.get_name()));
    let mut count = 0;
    for name in names.chain([None]) {
        let file = name.map_or_else(|| "prefork.1".to_owned(), |name| format!("prefork-{name}.1"));
        let (path, page) = (directory.join(file), man(name)?);
        fs::write(&path, page).map_err(|source| Failure::NotWritten { path, source })?;
        count += 1;
    }
    voice.report(&format!("{count} pages written to {}\n", one_line(directory)))
}

/// Returns the manual page of the whole, or of one command.
pub(crate) fn man(name: Option<&str>) -> Result<String, Failure> {
    let command = match name {
        None => {
            let mut whole = Cli::command();
            whole.build();
            whole
        }
        Some(name) => {
            of_whole(name).ok_or_else(|| Failure::NoSuchCommand { name: name.to_owned() })?
        }
    };
    let has_commands = command.has_subcommands();
    let title = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let man = Man::new(command);
    let mut bytes = Vec::new();
    let rendered = man
        .render_name_section(&mut bytes)
        .and_then(|()| man.render_synopsis_section(&mut bytes))
        .and_then(|()| man.render_description_section(&mut bytes))
        .and_then(|()| man.render_options_section(&mut bytes))
        .and_then(|()| match has_commands {
            true => man.render_subcommands_section(&mut bytes),
            false => Ok(()),
        });
    rendered.map_err(|source| Failure::Output { source })?;
    // No date: it is made when it is asked for.
    let mut page = format!(
        ".TH {title} 1 \"\" \"prefork {}\" \"Preforking daemons\"\n.ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n{}",
        env!("CARGO_PKG_VERSION"),
        String::from_utf8_lossy(&bytes)
    );
    let codes = Exit::HELP.lines().skip(1).filter_map(|line| line.trim().split_once("  "));
    section(&mut page, "EXIT STATUS", codes);
    section(&mut page, "ENVIRONMENT", manual::ENVIRONMENT);
    section(&mut page, "FILES", manual::FILES);
    section(&mut page, "EXAMPLES", manual::examples(name).iter().copied());
    Ok(page)
}

fn section<'a>(
    page: &mut String,
    title: &str,
    entries: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    page.push_str(&format!(".SH \"{title}\"\n"));
    for (name, text) in entries {
        page.push_str(&format!(".TP\n\\fB{}\\fR\n{}\n", escaped(name), escaped(text)));
    }
}

/// Text of which roff makes nothing else.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests;
