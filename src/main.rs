//! The `bifocal` program: the library's command line, nothing more.

use std::process::ExitCode;

fn main() -> ExitCode {
    bifocal::cli::run(std::env::args_os())
}
