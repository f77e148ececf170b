//! A central for tests: the feed, the snapshot, the updates and the orders of the contract, in
//! memory, and a list of ways to misbehave.

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
            .route("/v1/orders", post(place).get(echo))
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

fn product(id: &str, on_hand: i64, version: u64) -> Product {
    Product {
        id: ProductId::parse(id).unwrap(),
        details: Details {
            name: format!("Name of {id}").into(),
            category: Some("Audio".into()),
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

async fn events(
    State(central): State<FakeCentral>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let takes_zstd = headers
        .get("accept-encoding")
        .is_some_and(|codings| codings == "zstd");
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<u64>().ok());
    let offset = number("offset").unwrap();
    let limit = number("limit").unwrap_or(100);
    let wait = Duration::from_secs(number("wait").unwrap_or(0));
    central.world.lock().polls += 1;
    let mut head = central.head.subscribe();
    let deadline = tokio::time::Instant::now() + wait;
    loop {
        head.mark_unchanged();
        {
            let mut world = central.world.lock();
            if world.spoilt.break_long_polls && !wait.is_zero() {
                return StatusCode::GATEWAY_TIMEOUT.into_response();
            }
            if take(&mut world.spoilt.garbage) {
                return "<html>It works!</html>".into_response();
            }
            if let Some((count, body)) = &mut world.spoilt.replay
                && take(count)
            {
                return body.clone().into_response();
            }
            if let Some(asked) = query.get("gen")
                && !world.follows(asked, offset)
            {
                return problem(409, "log_diverged");
            }
            if offset < world.oldest {
                return problem(410, "offset_gone");
            }
            let at_head = offset == world.events.len() as u64;
            if offset > world.events.len() as u64 {
                return problem(409, "offset_ahead");
            }
            let due = !at_head
                || tokio::time::Instant::now() >= deadline
                || world.spoilt.wrong_digest > 0;
            if due && !world.spoilt.hang_feed {
                let limit = usize::try_from(limit).unwrap();
                return spoil(&mut world, offset, limit, &query, takes_zstd);
            }
        }
        tokio::select! {
            _ = head.changed() => {}
            () = tokio::time::sleep_until(deadline), if !wait.is_zero() && tokio::time::Instant::now() < deadline => {}
        }
    }
}

fn spoil(
    world: &mut World,
    offset: u64,
    limit: usize,
    query: &HashMap<String, String>,
    takes_zstd: bool,
) -> Response {
    let mut body = world.page(offset, limit);
    if take(&mut world.spoilt.skip_one) {
        body = world.page(offset + 1, limit);
    }
    if take(&mut world.spoilt.wrong_digest) {
        let text = String::from_utf8_lossy(&body)
            .replace(r#""digest":""#, r#""digest":"0123456789abcdef","was":""#);
        body = Bytes::from(text);
    }
    if take(&mut world.spoilt.truncate) {
        let part = body.slice(..body.len() / 2);
        let parts = futures_util::stream::iter([Ok(part), Err(std::io::Error::other("cut"))]);
        return Body::from_stream(parts).into_response();
    }
    let echoed = query
        .get("cursor")
        .and_then(|text| text.parse::<u64>().ok());
    let cursor = echoed.map_or(1000, |echoed| echoed + 1);
    let mut coding = "identity";
    if world.spoilt.packed_feed && takes_zstd {
        body = zstd::encode_all(&*body, 1).unwrap().into();
        world.packed_answers += 1;
        coding = "zstd";
    }
    if world.spoilt.unknown_coding {
        coding = "br";
    }
    (
        [
            ("content-type", "application/json"),
            ("log-cursor", &cursor.to_string()),
            ("content-encoding", coding),
        ],
        body,
    )
        .into_response()
}

async fn snapshot(State(central): State<FakeCentral>) -> Response {
    if central.world.lock().spoilt.no_snapshot {
        return problem(404, "not_found");
    }
    let (name, hangs) = {
        let mut world = central.world.lock();
        world.snapshots += 1;
        let newest = world.generations.last().unwrap().0;
        (
            format!("{newest:016x}-{}", world.events.len()),
            world.spoilt.hang_feed,
        )
    };
    if hangs {
        std::future::pending::<()>().await;
    }
    let location = format!("/v1/inventory/snapshots/{name}");
    (StatusCode::TEMPORARY_REDIRECT, [("location", location)]).into_response()
}

async fn one_snapshot(State(central): State<FakeCentral>, Path(name): Path<String>) -> Response {
    let mut world = central.world.lock();
    let (generation, offset) = name.split_once('-').unwrap();
    let mut rows: Vec<_> = world.state.entries().filter(|entry| entry.live).collect();
    rows.sort_by(|a, b| a.product.id.cmp(&b.product.id));
    let mut text = format!(
        r#"{{"gen":"{generation}","offset":{offset},"count":{}}}"#,
        rows.len()
    )
    .into_bytes();
    text.push(b'\n');
    let (count, digest) = (rows.len(), world.state.digest());
    let mut encoder = Encoder::new();
    for row in &rows {
        encoder.product(&mut text, &row.product);
        text.push(b'\n');
    }
    let crc = crc32c::crc32c(&text);
    if take(&mut world.spoilt.short_snapshot) {
        text.truncate(text.len() - 10);
        return Bytes::from(text).into_response();
    }
    text.extend_from_slice(
        format!("{{\"count\":{count},\"crc\":\"{crc:08x}\",\"digest\":\"{digest:016x}\"}}\n")
            .as_bytes(),
    );
    Bytes::from(text).into_response()
}

async fn updates(
    State(central): State<FakeCentral>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    if let Some(refusal) = central.refusal(&headers).await {
        return refusal;
    }
    let header_key = headers
        .get("idempotency-key")
        .map(|key| key.to_str().unwrap().to_owned());
    let answer = match body["updates"].as_array() {
        Some(lines) => {
            let results: Vec<_> = lines
                .iter()
                .map(|line| central.movement(line, None).1)
                .collect();
            let applied = results
                .iter()
                .filter(|one| one["applied"] == json!(true))
                .count();
            let total = results.len();
            let body = json!({
                "results": results, "storeId": body["storeId"], "totalCount": total,
                "successCount": applied, "failureCount": total - applied,
                "summary": {"total": total, "succeeded": applied, "failed": total - applied},
            });
            (StatusCode::OK, body, false)
        }
        None => {
            let (status, body, replayed) = central.movement_of_one(&body, header_key);
            (status, body, replayed)
        }
    };
    central.answered(answer)
}

/// Places an order: its units leave the shelf, and it is paid.
async fn place(
    State(central): State<FakeCentral>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    if let Some(refusal) = central.refusal(&headers).await {
        return refusal;
    }
    let payment = central.world.lock().spoilt.payment;
    tokio::time::sleep(payment).await;
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    let known = central.world.lock().answers.get(&key).cloned();
    let answer = if let Some((status, order)) = known {
        (status, order, true)
    } else {
        let order = json!({"orderId": "ord-1", "storeId": body["storeId"], "status": "confirmed"});
        for (at, item) in body["items"].as_array().unwrap().iter().enumerate() {
            let delta = -item["quantity"].as_i64().unwrap();
            let line = json!({"productId": item["productId"], "delta": delta});
            central.movement(&line, Some(format!("{key}/{at}")));
        }
        let answer = (StatusCode::CREATED, order.clone());
        central.world.lock().answers.insert(key, answer);
        (StatusCode::CREATED, order, false)
    };
    let mut response = central.answered(answer);
    let headers = response.headers_mut();
    headers.insert("location", "/v1/orders/ord-1".parse().unwrap());
    headers.insert("log-head", central.offset().into());
    response
}

/// Says what it was asked.
async fn echo(
    State(central): State<FakeCentral>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refusal) = central.refusal(&headers).await {
        return refusal;
    }
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
    Json(json!({
        "orderId": "ord-1", "asked": format!("{method} {uri}"), "key": header("idempotency-key"),
        "condition": header("if-match"), "body": String::from_utf8_lossy(&body),
    }))
    .into_response()
}

impl FakeCentral {
    /// The answer to a write that is not applied, if it is spoilt so.
    async fn refusal(&self, headers: &HeaderMap) -> Option<Response> {
        if self.world.lock().spoilt.hang_updates {
            std::future::pending::<()>().await;
        }
        let (status, body) = {
            let mut world = self.world.lock();
            let (count, status, body) = world.spoilt.refuse_updates.as_mut()?;
            take(count).then_some((*status, *body))?
        };
        let status = StatusCode::from_u16(status).unwrap();
        let id = headers["x-request-id"].to_str().unwrap();
        let condition = headers.get("if-match");
        let condition = condition.map_or("none", |value| value.to_str().unwrap());
        let body = body.replace("$REQUEST", id);
        let body = body.replace("$CONDITION", &condition.replace('"', ""));
        let headers = [
            ("content-type", "application/problem+json"),
            ("x-request-id", id),
            ("retry-after", "1"),
        ];
        Some((status, headers, body).into_response())
    }

    /// The answer to a write, unless it is to be lost.
    fn answered(&self, (status, body, replayed): (StatusCode, Value, bool)) -> Response {
        if take(&mut self.world.lock().spoilt.lose_answers) {
            let broken =
                futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("lost"))]);
            return Body::from_stream(broken).into_response();
        }
        let mut response = (status, Json(body)).into_response();
        if replayed {
            response
                .headers_mut()
                .insert("idempotent-replayed", "true".parse().unwrap());
        }
        response
    }

    fn movement_of_one(
        &self,
        line: &Value,
        header_key: Option<String>,
    ) -> (StatusCode, Value, bool) {
        let key = header_key
            .clone()
            .or_else(|| line["idempotencyKey"].as_str().map(str::to_owned));
        let known = key
            .as_ref()
            .is_some_and(|key| self.world.lock().answers.contains_key(key));
        let (status, body) = self.movement(line, header_key);
        (status, body, known)
    }

    fn movement(&self, line: &Value, header_key: Option<String>) -> (StatusCode, Value) {
        let key = header_key.or_else(|| line["idempotencyKey"].as_str().map(str::to_owned));
        let Some(key) = key else {
            let body = json!({"applied": false, "code": "idempotency_key_required", "errorType": "idempotency_key_required"});
            return (StatusCode::BAD_REQUEST, body);
        };
        let mut world = self.world.lock();
        if let Some((status, body)) = world.answers.get(&key) {
            return (*status, body.clone());
        }
        let id = line["productId"].as_str().unwrap_or_default();
        let delta = line["delta"].as_i64().unwrap_or(0);
        let answer = match world.state.get(id).cloned() {
            None => {
                let body = json!({"productId": id, "applied": false, "code": "product_not_found", "errorType": "product_not_found"});
                (StatusCode::NOT_FOUND, body)
            }
            Some(found) if found.available() + delta < 0 => {
                let body = json!({
                    "productId": id, "applied": false, "code": "insufficient_inventory",
                    "errorType": "insufficient_inventory", "newQuantity": found.available(), "newVersion": found.version,
                });
                (StatusCode::CONFLICT, body)
            }
            Some(mut found) => {
                found.stock.on_hand += delta;
                found.version += 1;
                let offset = world.events.len();
                let body = json!({
                    "productId": id, "newQuantity": found.available(), "newVersion": found.version,
                    "applied": true, "lastUpdated": found.last_updated.to_string(),
                    "delta": delta, "idempotencyKey": key, "offset": offset,
                });
                world.record(EventKind::Updated, found);
                world.applied_keys.push(key.clone());
                (StatusCode::OK, body)
            }
        };
        world.answers.insert(key, answer.clone());
        let head = world.events.len() as u64;
        drop(world);
        self.head.send_replace(head);
        answer
    }
}

async fn heartbeat(
    State(central): State<FakeCentral>,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> Json<Value> {
    central.world.lock().heartbeats.insert(id, body);
    Json(json!({}))
}
