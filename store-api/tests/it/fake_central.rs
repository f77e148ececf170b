//! A central for tests: the feed, the snapshot, the updates and the orders of the contract, in
//! memory, and a list of ways to misbehave.

mod feed;
mod order_feed;
mod writes;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post, put};
use axum::{Json, Router};
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::domain::ids::ProductId;
use shared::domain::inventory::{
    Details, Event, EventKind, Inventory, Movement, MovementKind, Product, Stock,
};
use shared::domain::money::Money;
use shared::domain::origin::Origin;
use shared::service::server::{self, ServerOptions};
use shared::wire::event::Position;
use shared::wire::product::Encoder;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::feed::{events, one_snapshot, snapshot};
use self::order_feed::{OrderFeed, info, order_events};
use self::writes::{echo, heartbeat, place, updates};

/// How an answer is spoilt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Misbehaviour {
    /// The feed and the snapshot hang for ever.
    pub(crate) hang_feed: bool,
    /// Long polls end with 504, as behind a proxy that cannot bear waiting.
    pub(crate) break_long_polls: bool,
    /// So many answers of the feed are not JSON.
    pub(crate) garbage: u32,
    /// So many answers of the feed are cut in the middle of their body.
    pub(crate) truncate: u32,
    /// So many answers of the feed begin one event later than asked for.
    pub(crate) skip_one: u32,
    /// So many answers of the feed are these bytes instead.
    pub(crate) replay: Option<(u32, Bytes)>,
    /// So many answers of the feed have a wrong digest.
    pub(crate) wrong_digest: u32,
    /// Answers of the feed are packed for whoever takes zstd.
    pub(crate) packed_feed: bool,
    /// Answers of the feed say that they are in a coding that nobody asked for.
    pub(crate) unknown_coding: bool,
    /// There is no such thing as a snapshot.
    pub(crate) no_snapshot: bool,
    /// So many snapshots lack their last row.
    pub(crate) short_snapshot: u32,
    /// So many updates are applied, and the connection is closed without an answer.
    pub(crate) lose_answers: u32,
    /// Updates hang for ever, without being applied.
    pub(crate) hang_updates: bool,
    /// So many updates are answered with this status and body, without being applied. `$REQUEST`
    /// in it becomes the id of the request, and `$CONDITION` its `If-Match` without quotes.
    pub(crate) refuse_updates: Option<(u32, u16, &'static str)>,
    /// Time that a payment takes.
    pub(crate) payment: Duration,
}

#[derive(Debug)]
struct World {
    events: Vec<Bytes>,
    state: Inventory,
    generations: Vec<(u64, u64)>,
    oldest: u64,
    answers: HashMap<String, (StatusCode, Value)>,
    applied_keys: Vec<String>,
    heartbeats: HashMap<String, Value>,
    orders: Option<OrderFeed>,
    polls: u64,
    packed_answers: u64,
    snapshots: u64,
    spoilt: Misbehaviour,
}

type Running = (CancellationToken, JoinHandle<()>);

/// The central.
#[derive(Clone)]
pub(crate) struct FakeCentral {
    world: Arc<Mutex<World>>,
    head: Arc<watch::Sender<u64>>,
    address: SocketAddr,
    running: Arc<Mutex<Option<Running>>>,
}

impl FakeCentral {
    /// A central with `products` products of ten units each, not yet listening.
    pub(crate) async fn absent(products: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let central = Self {
            world: Arc::new(Mutex::new(World {
                events: Vec::new(),
                state: Inventory::default(),
                generations: vec![(0xA1, 0)],
                oldest: 0,
                answers: HashMap::new(),
                applied_keys: Vec::new(),
                heartbeats: HashMap::new(),
                orders: None,
                polls: 0,
                packed_answers: 0,
                snapshots: 0,
                spoilt: Misbehaviour::default(),
            })),
            head: Arc::new(watch::Sender::new(0)),
            address: listener.local_addr().unwrap(),
            running: Arc::default(),
        };
        for number in 1..=products {
            central.put(&format!("PROD-{number:03}"), 10);
        }
        central
    }

    /// The same, listening.
    pub(crate) async fn start(products: usize) -> Self {
        let central = Self::absent(products).await;
        central.appear().await;
        central
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Begins to listen.
    pub(crate) async fn appear(&self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        let stop = CancellationToken::new();
        let router = Router::new()
            .route("/v1/inventory/events", get(events))
            .route("/v1/inventory/snapshot", get(snapshot))
            .route("/v1/inventory/snapshots/{name}", get(one_snapshot))
            .route("/v1/inventory/updates", post(updates))
            .route("/v1/info", get(info))
            .route("/v1/orders", post(place).get(echo))
            .route("/v1/orders/events", get(order_events))
            .route("/v1/orders/{*rest}", any(echo))
            .route("/v1/stores/{id}/heartbeat", put(heartbeat))
            .with_state(self.clone());
        // Whoever is in the middle of something is cut at once, as by a power cut.
        let options = ServerOptions {
            drain: Duration::from_millis(1),
            ..ServerOptions::default()
        };
        let stopped = stop.clone();
        let serving = tokio::spawn(async move {
            server::serve(listener, router, stopped, options, &[]).await;
        });
        *self.running.lock() = Some((stop, serving));
    }

    /// Stops listening and cuts every connection.
    pub(crate) async fn vanish(&self) {
        let running = self.running.lock().take();
        if let Some((stop, serving)) = running {
            stop.cancel();
            serving.await.unwrap();
        }
    }

    /// Begins another life of the log, as a restart does.
    pub(crate) fn new_generation(&self) -> u64 {
        let mut world = self.world.lock();
        let next = world.generations.last().unwrap().0 + 0x10;
        let start = world.events.len() as u64;
        world.generations.push((next, start));
        if let Some(orders) = &mut world.orders {
            orders.begin(next);
        }
        next
    }

    /// Goes back to the first `keep` events under a new generation, as a restored backup does.
    pub(crate) fn restore(&self, keep: usize) {
        let mut world = self.world.lock();
        let events: Vec<Bytes> = world.events.drain(..).take(keep).collect();
        world.state = Inventory::default();
        for bytes in &events {
            let text = std::str::from_utf8(bytes).unwrap();
            let event = shared::wire::event::FeedEvent::parse(text).unwrap();
            let (kind, product) = event.change.unwrap();
            world.state.apply(&Event {
                kind,
                product,
                movement: Movement::of(MovementKind::Adjusted),
            });
        }
        world.events = events;
        let newest = world.generations.last().unwrap().0;
        world.generations.retain(|(_, start)| *start <= keep as u64);
        world.generations.push((newest + 0x1000, keep as u64));
        drop(world);
        self.head.send_replace(keep as u64);
    }

    /// Forgets the events below `offset`, as retention does.
    pub(crate) fn forget_below(&self, offset: u64) {
        self.world.lock().oldest = offset;
    }

    pub(crate) fn misbehave(&self, change: impl FnOnce(&mut Misbehaviour)) {
        change(&mut self.world.lock().spoilt);
        // Whoever is waiting looks again.
        self.head.send_modify(|_| {});
    }

    /// Sets the units of a product, creating it if need be.
    pub(crate) fn put(&self, id: &str, on_hand: i64) {
        let mut world = self.world.lock();
        let known = world.state.entry(id);
        let live = known.is_some_and(|entry| entry.live);
        let kind = if live {
            EventKind::Updated
        } else {
            EventKind::Created
        };
        let version = known.map_or(1, |entry| entry.product.version + 1);
        world.record(kind, product(id, on_hand, version));
        let head = world.events.len() as u64;
        drop(world);
        self.head.send_replace(head);
    }

    pub(crate) fn delete(&self, id: &str) {
        let mut world = self.world.lock();
        let mut gone = world.state.get(id).unwrap().clone();
        gone.version += 1;
        world.record(EventKind::Deleted, gone);
        let head = world.events.len() as u64;
        drop(world);
        self.head.send_replace(head);
    }

    pub(crate) fn offset(&self) -> u64 {
        *self.head.borrow()
    }

    pub(crate) fn digest(&self) -> String {
        format!("{:016x}", self.world.lock().state.digest())
    }

    pub(crate) fn available(&self, id: &str) -> i64 {
        self.world.lock().state.get(id).unwrap().available()
    }

    pub(crate) fn applied_keys(&self) -> Vec<String> {
        self.world.lock().applied_keys.clone()
    }

    pub(crate) fn polls(&self) -> u64 {
        self.world.lock().polls
    }

    /// Answers of the feed that went out packed.
    pub(crate) fn packed_answers(&self) -> u64 {
        self.world.lock().packed_answers
    }

    pub(crate) fn snapshots(&self) -> u64 {
        self.world.lock().snapshots
    }

    pub(crate) fn heartbeat_of(&self, store: &str) -> Option<Value> {
        self.world.lock().heartbeats.get(store).cloned()
    }

    /// The body that the feed would answer with now.
    pub(crate) fn page(&self, offset: u64) -> Bytes {
        self.world.lock().page(offset, 1000)
    }
}

/// A product of this name has a long description.
pub(crate) const WORDY: &str = "PROD-WORDY";

fn product(id: &str, on_hand: i64, version: u64) -> Product {
    Product {
        id: ProductId::parse(id).unwrap(),
        details: Details {
            name: format!("Name of {id}").into(),
            category: Some("Audio".into()),
            description: (id == WORDY).then(|| "many words ".repeat(300).into()),
            price: Money::from_minor(9_999).unwrap(),
            ..Details::default()
        }
        .into(),
        stock: Stock {
            on_hand,
            ..Stock::default()
        },
        version,
        last_updated: Timestamp::from_millis(1_768_473_000_123),
    }
}

impl World {
    fn record(&mut self, kind: EventKind, product: Product) {
        let event = Event {
            kind,
            product,
            movement: Movement::of(MovementKind::Adjusted),
        };
        self.state.apply(&event);
        let position = Position {
            offset: self.events.len() as u64,
            at: Timestamp::from_millis(1_768_473_000_456),
            batch: None,
        };
        let mut bytes = Vec::new();
        Encoder::new().event(&mut bytes, position, &event, &Origin::internal("fake"));
        self.events.push(bytes.into());
    }

    fn page(&self, offset: u64, limit: usize) -> Bytes {
        let from = usize::try_from(offset).unwrap();
        let events: Vec<_> = self.events.iter().skip(from).take(limit).collect();
        let texts: Vec<_> = events
            .iter()
            .map(|bytes| String::from_utf8_lossy(bytes))
            .collect();
        let head = self.events.len() as u64;
        let next = offset + events.len() as u64;
        let rest = if next == head {
            format!(
                r#","upToDate":true,"digest":"{:016x}""#,
                self.state.digest()
            )
        } else {
            String::new()
        };
        let text = format!(
            r#"{{"events":[{}],"nextOffset":{next},"hasMore":{},"count":{},"gen":"{:016x}","headOffset":{head},"oldestOffset":{}{rest}}}"#,
            texts.join(","),
            next < head,
            events.len(),
            self.generations.last().unwrap().0,
            self.oldest,
        );
        Bytes::from(text)
    }

    /// Whether a reader under `gen` that wants `offset` has followed this log.
    fn follows(&self, asked: &str, offset: u64) -> bool {
        let at = self
            .generations
            .iter()
            .position(|(known, _)| format!("{known:016x}") == asked);
        let Some(at) = at else { return false };
        self.generations
            .get(at + 1)
            .is_none_or(|(_, start)| offset <= *start)
    }
}

fn take(count: &mut u32) -> bool {
    let some = *count > 0;
    *count -= u32::from(some);
    some
}

fn problem(status: u16, code: &str) -> Response {
    let body = json!({"code": code, "message": code});
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}
