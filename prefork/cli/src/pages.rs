//! What the command prints about itself for shells and man(1).

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::{cli::Cli, failure::Failure};

/// Returns the completions for a shell.
pub(crate) fn completions(shell: Shell) -> String {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "prefork", &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the manual page of the whole, or of one command.
pub(crate) fn man(name: Option<&str>) -> Result<String, Failure> {
    let mut whole = Cli::command();
    whole.build();
    let command = match name {
        None => whole,
        Some(name) => {
            let found = whole.find_subcommand(name).cloned();
            let command = found.ok_or_else(|| Failure::NoSuchCommand { name: name.to_owned() })?;
            command.after_help(crate::exit::Exit::HELP)
        }
    };
    let mut bytes = Vec::new();
    Man::new(command).render(&mut bytes).map_err(|source| Failure::Output { source })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_learns_every_command() {
        for shell in Shell::value_variants() {
            let text = completions(*shell);
            assert!(text.contains("completions") && text.contains("reload"), "{shell}: {text}");
        }
    }

    #[test]
    fn every_command_has_a_page_with_the_exit_codes() {
        for name in [None, Some("status"), Some("stop"), Some("reload")] {
            let page = man(name).expect("known");
            assert!(page.contains(".TH prefork") && page.contains("timed out"), "{name:?}: {page}");
        }
        assert!(man(Some("stop")).is_ok_and(|page| page.contains("SIGKILL")));
        assert!(matches!(man(Some("nonsense")), Err(Failure::NoSuchCommand { .. })));
    }
}
