//! The load generator's command line.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bench::scenario::throughput::Settings;
use bench::scenario::world::Site;
use bench::scenario::{catalogue, expiry, feed, propagation, throughput};
use clap::{Parser, Subcommand};

/// Measures the services against what this machine can do at all.
///
/// Starts the servers itself, on free ports and with fresh data, and stops them afterwards. Build
/// first: cargo build --release --workspace.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The program central-api; found beside this one if not given.
    #[arg(long, global = true)]
    central: Option<PathBuf>,
    /// The program store-api; found beside this one if not given.
    #[arg(long, global = true)]
    store: Option<PathBuf>,
    /// Folder for the servers' data; its disk is the one that durable writes are measured on.
    #[arg(long, global = true, default_value = "target/bench")]
    data_root: PathBuf,
    /// Numbers of connections, measured one after the other.
    #[arg(long, global = true, value_delimiter = ',', default_value = "64,256")]
    clients: Vec<usize>,
    /// Threads of the client.
    #[arg(long, global = true, default_value_t = 1)]
    threads: usize,
    /// Turns of each server.
    #[arg(long, global = true, default_value_t = 3)]
    rounds: usize,
    /// Length of a turn, or of a run without turns, in seconds.
    #[arg(long, global = true, default_value_t = 4.0)]
    seconds: f64,
    /// Products in the catalogue.
    #[arg(long, global = true, default_value_t = 10_000)]
    products: usize,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A server that does nothing, for updates and for reads.
    Ceiling,
    /// Single updates of random products.
    Updates,
    /// Updates in batches.
    Batches {
        /// Lines in a request.
        #[arg(long, default_value_t = 100)]
        lines: usize,
    },
    /// Orders of one unit: held, paid, confirmed.
    Orders,
    /// Holds that run out within a minute or less, beside steady updates.
    Expiry {
        /// Holds.
        #[arg(long, default_value_t = 100_000)]
        holds: usize,
        /// Updates a second.
        #[arg(long, default_value_t = 5_000.0)]
        rate: f64,
        /// Seconds within which the holds run out.
        #[arg(long, default_value_t = 60.0)]
        within: f64,
    },
    /// One hot product, with and without a version.
    Hot,
    /// Reads of single products at a store.
    Reads,
    /// Pages, filters and searches at central.
    List,
    /// Single updates as the log grows.
    Growth {
        /// Events at the end.
        #[arg(long, default_value_t = 10_000_000)]
        events: u64,
    },
    /// The life of a large catalogue: import, start, first sync, memory.
    Catalogue,
    /// Parked long polls: memory, and the time until one event has reached all.
    Feed {
        /// Polls.
        #[arg(long, default_value_t = 10_000)]
        polls: usize,
        /// Events, one after the other.
        #[arg(long, default_value_t = 5)]
        events: usize,
    },
    /// From a write's answer until it is visible to followers and at a store.
    Propagation {
        /// Followers.
        #[arg(long, default_value_t = 100)]
        followers: usize,
        /// Writes a second.
        #[arg(long, default_value_t = 200.0)]
        rate: f64,
        /// Leave out the real store.
        #[arg(long)]
        no_store: bool,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    std::fs::create_dir_all(&arguments.data_root)?;
    let site = Site {
        central: arguments.central,
        store: arguments.store,
        data_root: arguments.data_root,
    };
    let span = Duration::from_secs_f64(arguments.seconds);
    let settings = Settings {
        site: site.clone(),
        clients: arguments.clients,
        threads: arguments.threads,
        rounds: arguments.rounds,
        span,
        products: arguments.products,
    };
    match arguments.what {
        What::Ceiling => throughput::ceiling(&settings).await,
        What::Updates => throughput::updates(&settings).await,
        What::Batches { lines } => throughput::batches(&settings, lines).await,
        What::Orders => throughput::orders(&settings).await,
        What::Expiry {
            holds,
            rate,
            within,
        } => {
            let within = Duration::from_secs_f64(within);
            let settings = expiry::Settings {
                holds,
                rate,
                within,
            };
            expiry::expiry(&site, settings).await
        }
        What::Hot => throughput::hot(&settings).await,
        What::Reads => throughput::reads(&settings).await,
        What::List => throughput::list(&settings).await,
        What::Growth { events } => throughput::growth(&settings, events).await,
        What::Catalogue => catalogue::catalogue(&site, settings.products).await,
        What::Feed { polls, events } => feed::feed(&site, polls, events).await,
        What::Propagation {
            followers,
            rate,
            no_store,
        } => {
            let settings = propagation::Settings {
                followers,
                rate,
                span,
                store: !no_store,
            };
            propagation::propagation(&site, settings).await
        }
    }
}
