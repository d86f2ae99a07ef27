//! The `tokenweir` program: parses the command line and runs one mode.

use std::process::ExitCode;

use clap::Parser as _;
use gateway::cli::{Arguments, Mode, check, demo, keys, schema, serve};

/// About a fifth less CPU per request than glibc's allocator, measured on a proxied request.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.mode() {
        Mode::Serve(options) => serve::run(&options),
        Mode::Check(options) => check::run(&options),
        Mode::Schema => schema::run(),
        Mode::Keys(command) => keys::run(&command),
        Mode::Demo(options) => demo::run(&options),
    };
    done.unwrap_or_else(gateway::cli::explain)
}
