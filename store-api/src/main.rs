//! Parses the settings, starts the log, runs.

use std::process::ExitCode;

use store_api::cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
