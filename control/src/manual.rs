//! Manual pages and shell completions, made from the definition of the command line.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate};
use clap_mangen::Man;

use crate::cli::Cli;
use crate::cli::shell::CompletedShell;
use crate::failure::{CommandError, Failure};
use crate::output::print_bytes;

/// Manual pages could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{}: manual pages cannot be written: {cause}", directory.display())]
pub(crate) struct ManualError {
    directory: PathBuf,
    cause: io::Error,
}

impl CommandError for ManualError {}

/// Writes `pollux.1` and one page for each subcommand into `directory`, which is made if it is not there.
///
/// # Errors
/// The directory cannot be written to.
pub(crate) fn write_pages(directory: &Path) -> Result<(), ManualError> {
    let failed = |cause| ManualError { directory: directory.into(), cause };
    fs::create_dir_all(directory).map_err(failed)?;
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    write_page(&command, directory).map_err(failed)
}

/// Writes the page of `command`, and those of its subcommands.
fn write_page(command: &Command, directory: &Path) -> io::Result<()> {
    for subcommand in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        write_page(subcommand, directory)?;
    }
    let page = Man::new(command.clone()).source(SOURCE).manual(MANUAL);
    page.generate_to(directory).map(|_| ())
}

/// Prints a completion script.
///
/// # Errors
/// Standard output is closed.
pub(crate) fn print_completions(shell: CompletedShell) -> Result<(), Failure> {
    let shell = match shell {
        CompletedShell::Bash => Shell::Bash,
        CompletedShell::Zsh => Shell::Zsh,
        CompletedShell::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), NAME, &mut script);
    print_bytes(&script)
}

const NAME: &str = "pollux";
/// At the bottom of each page.
const SOURCE: &str = concat!("pollux ", env!("CARGO_PKG_VERSION"));
/// At the top of each page.
const MANUAL: &str = "Pollux Manual";
