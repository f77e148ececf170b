//! What one sale costs inside, piece by piece: decide, fold, encode, parse, publish, append.
//!
//! `cargo bench -p bench` compares with the last run on the same machine. For figures that a user
//! would notice, see the program `load`.

use std::hint::black_box;
use std::io;
use std::sync::Arc;

use central_api::journal::embedded::{Embedded, EmbeddedOptions};
use central_api::journal::frame::Counts;
use central_api::journal::record::{Previous, RecordHead, Spans, encode_decision, frame_buffer};
use central_api::journal::{First, Frame, Journal, JournalError, Offsets};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use shared::clock::Timestamp;
use shared::disk::FsDisk;
use shared::domain::ids::{IdempotencyKey, Owner, ProductId, ReservationId, StoreId};
use shared::domain::inventory::{
    Atomicity, Command, Decision, Details, Entry, Event, Inventory, Line, Move, Product, Reason,
    Reservation, ReservationState, Stock, decide,
};
use shared::domain::money::Money;
use shared::domain::origin::Origin;
use shared::view::{Catalogue, Change, Head};
use shared::wire::event::{FeedEvent, Position};
use shared::wire::product::Encoder;
use tempfile::TempDir;

/// Products in the catalogue: enough that they do not all sit in the processor's cache.
const PRODUCTS: usize = 100_000;
/// Holds on one product.
const HOLDS: i64 = 100_000;
/// Lines of a batch.
const LINES: usize = 100;
const NOW: Timestamp = Timestamp::from_millis(1_768_473_000_123);

fn product(index: usize) -> Product {
    Product {
        id: ProductId::parse(&bench::workload::product_id(index)).expect("a plain id"),
        details: Arc::new(Details {
            name: format!("Bench product {index}").into(),
            category: Some("Bench".into()),
            price: Money::from_minor(1_234).expect("a small amount"),
            ..Details::default()
        }),
        stock: Stock {
            on_hand: 1_000_000_000,
            ..Stock::default()
        },
        version: 1,
        last_updated: NOW,
    }
}

fn entries() -> impl Iterator<Item = Entry> {
    (0..PRODUCTS).map(|index| Entry {
        product: product(index),
        live: true,
        last_record: 0,
    })
}

fn inventory() -> Inventory {
    let mut inventory = Inventory::with_capacity(PRODUCTS);
    entries().for_each(|entry| inventory.restore(entry));
    inventory
}

/// A catalogue whose first product is held to the last unit, by as many holds as there are units.
fn held() -> Inventory {
    let mut inventory = Inventory::with_capacity(1);
    let mut first = product(0);
    first.stock.on_hand = HOLDS;
    first.stock.reserved = HOLDS;
    inventory.restore(Entry {
        product: first.clone(),
        live: true,
        last_record: 0,
    });
    for number in 0..HOLDS {
        inventory.put_reservation(&Reservation {
            reservation_id: ReservationId::parse(&format!("hold-{number}")).expect("a plain id"),
            owner: Owner::parse("bench").expect("a plain name"),
            reference: None,
            store_id: None,
            order_id: None,
            lines: [Line {
                product_id: first.id.clone(),
                quantity: 1,
            }]
            .into(),
            state: ReservationState::Active,
            created_at: NOW,
            expires_at: Some(NOW.plus_millis(60_000 + number)),
            resolved_at: None,
        });
    }
    inventory
}

/// A sale of `lines` different products; a different set for each `turn`.
fn sale(turn: usize, lines: usize) -> Command {
    let lines = (0..lines)
        .map(|line| Move {
            // A large odd step visits the whole catalogue before it repeats.
            product: product(turn.wrapping_mul(lines).wrapping_add(line) * 7_919 % PRODUCTS).id,
            delta: -1,
            reason: Reason::Sale,
            expected_version: None,
            reference: None,
            note: None,
        })
        .collect();
    Command::Move {
        lines,
        atomicity: Atomicity::PerItem,
    }
}

fn origin() -> Origin {
    Origin {
        store: StoreId::parse("store-s1").ok(),
        key: IdempotencyKey::parse("0123456789abcdef-00000001").ok(),
        ..Origin::internal("store-s1")
    }
}

/// `count` events that follow each other.
fn events(count: usize) -> Vec<Event> {
    decide(&inventory(), &sale(0, count), NOW).events
}

fn rules(criterion: &mut Criterion) {
    let mut inventory = inventory();
    let commands: Vec<Command> = (0..1_000).map(|turn| sale(turn, 1)).collect();
    let mut group = criterion.benchmark_group("rules");
    group.throughput(Throughput::Elements(1));
    let mut turns = commands.iter().cycle();
    group.bench_function("decide one sale", |bencher| {
        bencher.iter(|| turns.next().map(|command| decide(&inventory, command, NOW)));
    });
    let held = held();
    let refused = sale(0, 1);
    group.bench_function("refuse a sale, 100 000 holds on the product", |bencher| {
        bencher.iter(|| decide(&held, &refused, NOW));
    });
    let decided: Vec<Event> = commands
        .iter()
        .flat_map(|command| decide(&inventory, command, NOW).events)
        .collect();
    let mut turns = decided.iter().cycle();
    group.bench_function("apply one event", |bencher| {
        bencher.iter(|| turns.next().map(|event| inventory.apply(black_box(event))));
    });
    let batches: Vec<Command> = (0..100).map(|turn| sale(turn, LINES)).collect();
    let mut turns = batches.iter().cycle();
    group.throughput(Throughput::Elements(LINES as u64));
    group.bench_function("decide a batch of 100", |bencher| {
        bencher.iter(|| turns.next().map(|command| decide(&inventory, command, NOW)));
    });
    group.finish();
}

/// The bytes of `events` as the feed carries them.
fn encoded(events: &[Event]) -> Vec<String> {
    let (mut encoder, origin) = (Encoder::new(), origin());
    (0_u64..)
        .zip(events)
        .map(|(offset, event)| {
            let mut bytes = Vec::new();
            let position = Position {
                offset,
                at: NOW,
                batch: None,
            };
            encoder.event(&mut bytes, position, event, &origin);
            String::from_utf8(bytes).expect("JSON is text")
        })
        .collect()
}

fn wire(criterion: &mut Criterion) {
    let events = events(LINES);
    let texts = encoded(&events);
    let (mut encoder, origin) = (Encoder::new(), origin());
    let mut out = Vec::with_capacity(1024 * 1024);
    let mut group = criterion.benchmark_group("wire");
    group.throughput(Throughput::Elements(LINES as u64));
    group.bench_function("encode 100 events", |bencher| {
        bencher.iter(|| {
            out.clear();
            for (offset, event) in (0_u64..).zip(&events) {
                let position = Position {
                    offset,
                    at: NOW,
                    batch: None,
                };
                encoder.event(&mut out, position, event, &origin);
            }
            out.len()
        });
    });
    group.bench_function("parse 100 events", |bencher| {
        bencher.iter(|| {
            texts
                .iter()
                .filter(|text| FeedEvent::parse(text).is_ok())
                .count()
        });
    });
    group.finish();
}

/// What a follower does with an answer: parse every event, then show all of them at once.
fn follower(criterion: &mut Criterion) {
    let catalogue = Catalogue::load(entries(), Head::default());
    let texts = encoded(&events(LINES));
    let mut group = criterion.benchmark_group("follower");
    group.throughput(Throughput::Elements(LINES as u64));
    group.bench_function("take in an answer of 100 events", |bencher| {
        bencher.iter(|| {
            let parsed: Vec<FeedEvent> = texts
                .iter()
                .filter_map(|text| FeedEvent::parse(text).ok())
                .collect();
            let changes = parsed.iter().filter_map(|event| {
                let (_, product) = event.change.as_ref()?;
                Some(Change {
                    product,
                    live: true,
                    record: 0,
                })
            });
            catalogue.fold(changes, 1, 1)
        });
    });
    let ids: Vec<String> = (0..1_000)
        .map(|turn| bench::workload::product_id(turn * 7_919 % PRODUCTS))
        .collect();
    let mut turns = ids.iter().cycle();
    group.throughput(Throughput::Elements(1));
    group.bench_function("read one product", |bencher| {
        bencher.iter(|| turns.next().and_then(|id| catalogue.get(id)));
    });
    group.finish();
}

/// Frames of `records` sales each, one after the other.
struct Frames {
    decision: Decision,
    next: First,
    records: u32,
}

impl Frames {
    fn next(&mut self) -> Frame {
        let (mut encoder, origin) = (Encoder::new(), origin());
        let mut bytes = frame_buffer(1024);
        let mut spans = Spans::default();
        let first = self.next;
        for _ in 0..self.records {
            let head = RecordHead {
                seq: self.next.seq,
                at: NOW,
                kind: "move",
                origin: &origin,
                fingerprint: 42,
                prev: &Previous::default(),
                first: self.next.offsets,
            };
            encode_decision(&mut bytes, &mut encoder, head, &self.decision, &mut spans);
            self.next.seq += 1;
            self.next.offsets.inventory += self.decision.events.len() as u64;
        }
        let counts = Counts {
            records: self.records,
            events: u32::try_from(spans.inventory.len()).expect("a few events"),
            order_events: 0,
        };
        Frame::seal(bytes, first, counts)
    }
}

/// Appending to segment files on the disk of the build folder, `fdatasync` included.
fn journal(criterion: &mut Criterion) {
    let decision = decide(&inventory(), &sale(0, 1), NOW);
    let mut group = criterion.benchmark_group("journal");
    for records in [1_u32, 64] {
        let folder = folder().expect("a folder beside the build");
        let options = EmbeddedOptions {
            dir: folder.path().to_owned(),
            segment_bytes: shared::limits::SEGMENT_BYTES,
        };
        let fold = |_: &Frame| Ok::<(), JournalError>(());
        let beginning = First {
            seq: 1,
            offsets: Offsets::default(),
        };
        let (mut journal, opened) = Embedded::open(Arc::new(FsDisk), options, beginning, fold)
            .expect("an empty journal opens");
        let mut frames = Frames {
            decision: decision.clone(),
            next: opened.next,
            records,
        };
        group.throughput(Throughput::Elements(u64::from(records)));
        group.bench_function(format!("append and sync a frame of {records}"), |bencher| {
            bencher.iter_batched(
                || frames.next(),
                |frame| {
                    journal
                        .commit(frame)
                        .and_then(central_api::journal::Flush::run)
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// A folder on the disk of the build folder: a temporary folder may live in memory, where syncing
/// costs nothing.
fn folder() -> io::Result<TempDir> {
    TempDir::with_prefix_in("bench-journal-", env!("CARGO_TARGET_TMPDIR"))
}

criterion_group!(core, rules, wire, follower, journal);
criterion_main!(core);
