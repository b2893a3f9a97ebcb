//! The manual page and the completions of the command line, made from what can be typed.
//! Promises that both name every command and every option. Leaves where they are installed to the packages.

use super::arguments::Arguments;
use crate::exit::Exit;
use clap::CommandFactory;
use std::io::Write;

/// What the program is called.
const NAME: &str = "datalake-agent";

/// Prints the completions for a shell.
pub(super) fn completions(shell: clap_complete::Shell, out: &mut dyn Write) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), NAME, &mut text);
    out.write_all(&text).ok();
    Exit::Success
}

/// Prints the manual page: one page with all commands.
pub(super) fn man(out: &mut dyn Write) -> Exit {
    let mut text = Vec::new();
    let mut command = Arguments::command();
    command.build();
    // Writing to memory does not fail.
    clap_mangen::Man::new(command.clone()).render(&mut text).ok();
    text.extend_from_slice(b".SH \"COMMANDS IN DETAIL\"\n");
    for inner in command.get_subcommands_mut().filter(|inner| inner.get_name() != "help") {
        let help = inner.render_long_help().to_string();
        text.extend_from_slice(format!(".SS {NAME} {}\n.nf\n{}.fi\n", inner.get_name(), literal(&help)).as_bytes());
    }
    out.write_all(&text).ok();
    Exit::Success
}

/// The text for roff, which takes a dot at the beginning of a line for a command.
fn literal(text: &str) -> String {
    let line = |line: &str| {
        let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
        format!("{guard}{}\n", line.replace('\\', "\\e").replace('-', "\\-"))
    };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_typed_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_manual_page_and_completions_name_every_command_and_option() {
        let mut page = Vec::new();
        assert_eq!(man(&mut page), Exit::Success);
        let page = String::from_utf8(page).unwrap().replace("\\-", "-");
        for words in ["quarantine", "--deny-warnings", "--log-level", "DATALAKE_CONFIG", "Exit codes", "  78  the"] {
            assert!(page.contains(words), "{words} is missing in {page}");
        }
        for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish] {
            let mut script = Vec::new();
            assert_eq!(completions(shell, &mut script), Exit::Success);
            let script = String::from_utf8(script).unwrap();
            assert!(script.contains("deny-warnings") && script.contains("replay"), "{shell}");
        }
    }
}
