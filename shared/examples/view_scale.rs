//! Load time, memory and latencies of the catalogue view at a million products.
//!
//! `cargo run --release -p shared --features view --example view_scale [products]`

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "measures real time and prints the figures"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::clock::Timestamp;
use shared::domain::ids::ProductId;
use shared::domain::inventory::state::Entry;
use shared::domain::inventory::{Details, Product, Stock};
use shared::domain::money::Money;
use shared::view::{Catalogue, Change, Head, ListRequest, Page};
use shared::wire::product::Encoder;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ADJECTIVES: [&str; 20] = [
    "Wireless", "Compact", "Organic", "Steel", "Wooden", "Portable", "Classic", "Premium",
    "Foldable", "Solar", "Silent", "Digital", "Vintage", "Ultra", "Eco", "Smart", "Heavy", "Light",
    "Soft", "Rugged",
];
const NOUNS: [&str; 25] = [
    "Headphones",
    "Keyboard",
    "Lamp",
    "Chair",
    "Bottle",
    "Backpack",
    "Drill",
    "Kettle",
    "Monitor",
    "Notebook",
    "Camera",
    "Speaker",
    "Tent",
    "Jacket",
    "Charger",
    "Router",
    "Blender",
    "Mattress",
    "Bicycle",
    "Helmet",
    "Printer",
    "Toaster",
    "Guitar",
    "Watch",
    "Desk",
];
const COLOURS: [&str; 10] = [
    "black", "white", "red", "green", "blue", "silver", "gold", "grey", "orange", "purple",
];

/// A small generator of numbers that look random.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        let at = usize::try_from(self.roll(words.len() as u64)).unwrap_or(0);
        words.get(at).copied().unwrap_or_default()
    }

    fn units(&mut self, sides: u64) -> i64 {
        i64::try_from(self.roll(sides)).unwrap_or(0)
    }
}

fn entry(number: u64, dice: &mut Dice, categories: &[Arc<str>]) -> Entry {
    let id = format!("SKU-{:07}", number.wrapping_mul(7_919) % 10_000_000);
    let model = dice.roll(10_000);
    let (adjective, noun, colour) = (dice.of(&ADJECTIVES), dice.of(&NOUNS), dice.of(&COLOURS));
    let category = usize::try_from(dice.roll(categories.len() as u64)).unwrap_or(0);
    Entry {
        product: Product {
            id: ProductId::parse(&id).expect("well formed"),
            details: Arc::new(Details {
                name: format!("{adjective} {noun} {model} {colour}").into(),
                description: None,
                category: categories.get(category).cloned(),
                sku: Some(format!("{:08X}", dice.roll(1 << 32)).into()),
                barcode: Some(format!("400{:010}", number * 7).into()),
                price: Money::from_minor(dice.units(100_000)).unwrap_or_default(),
                low_stock_threshold: (dice.roll(2) == 0).then_some(10),
            }),
            stock: Stock {
                on_hand: dice.units(200) - 3,
                reserved: dice.units(3),
                allotted: 0,
            },
            version: 1,
            last_updated: Timestamp::from_millis(1_768_473_000_123),
        },
        live: true,
        last_record: number,
    }
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

/// Time that this thread has had a processor: on a busy machine this says more than the clock.
/// Good to a few milliseconds.
fn on_processor() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text
        .split_whitespace()
        .next()
        .and_then(|first| first.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

fn timed<T>(what: &str, act: impl FnOnce() -> T) -> T {
    let (start, cpu) = (Instant::now(), on_processor());
    let result = act();
    let (clock, cpu) = (start.elapsed(), on_processor().saturating_sub(cpu));
    println!(
        "{what:<50} {clock:>10.2?}  cpu {cpu:>10.2?}  rss {} MiB",
        resident_mib()
    );
    result
}

/// The median and the worst of some runs, after the first.
fn latency(what: &str, mut act: impl FnMut() -> Page) {
    let start = Instant::now();
    let page = act();
    let first = start.elapsed();
    let mut runs: Vec<Duration> = (0..21)
        .map(|_| {
            let start = Instant::now();
            black_box(act());
            start.elapsed()
        })
        .collect();
    runs.sort_unstable();
    let median = runs.get(runs.len() / 2).copied().unwrap_or_default();
    println!(
        "{what:<58} first {first:>10.1?}  median {median:>10.1?}  ({} of {})",
        page.products.len(),
        page.total,
    );
}

fn request(text: &str) -> ListRequest {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    ListRequest::from_pairs(pairs).expect("well formed")
}

fn main() {
    let products = std::env::args().nth(1).and_then(|count| count.parse().ok());
    let products: u64 = products.unwrap_or(1_000_000);
    let categories: Vec<Arc<str>> = (0..300)
        .map(|number| format!("Category {number}").into())
        .collect();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let entries: Vec<Entry> = timed("make entries", || {
        (0..products)
            .map(|number| entry(number, &mut dice, &categories))
            .collect()
    });
    let list_mib = entries.len() * size_of::<Entry>() / 1024 / 1024;
    println!("(the list of entries itself: {list_mib} MiB, freed by loading)");
    let catalogue = timed("load", || Catalogue::load(entries, Head::default()));
    timed("first list: build orders and filters", || {
        catalogue.list(&request(""))
    });
    latency("q=wireless keyboard, text not indexed", || {
        catalogue.list(&request("q=wireless keyboard"))
    });
    timed("maintain: build the search index", || catalogue.maintain());
    println!(
        "bytes a product: {}",
        (resident_mib() << 20) / products.max(1)
    );

    lists(&catalogue);
    walk(&catalogue);
    reads_and_writes(&catalogue, products, &mut dice);
    println!("rss at the end {} MiB", resident_mib());
}

fn lists(catalogue: &Catalogue) {
    for text in [
        "limit=50",
        "offset=900000&limit=50",
        "sort=name&offset=900000",
        "sort=available&order=desc&offset=500000",
        "sort=price&limit=200",
        "category=Category 17",
        "category=Category 17&sort=name&offset=1000",
        "inStock=true&sort=available",
        "inStock=true&sort=name&order=desc&offset=900000",
        "inStock=false&sort=price",
        "lowStock=true&offset=20000",
        "shortfall=true",
        "barcode=4000000000700",
        "category=Category 17&inStock=true&lowStock=true&sort=price",
        "q=e",
        "q=wi",
        "q=key",
        "q=1234",
        "q=wireless",
        "q=WIRELESS keyboard",
        "q=wireless&sort=name&inStock=true&offset=40000",
        "q=SKU-00079",
        "q=4000000000700",
        "q=no such thing",
    ] {
        latency(text, || catalogue.list(&request(text)));
    }
}

/// Walks by cursor, a thousand rows a page.
fn walk(catalogue: &Catalogue) {
    for text in [
        "limit=1000",
        "sort=name&q=wireless&limit=1000",
        "sort=available&limit=1000",
    ] {
        let mut worst = Duration::ZERO;
        let (mut pages, mut rows, mut cursor) = (0, 0, String::new());
        let begin = Instant::now();
        loop {
            let start = Instant::now();
            let page = catalogue.list(&request(&format!("{text}&cursor={cursor}")));
            worst = worst.max(start.elapsed());
            pages += 1;
            rows += page.products.len();
            let Some(next) = page.next else { break };
            cursor = next;
        }
        let mean = begin.elapsed() / pages;
        println!("walk {text:<40} {pages} pages, {rows} rows, mean {mean:.1?}, worst {worst:.1?}");
    }
    let page = catalogue.list(&request("limit=50"));
    let mut body = Vec::new();
    let start = Instant::now();
    page.encode(&mut Encoder::new(), Some(1), &mut body);
    println!(
        "encode 50 rows: {:.1?}, {} bytes",
        start.elapsed(),
        body.len()
    );
}

/// Repeats a short act and prints what one takes on a processor.
fn each(what: &str, count: u32, act: impl FnOnce()) {
    let cpu = on_processor();
    act();
    let cpu = on_processor().saturating_sub(cpu);
    println!("{what}: {} ns", (cpu / count).as_nanos());
}

fn reads_and_writes(catalogue: &Catalogue, products: u64, dice: &mut Dice) {
    const CALLS: u32 = 1_000_000;
    let all = catalogue.collect();
    let mut any = || {
        let at = usize::try_from(dice.roll(products)).unwrap_or(0);
        &all.get(at).expect("in range").product
    };
    let ids: Vec<_> = (0..CALLS).map(|_| any().id.to_string()).collect();
    each("get, random product", CALLS, || {
        for id in &ids {
            black_box(catalogue.get(id));
        }
    });
    let moved: Vec<Product> = (0..CALLS)
        .map(|at| {
            let mut product = any().clone();
            product.version += u64::from(at);
            product.stock.on_hand += i64::from(at % 7) - 3;
            product
        })
        .collect();
    let change = |product| Change {
        product,
        live: true,
        record: 1,
    };
    each("publish, random product, 100 at a time", CALLS, || {
        for batch in moved.chunks(100) {
            catalogue.publish(batch.iter().map(change), Head::default());
        }
    });
    let hot: Vec<_> = moved.iter().take(100).collect();
    each(
        "publish, one of 100 hot products, 1 at a time",
        CALLS,
        || {
            for product in hot.iter().cycle().take(CALLS as usize) {
                catalogue.publish([change(product)], Head::default());
            }
        },
    );
    timed("list after all of that", || catalogue.list(&request("")));
    for count in [100, 1_000, 10_000, 100_000] {
        catalogue.publish(moved.iter().take(count).map(change), Head::default());
        timed(&format!("list after {count} movements"), || {
            catalogue.list(&request(""))
        });
        catalogue.publish(
            moved.iter().skip(count).take(count).map(change),
            Head::default(),
        );
        timed("maintain after as many", || catalogue.maintain());
    }
}
