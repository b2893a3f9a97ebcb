//! `datalake`: the lake that the agent feeds. See `datalake --help`.

use datalake::cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
