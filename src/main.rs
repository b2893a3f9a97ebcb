//! The binary: does what the command line says and ends with one of the documented exit codes.

mod arithmetic;

fn main() -> std::process::ExitCode {
    datalake_agent::cli::main().into()
}
