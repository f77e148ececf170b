//! Figures of the replica: how long a start takes, how fast events are applied, what a checkpoint
//! costs. Run with `cargo run --release -p store-api --example replica_figures -- [products]`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a tool that prints and may stop"
)]
#![expect(clippy::disallowed_methods, reason = "it measures real time")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use shared::clock::Timestamp;
use shared::disk::{Disk, FsDisk};
use shared::domain::ids::ProductId;
use shared::domain::inventory::state::Entry;
use shared::domain::inventory::{
    Details, Event, EventKind, Movement, MovementKind, Product, Stock,
};
use shared::domain::money::Money;
use shared::domain::origin::Origin;
use shared::view::{Catalogue, Head, ListRequest};
use shared::wire::event::Position as EventPosition;
use shared::wire::product::Encoder;
use store_api::central::feed;
use store_api::replica::files::{Folder, Install};
use store_api::replica::keeper::Keeper;
use store_api::replica::live::{Live, Tip};
use store_api::replica::position::{Gen, Position};
use tokio::sync::Notify;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const GEN: Gen = Gen(0xA1);
const PAGE: u64 = 1000;
const PAGES: u64 = 300;

fn product(number: u64, version: u64) -> Product {
    let label = |text: String| Some(text.into_boxed_str());
    Product {
        id: ProductId::parse(&format!("SKU-{number:08}")).unwrap(),
        details: Arc::new(Details {
            name: format!("Product number {number} of a large catalogue").into(),
            description: None,
            category: Some(format!("Category {}", number % 50).into()),
            sku: label(format!("M-{number}")),
            barcode: label(format!("{:013}", number * 7)),
            price: Money::from_minor(i64::try_from(number % 100_000).unwrap()).unwrap(),
            low_stock_threshold: Some(5),
        }),
        stock: Stock {
            on_hand: 1_000_000 - i64::try_from(version).unwrap(),
            ..Stock::default()
        },
        version,
        last_updated: Timestamp::from_millis(1_768_473_000_123),
    }
}

/// One answer of the feed, as central sends it.
fn page(first: u64, products: u64) -> Bytes {
    let mut encoder = Encoder::new();
    let mut body = b"{\"events\":[".to_vec();
    for offset in first..first + PAGE {
        if offset > first {
            body.push(b',');
        }
        let event = Event {
            kind: EventKind::Updated,
            product: product(offset.wrapping_mul(2_654_435_761) % products, offset + 2),
            movement: Movement::of(MovementKind::Sale).with_delta(-1),
        };
        let position = EventPosition {
            offset,
            at: Timestamp::from_millis(1_768_473_000_456),
            batch: None,
        };
        encoder.event(&mut body, position, &event, &Origin::internal("figures"));
    }
    let next = first + PAGE;
    let rest =
        format!("],\"nextOffset\":{next},\"hasMore\":true,\"count\":{PAGE},\"gen\":\"{GEN}\"}}");
    body.extend_from_slice(rest.as_bytes());
    body.into()
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .next()
        .unwrap()
        .parse::<u64>()
        .unwrap()
        / 1024
}

/// Wall time, and the processor time of all threads, which other work on the machine changes less.
#[derive(Clone, Copy)]
struct Span {
    begun: Instant,
    cpu: u64,
}

impl Span {
    fn begin() -> Self {
        Self {
            begun: Instant::now(),
            cpu: cpu_millis(),
        }
    }

    fn text(self) -> String {
        let wall = self.begun.elapsed().as_millis();
        format!("{wall:>6} ms wall {:>6} ms cpu", cpu_millis() - self.cpu)
    }
}

fn cpu_millis() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    let mut fields = after_name
        .split_whitespace()
        .skip(11)
        .map(|text| text.parse::<u64>().unwrap());
    // Ticks of ten milliseconds.
    (fields.next().unwrap() + fields.next().unwrap()) * 10
}

fn write_folder(dir: &Path, products: u64) {
    let disk: Arc<dyn Disk> = Arc::new(FsDisk);
    let (mut folder, _) = Folder::open(disk, dir).unwrap();
    let position = Position {
        r#gen: GEN,
        offset: 0,
    };
    let begun = Span::begin();
    let mut writer = folder.begin_install(position, products).unwrap();
    let (mut row, mut encoder, mut digest) = (Vec::new(), Encoder::new(), 0_u64);
    for number in 0..products {
        let product = product(number, 1);
        digest = digest.wrapping_add(product.digest());
        row.clear();
        encoder.product(&mut row, &product);
        writer.row(&row).unwrap();
    }
    let snapshot = writer.finish(digest).unwrap();
    println!(
        "write snapshot    {}, {} MiB",
        begun.text(),
        snapshot.bytes >> 20
    );
    folder
        .install(&Install {
            snapshot,
            runs: Vec::new(),
        })
        .unwrap();
}

/// Opens the folder and makes the catalogue, as a start does.
fn start(dir: &Path) -> (Folder, Arc<Live>, Tip) {
    let disk: Arc<dyn Disk> = Arc::new(FsDisk);
    let begun = Span::begin();
    let (folder, copy) = Folder::open(Arc::clone(&disk), dir).unwrap();
    let copy = copy.unwrap();
    let (opened, events, digest) = (begun.text(), copy.events.len(), copy.digest);
    let offset = copy.snapshot.offset;
    let entries = copy.products.into_iter().map(|product| Entry {
        product,
        live: true,
        last_record: offset,
    });
    let catalogue = Catalogue::load(
        entries,
        Head {
            orders: 0,
            offset,
            digest,
            seq: offset,
        },
    );
    let loaded = begun.text();
    let live = Arc::new(Live::new(disk, folder.index()));
    let tip = live.swap(catalogue, copy.snapshot, &[], folder.index().generations());
    println!("start: files      {opened} ({events} events in the journal)");
    println!(
        "start: in all     {loaded}, {} MiB resident",
        resident_mib()
    );
    let begun = Span::begin();
    let page = live
        .shown()
        .unwrap()
        .catalogue
        .list(&ListRequest::default());
    println!(
        "first list        {} ({} products)",
        begun.text(),
        page.total
    );
    (folder, live, tip)
}

#[tokio::main]
async fn main() {
    let products: u64 = std::env::args()
        .nth(1)
        .map_or(1_000_000, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    write_folder(dir.path(), products);
    let (folder, live, tip) = start(dir.path());
    let wants = Arc::new(Notify::new());
    let keeper = Keeper::start(folder, Some(tip), Duration::from_secs(1), wants).unwrap();
    let pages: Vec<_> = (0..PAGES)
        .map(|number| page(number * PAGE, products))
        .collect();
    let bytes: usize = pages.iter().map(Bytes::len).sum();
    let begun = Span::begin();
    for body in &pages {
        let (page, events) = feed::parse(body, None, Duration::ZERO).unwrap();
        let raw = events
            .iter()
            .map(|incoming| incoming.bytes.clone())
            .collect();
        let tip = live.apply(page.r#gen, &events);
        keeper.append(page.r#gen, raw, tip).await;
    }
    let applied = begun.text();
    keeper.flush().await;
    let events = PAGE * PAGES;
    println!("apply {events}      {applied}, {} MiB", bytes >> 20);
    println!("durable after     {}", begun.text());
    let begun = Span::begin();
    let before = keeper.status().checkpoints();
    keeper.checkpoint().await;
    while keeper.status().checkpoints() == before && begun.begun.elapsed().as_secs() < 60 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("checkpoint        {}", begun.text());
    println!("resident at the end {:>7} MiB", resident_mib());
    keeper.stop().await;
    drop(live);
    drop(start(dir.path()));
}
