//! The `bifocal` program: the library's command line, nothing more.

use std::process::ExitCode;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    bifocal::cli::run(std::env::args_os())
}
