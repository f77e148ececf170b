//! How many requests a second, as a share of the ceiling.

use std::io;
use std::time::Duration;

use super::compare::{Figures, Turns, compare, driven, mebibytes, share};
use super::say;
use super::world::Site;
use crate::drive::{Plan, Workload};
use crate::server::{Server, until};
use crate::tally::Tally;
use crate::workload::{Batches, Echo, Orders, Reads, Updates, Versioned, product_id};

/// Path of stock updates at central.
const UPDATES: &str = "/v1/inventory/updates";

/// How long a server may work in the background.
const IDLE: Duration = Duration::from_secs(60);

/// What the throughput measurements have in common.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Programs and data.
    pub site: Site,
    /// Numbers of connections to measure with, one after the other.
    pub clients: Vec<usize>,
    /// Client threads.
    pub threads: usize,
    /// Turns of each server.
    pub rounds: usize,
    /// Length of a turn.
    pub span: Duration,
    /// Products in the catalogue.
    pub products: usize,
}

impl Settings {
    fn turns(&self, connections: usize) -> Turns {
        Turns {
            rounds: self.rounds,
            plan: Plan {
                connections,
                threads: self.threads,
                warm_up: Duration::from_millis(500),
                span: self.span,
                rate: None,
            },
        }
    }
}

/// The ceiling alone: for updates and for reads.
///
/// # Errors
/// If a server cannot be started.
pub async fn ceiling(settings: &Settings) -> io::Result<()> {
    let server = settings.site.ceiling().await?;
    for &clients in &settings.clients {
        let turns = settings.turns(clients);
        let (echo, read) = compare(turns, (&server, Echo::new), (&server, echo_reads)).await?;
        title(clients, turns);
        row("POST echo", &echo, turns);
        row("GET echo", &read, turns);
    }
    server.stop().await
}

/// Single updates of random products.
///
/// # Errors
/// If a server cannot be started.
pub async fn updates(settings: &Settings) -> io::Result<()> {
    let products = 0..settings.products;
    let central = settings.site.central(settings.products).await?;
    let workload = move |index| Updates::new(UPDATES, products.clone(), index);
    against_ceiling(settings, "updates", central, workload, Echo::new).await
}

/// Single updates as the log grows to `events` events.
///
/// # Errors
/// If a server cannot be started.
pub async fn growth(settings: &Settings, events: u64) -> io::Result<()> {
    let products = 0..settings.products;
    let central = settings.site.central(settings.products).await?;
    let ceiling = settings.site.ceiling().await?;
    let all = products.clone();
    let single = move |index| Updates::new(UPDATES, all.clone(), index);
    let many = move |index| Batches::new(products.clone(), 1_000, index);
    let mut written = 0;
    for part in [0, 1, 3, 10] {
        while written < events / 10 * part {
            let mut plan = settings.turns(16).plan;
            plan.span = Duration::from_secs(1);
            written += driven(central.address, plan, many.clone()).await?.done;
        }
        idle(&central).await?;
        for &clients in &settings.clients {
            let turns = settings.turns(clients);
            let (top, figures) =
                compare(turns, (&ceiling, Echo::new), (&central, single.clone())).await?;
            written += figures.tally.done;
            let memory = mebibytes(central.memory().unwrap_or(0));
            title(clients, turns);
            row("ceiling", &top, turns);
            row(&format!("after {written} events"), &figures, turns);
            ratio("updates / ceiling", &figures.tally, &top.tally);
            say(format_args!("{memory:.0} MiB"));
        }
    }
    ceiling.stop().await?;
    central.stop().await
}

/// Waits until a server has nothing left to do in the background.
async fn idle(server: &Server) -> io::Result<()> {
    let last = std::cell::Cell::new(None);
    until("an idle server", IDLE, || async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = server.processor_time();
        let before = last.replace(now);
        now.zip(before)
            .is_some_and(|(now, before)| now.saturating_sub(before) < Duration::from_millis(50))
    })
    .await
}

/// Orders of one unit: held, paid by the simulated provider, confirmed, two durable decisions each.
///
/// # Errors
/// If a server cannot be started.
pub async fn orders(settings: &Settings) -> io::Result<()> {
    let products = 0..settings.products;
    let central = settings.site.central(settings.products).await?;
    let workload = move |index| Orders::new(products.clone(), index);
    against_ceiling(settings, "orders", central, workload, Echo::new).await
}

/// Updates in batches.
///
/// # Errors
/// If a server cannot be started.
pub async fn batches(settings: &Settings, lines: usize) -> io::Result<()> {
    let products = 0..settings.products;
    let central = settings.site.central(settings.products).await?;
    let workload = move |index| Batches::new(products.clone(), lines, index);
    say(format_args!(
        "batches of {lines} lines; figures count lines"
    ));
    against_ceiling(settings, "batched updates", central, workload, Echo::new).await
}

/// Reads of single products at a store.
///
/// # Errors
/// If a server cannot be started.
pub async fn reads(settings: &Settings) -> io::Result<()> {
    let products = 0..settings.products;
    let central = settings.site.central(settings.products).await?;
    let address = central.address;
    let store = settings.site.store("store-s1", address, settings.products);
    let store = store.await?;
    let workload = move |index| Reads::new("/v1/store/inventory", products.clone(), index);
    against_ceiling(settings, "store reads", store, workload, echo_reads).await?;
    central.stop().await
}

/// Pages, searches and filters at central.
///
/// # Errors
/// If a server cannot be started.
pub async fn list(settings: &Settings) -> io::Result<()> {
    let middle = settings.products / 2;
    let kinds = [
        ("first page", "/v1/inventory?limit=50".to_owned()),
        (
            "deep page",
            format!("/v1/inventory?limit=50&offset={middle}"),
        ),
        (
            "in stock, by price",
            "/v1/inventory?limit=50&inStock=true&sort=price".to_owned(),
        ),
        (
            "one category",
            "/v1/inventory?limit=50&category=Bench%207".to_owned(),
        ),
        (
            "search",
            format!("/v1/inventory?limit=50&q={}", product_id(middle)),
        ),
    ];
    let central = settings.site.central(settings.products).await?;
    for &clients in &settings.clients {
        let turns = settings.turns(clients);
        title(clients, turns);
        for (name, path) in &kinds {
            let paths = [path.clone()];
            let workload = move |index| Reads::of_paths(&paths, index);
            let tally = driven(central.address, turns.plan, workload).await?;
            say(format_args!("{name:<22} {tally}"));
        }
    }
    central.stop().await
}

/// One hot product: guarded deltas against the rate without contention, and compare-and-set
/// against a single client.
///
/// # Errors
/// If a server cannot be started.
pub async fn hot(settings: &Settings) -> io::Result<()> {
    let all = 0..settings.products;
    let central = settings.site.central(settings.products).await?;
    let spread = move |index| Updates::new(UPDATES, all.clone(), index);
    let single = |index| Updates::new(UPDATES, 0..1, index);
    for &clients in &settings.clients {
        let turns = settings.turns(clients);
        let (hot, cool) = compare(turns, (&central, single), (&central, spread.clone())).await?;
        title(clients, turns);
        row("all products", &cool, turns);
        row("one product", &hot, turns);
        ratio("one product / all products", &hot.tally, &cool.tally);

        // Everybody insists on a version of the same product; only one in a round can be right.
        let versioned = |_| Versioned::new(1, 1);
        let alone = settings.turns(1);
        let (mut one, mut many) = (Tally::default(), Tally::default());
        for _ in 0..turns.rounds {
            one.append(&driven(central.address, alone.plan, versioned).await?);
            many.append(&driven(central.address, turns.plan, versioned).await?);
        }
        say(format_args!("{:<22} {one}", "with version, 1"));
        say(format_args!(
            "{:<22} {many}",
            format!("with version, {clients}")
        ));
        ratio("successes, many / one client", &many, &one);
    }
    central.stop().await
}

fn echo_reads(connection: usize) -> Reads {
    Reads::new("/echo", 0..10_000, connection)
}

/// Measures `server` and the ceiling in turns, and stops both.
async fn against_ceiling<A: Workload, B: Workload>(
    settings: &Settings,
    name: &str,
    server: Server,
    workload: impl Fn(usize) -> A + Send + Clone + 'static,
    ceiling_workload: impl Fn(usize) -> B + Send + Clone + 'static,
) -> io::Result<()> {
    let ceiling = settings.site.ceiling().await?;
    for &clients in &settings.clients {
        let turns = settings.turns(clients);
        let (top, figures) = compare(
            turns,
            (&ceiling, ceiling_workload.clone()),
            (&server, workload.clone()),
        )
        .await?;
        title(clients, turns);
        row("ceiling", &top, turns);
        row(name, &figures, turns);
        ratio(&format!("{name} / ceiling"), &figures.tally, &top.tally);
    }
    ceiling.stop().await?;
    server.stop().await
}

fn title(clients: usize, turns: Turns) {
    let span = turns.plan.span.as_secs_f64();
    say(format_args!(
        "\n{clients} clients, {} turns of {span} s each",
        turns.rounds
    ));
}

fn row(name: &str, figures: &Figures, turns: Turns) {
    let cores = figures.cores(turns);
    say(format_args!(
        "{name:<22} {}  server {cores:.2} cores",
        figures.tally
    ));
}

fn ratio(name: &str, a: &Tally, b: &Tally) {
    say(format_args!("{name}: {:.1} %", share(a, b) * 100.0));
}
