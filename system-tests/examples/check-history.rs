//! Judges a saved history again: `cargo run -p system-tests --example check-history -- FILE`.

#![expect(clippy::print_stdout, reason = "a tool for people")]

use std::process::ExitCode;

use system_tests::linearizability::{History, search, witness};

fn main() -> ExitCode {
    let Some(file) = std::env::args().nth(1) else {
        println!("which file?");
        return ExitCode::FAILURE;
    };
    let text = std::fs::read_to_string(&file).map_err(|error| error.to_string());
    let history =
        text.and_then(|text| History::from_ndjson(&text).map_err(|error| error.to_string()));
    let history = match history {
        Ok(history) => history,
        Err(error) => {
            println!("{file}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let verdicts = [
        ("witness", witness::check(&history)),
        ("search", search::check(&history)),
    ];
    let mut code = ExitCode::SUCCESS;
    for (judge, verdict) in verdicts {
        match verdict {
            Ok(()) => println!("{judge}: {} operations, good", history.ops.len()),
            Err(violation) => {
                println!("{judge}: {violation}");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}
