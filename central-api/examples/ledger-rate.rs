//! How many single movements a second the ledger takes by itself: no HTTP, real files, every answer
//! after its sync. `cargo run --release -p central-api --example ledger-rate -- 64 256`
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement, not a service"
)]

use std::sync::Arc;
use std::time::Duration;

use central_api::journal::LogGen;
use central_api::journal::embedded::EmbeddedOptions;
use central_api::ledger::open::recover;
use central_api::ledger::{KeyRetention, Ledger, LedgerOptions, Request};
use shared::clock::{Clock, ManualClock, Timestamp};
use shared::disk::{Disk, FsDisk};
use shared::domain::ids::{IdempotencyKey, ProductId};
use shared::domain::inventory::fingerprint;
use shared::domain::inventory::{Atomicity, Command, Details, Move, NewProduct, Reason};
use shared::domain::origin::Origin;

const PRODUCTS: u64 = 100_000;
const SECONDS: u64 = 3;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let disk: Arc<dyn Disk> = Arc::new(FsDisk);
    let options = EmbeddedOptions {
        dir: dir.path().to_owned(),
        segment_bytes: 64 << 20,
    };
    let keys = KeyRetention::default();
    let recovered = recover(&disk, &options, keys).unwrap();
    let clock: Arc<dyn Clock> =
        Arc::new(ManualClock::at(Timestamp::from_millis(1_768_473_000_123)));
    let options = LedgerOptions {
        homes: Vec::new(),
        clock,
        log_gen: LogGen(1),
        keys,
        fatal: Box::new(|_| {}),
    };
    let (ledger, threads) =
        Ledger::start(Box::new(recovered.journal), recovered.fold, options).unwrap();
    create(&ledger).await;
    for clients in std::env::args()
        .skip(1)
        .map(|text| text.parse::<u64>().unwrap())
    {
        let before = ledger.published().head();
        let end = tokio::time::Instant::now() + Duration::from_secs(SECONDS);
        let tasks: Vec<_> = (0..clients)
            .map(|client| {
                let ledger = ledger.clone();
                tokio::spawn(async move {
                    let mut number = client;
                    while tokio::time::Instant::now() < end {
                        number += clients;
                        let request = sale(clients, number);
                        ledger.decide(request).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let done = ledger.published().head().offset - before.offset;
        println!("{clients} clients: {} movements/s", done / SECONDS);
    }
    threads.stop();
}

fn sale(clients: u64, number: u64) -> Request {
    let product = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % PRODUCTS;
    let line = Move {
        product: ProductId::parse(&format!("P-{product:06}")).unwrap(),
        delta: -1,
        reason: Reason::Sale,
        expected_version: None,
        reference: None,
        note: None,
    };
    let key = IdempotencyKey::parse(&format!("{clients}-{number}")).unwrap();
    request(
        Some(key),
        Command::Move {
            lines: vec![line],
            atomicity: Atomicity::PerItem,
        },
    )
}

fn request(key: Option<IdempotencyKey>, command: Command) -> Request {
    let origin = Origin {
        key,
        ..Origin::internal("bench")
    };
    let fingerprint = fingerprint(&command, None);
    Request {
        origin,
        command: command.into(),
        fingerprint,
    }
}

async fn create(ledger: &Ledger) {
    for chunk in 0..PRODUCTS / 1_000 {
        let items = (0..1_000).map(|index| {
            let id = format!("P-{:06}", chunk * 1_000 + index);
            NewProduct {
                details: Details {
                    name: id.as_str().into(),
                    ..Details::default()
                },
                product: ProductId::parse(&id).unwrap(),
                on_hand: 1_000_000,
            }
        });
        let command = Command::Create {
            items: items.collect(),
            atomicity: Atomicity::All,
        };
        ledger.decide(request(None, command)).await.unwrap();
    }
}
