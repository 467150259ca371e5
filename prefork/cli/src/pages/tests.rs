use clap::ValueEnum;

use super::*;

/// All commands, and the whole.
fn names() -> Vec<Option<String>> {
    let whole = Cli::command();
    let names = whole.get_subcommands().map(|command| Some(command.get_name().to_owned()));
    names.chain([None]).collect()
}

#[test]
fn every_shell_learns_every_command() {
    for shell in Shell::value_variants() {
        let text = completions(*shell);
        assert!(text.contains("completions") && text.contains("reload"), "{shell}: {text}");
    }
}

#[test]
fn every_command_has_a_page_with_all_its_sections() {
    for name in names() {
        let page = man(name.as_deref()).expect("known");
        for section in [
            ".SH NAME",
            ".SH SYNOPSIS",
            ".SH DESCRIPTION",
            ".SH OPTIONS",
            ".SH \"EXIT STATUS\"",
            ".SH \"ENVIRONMENT\"",
            ".SH \"FILES\"",
            ".SH \"EXAMPLES\"\n.TP\n\\fB",
        ] {
            assert!(page.contains(section), "{name:?}: {section} in {page}");
        }
        assert!(page.contains("\\fB5\\fR\ntimed out"), "{name:?}: {page}");
        assert!(!page.contains("EXTRA"), "{name:?}: {page}");
    }
    assert!(man(Some("stop")).is_ok_and(|page| page.contains("SIGKILL")));
    assert!(matches!(man(Some("nonsense")), Err(Failure::NoSuchCommand { .. })));
}

#[test]
fn every_argument_is_described() {
    let mut whole = Cli::command();
    whole.build();
    for command in
        whole.get_subcommands().filter(|command| command.get_name() != "help").chain([&whole])
    {
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{}: {argument}", command.get_name());
        }
    }
}

#[test]
fn the_examples_are_of_commands_and_flags_that_there_are() {
    for name in names() {
        for (example, _) in manual::examples(name.as_deref()) {
            let own = example.split(['|', ';', '&', '>']).map(str::trim);
            for line in own.filter(|line| line.starts_with("prefork ")) {
                let words = line.split_ascii_whitespace().take_while(|word| *word != "<");
                let parsed = <Cli as clap::Parser>::try_parse_from(words);
                assert!(parsed.is_ok(), "{line}: {}", parsed.expect_err("refused"));
            }
        }
    }
}
