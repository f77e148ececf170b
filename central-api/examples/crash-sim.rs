//! The crash simulator by hand: one seed with its story, many seeds, or for as long as you like.
//!
//! ```text
//! cargo run --release -p central-api --example crash-sim -- --seed 17
//! cargo run --release -p central-api --example crash-sim -- --runs 1000000
//! cargo run --release -p central-api --example crash-sim -- --soak 60
//! cargo run --release -p central-api --example crash-sim -- --flips 100000
//! ```

#![expect(clippy::print_stdout, reason = "a tool for people")]

#[path = "../tests/crash_simulator/simulation/mod.rs"]
mod simulation;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use simulation::damage::{Tally, flip_bits};
use simulation::{Plant, Stats, run};
use tokio::time::Instant;

/// Cuts central's power at random and checks that no promise is broken.
#[derive(Debug, Parser)]
struct Args {
    /// First seed; alone, the one seed whose story is told.
    #[arg(long)]
    seed: Option<u64>,
    /// Seeds to run from the first one on.
    #[arg(long)]
    runs: Option<u64>,
    /// Minutes to go on for.
    #[arg(long)]
    soak: Option<u64>,
    /// Bits to flip in logs at rest, instead of cutting the power.
    #[arg(long)]
    flips: Option<usize>,
    /// A mistake to make on purpose, such as `no-file-sync`.
    #[arg(long, default_value = "nothing")]
    plant: Plant,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let first = args.seed.unwrap_or(0);
    if let Some(flips) = args.flips {
        return report(flip_bits(&mut SmallRng::seed_from_u64(first), flips));
    }
    let only_one = args.seed.is_some() && args.runs.is_none() && args.soak.is_none();
    let runs = match (args.runs, args.soak) {
        (Some(runs), _) => runs,
        (None, Some(_)) => u64::MAX,
        (None, None) if only_one => 1,
        (None, None) => 10_000,
    };
    let started = Instant::now();
    let limit = args.soak.map(|minutes| Duration::from_secs(minutes * 60));
    let mut total = Stats::default();
    for seed in first..first.saturating_add(runs) {
        match run(seed, args.plant) {
            Ok(stats) => total += stats,
            Err(broken) => {
                println!("{broken}");
                return ExitCode::FAILURE;
            }
        }
        if limit.is_some_and(|limit| started.elapsed() > limit) {
            break;
        }
    }
    println!(
        "{total:#?}\nno promise was broken in {:?}",
        started.elapsed()
    );
    ExitCode::SUCCESS
}

fn report(flipped: Result<Tally, String>) -> ExitCode {
    match flipped {
        Ok(tally) => {
            println!("{tally:#?}\nno flipped bit went unnoticed");
            ExitCode::SUCCESS
        }
        Err(missed) => {
            println!("{missed}");
            ExitCode::FAILURE
        }
    }
}
