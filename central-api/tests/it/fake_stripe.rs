//! A payment provider that behaves as Stripe's public API is documented, on a free port, with faults
//! on order.
//!
//! What it keeps is the truth that tests look at: how often money was really taken and given back.
//! Keys work as documented: the first answer is kept whatever it was, a 500 included; an answer that
//! is given again says so; other parameters are an `idempotency_error`; a second call while the
//! first is running is a 409; throttling and a wrong key are answered before keys are looked at.
//! Every call runs to its end, also when its caller has hung up, as it would over there. What a call
//! does is in [`world`].

mod world;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use world::{World, error};

/// The secret key it accepts.
pub(crate) const SECRET: &str = "sk_test_hidden";

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    Create,
    Confirm,
    Cancel,
    Retrieve,
    Search,
    Refund,
    Refunds,
    RetrieveRefund,
}

/// What goes wrong with one call.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Nothing, this time.
    None,
    /// It waits on its way, and arrives when the gate is opened.
    Late(Arc<Notify>),
    /// It arrives and is under way until the gate is opened.
    Held(Arc<Notify>),
    /// Something in between has no connection; nothing arrives.
    Unavailable,
    /// Too many requests.
    Throttled,
    /// Somebody else holds the object.
    Locked,
    /// The account may not do this.
    Unsupported,
    /// It fails before anything was done, and the failure is kept.
    FailsBefore,
    /// It fails after everything was done, and the failure is kept.
    FailsAfter,
    /// It fails, the failure is kept, and what was asked for is done when the gate is opened.
    FailsAndIsDoneLater(Arc<Notify>),
    /// It is done, and the answer breaks off in its middle.
    Cut,
    /// It is done, and something in between answers a page.
    Garbage,
    /// It is done, and no answer comes; see [`FakeStripe::silence`].
    Silence,
}

/// A call as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) endpoint: Endpoint,
    pub(crate) headers: HeaderMap,
    pub(crate) form: BTreeMap<String, String>,
}

/// The provider; it ends with this.
#[derive(Debug)]
pub(crate) struct FakeStripe {
    pub(crate) url: String,
    world: Arc<Mutex<World>>,
    silence: Arc<Notify>,
    server: JoinHandle<()>,
}

impl FakeStripe {
    pub(crate) async fn start() -> Self {
        let world = Arc::new(Mutex::new(World::default()));
        let silence = Arc::new(Notify::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = (Arc::clone(&world), Arc::clone(&silence));
        let router = Router::new().fallback(serve).with_state(shared);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            world,
            silence,
            server,
        }
    }

    /// The next call of this kind meets `fault`.
    pub(crate) fn misbehave(&self, endpoint: Endpoint, fault: Fault) {
        let mut world = self.world.lock();
        world.faults.entry(endpoint).or_default().push_back(fault);
    }

    /// Whether every fault that was ordered has happened.
    pub(crate) fn has_misbehaved(&self) -> bool {
        self.world.lock().faults.values().all(VecDeque::is_empty)
    }

    /// What was ordered and has not happened will not.
    pub(crate) fn behave(&self) {
        self.world.lock().faults.clear();
    }

    /// From now on it takes no notice of keys: the control of what keys are for.
    pub(crate) fn ignore_keys(&self) {
        self.world.lock().forgetful = true;
    }

    /// It forgets the keys up to now, as it does after a day.
    pub(crate) fn forget_keys(&self) {
        self.world.lock().keys.clear();
    }

    /// Whether searches find what there is; they lag behind.
    pub(crate) fn blind(&self, blind: bool) {
        self.world.lock().blind = blind;
    }

    /// What was in hand is decided.
    pub(crate) fn settle_processing(&self) {
        for intent in &mut self.world.lock().intents {
            if intent.status == "processing" {
                intent.status = "succeeded";
                intent.charges += 1;
            }
        }
    }

    /// What became of the refunds that were not decided.
    pub(crate) fn settle_refunds(&self, status: &str, reason: Option<&str>) {
        for given in &mut self.world.lock().refunds {
            if given.is_open() {
                given.body["status"] = status.into();
                given.body["failure_reason"] = reason.into();
            }
        }
    }

    /// Returns once a call was done whose answer will not come.
    pub(crate) async fn silence(&self) {
        self.silence.notified().await;
    }

    /// How often money was taken under `key`, over all intents.
    pub(crate) fn charges(&self, key: &str) -> u32 {
        let world = self.world.lock();
        let of_key = world.intents.iter().filter(|intent| intent.key == key);
        of_key.map(|intent| intent.charges).sum()
    }

    /// How often money was taken, and how much.
    pub(crate) fn taken(&self) -> (usize, i64) {
        let world = self.world.lock();
        let taken = world.intents.iter().map(|intent| {
            let times = i64::from(intent.charges);
            (times, times * intent.amount)
        });
        let (times, amount) = taken.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        (usize::try_from(times).unwrap(), amount)
    }

    /// How often money was given back or is on its way, and how much.
    pub(crate) fn refunds(&self) -> (usize, i64) {
        let world = self.world.lock();
        let given = world.refunds.iter().filter(|given| given.counts());
        let amounts = given.clone().map(|given| given.amount);
        (given.count(), amounts.sum())
    }

    /// The keys under which refunds were asked for, in that order.
    pub(crate) fn refund_keys(&self) -> Vec<String> {
        let world = self.world.lock();
        let refunds = world.calls.iter();
        let refunds = refunds.filter(|call| call.endpoint == Endpoint::Refund);
        let key = |call: &Call| call.headers["idempotency-key"].to_str().unwrap().to_owned();
        refunds.map(key).collect()
    }

    /// The states of the intents of `key`.
    pub(crate) fn states(&self, key: &str) -> Vec<&'static str> {
        let world = self.world.lock();
        let of_key = world.intents.iter().filter(|intent| intent.key == key);
        of_key.map(|intent| intent.status).collect()
    }

    /// Every call that has arrived.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.world.lock().calls.clone()
    }

    /// How many calls of a kind were executed.
    pub(crate) fn finished(&self, endpoint: Endpoint) -> usize {
        let world = self.world.lock();
        let of_kind = world.finished.iter().filter(|one| **one == endpoint);
        of_kind.count()
    }

    /// How many calls of a kind have arrived.
    pub(crate) fn arrived(&self, endpoint: Endpoint) -> usize {
        let world = self.world.lock();
        let of_kind = world.calls.iter().filter(|call| call.endpoint == endpoint);
        of_kind.count()
    }
}

impl Drop for FakeStripe {
    fn drop(&mut self) {
        self.server.abort();
    }
}

type Shared = (Arc<Mutex<World>>, Arc<Notify>);

fn page(status: StatusCode) -> Response {
    (status, "<html>Something in between.</html>").into_response()
}

/// Which endpoint, and the id in the path.
fn route(method: &Method, path: &str) -> Option<(Endpoint, String)> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let endpoint = match (method.as_str(), parts.as_slice()) {
        ("POST", ["v1", "payment_intents"]) => Endpoint::Create,
        ("GET", ["v1", "payment_intents", "search"]) => Endpoint::Search,
        ("GET", ["v1", "payment_intents", _]) => Endpoint::Retrieve,
        ("POST", ["v1", "payment_intents", _, "confirm"]) => Endpoint::Confirm,
        ("POST", ["v1", "payment_intents", _, "cancel"]) => Endpoint::Cancel,
        ("POST", ["v1", "refunds"]) => Endpoint::Refund,
        ("GET", ["v1", "refunds"]) => Endpoint::Refunds,
        ("GET", ["v1", "refunds", _]) => Endpoint::RetrieveRefund,
        _ => return None,
    };
    let id = parts.get(2).copied().unwrap_or_default();
    Some((endpoint, id.to_owned()))
}

fn form(uri: &Uri, body: &Bytes) -> BTreeMap<String, String> {
    let query = uri.query().unwrap_or_default();
    let body = std::str::from_utf8(body).unwrap();
    let url = format!("http://x/?{query}&{body}");
    let url: reqwest::Url = url.parse().unwrap();
    url.query_pairs()
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

async fn serve(
    State((world, silence)): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some((endpoint, id)) = route(&method, uri.path()) else {
        return page(StatusCode::NOT_FOUND);
    };
    let form = form(&uri, &body);
    let fault = {
        let faults = &mut world.lock().faults;
        faults.get_mut(&endpoint).and_then(VecDeque::pop_front)
    };
    let call = Call {
        endpoint,
        headers,
        form,
    };
    let running = run(world, call, id, fault.clone());
    let (status, body, replayed) = tokio::spawn(running).await.unwrap();
    let text = body.to_string();
    match fault {
        Some(Fault::Silence) => {
            silence.notify_one();
            std::future::pending().await
        }
        Some(Fault::Unavailable) => page(StatusCode::SERVICE_UNAVAILABLE),
        Some(Fault::Garbage) => page(StatusCode::OK),
        Some(Fault::Cut) => {
            let half = Bytes::from(text[..text.len() / 2].to_owned());
            let broken = std::io::Error::other("the line broke");
            let parts = stream::iter([Ok(half), Err(broken)]);
            let length = text.len().to_string();
            (
                status,
                [("content-length", length)],
                Body::from_stream(parts),
            )
                .into_response()
        }
        _ if replayed => (status, [("idempotent-replayed", "true")], text).into_response(),
        _ => (status, text).into_response(),
    }
}

/// One call, from its arrival to its answer.
async fn run(
    world: Arc<Mutex<World>>,
    call: Call,
    id: String,
    fault: Option<Fault>,
) -> (StatusCode, Value, bool) {
    if let Some(Fault::Late(gate)) = &fault {
        gate.notified().await;
    }
    let bearer = format!("Bearer {SECRET}");
    let authorized = call.headers.get("authorization").unwrap() == bearer.as_str();
    let (endpoint, form) = (call.endpoint, call.form.clone());
    let key = call.headers.get("idempotency-key");
    let key = key.map(|key| key.to_str().unwrap().to_owned());
    let print = format!("{endpoint:?} {id} {form:?}");
    let unbegun = {
        let mut world = world.lock();
        world.calls.push(call);
        let unbegun = before_keys(authorized, fault.as_ref());
        if unbegun.is_none()
            && let Err((answer, replayed)) = world.begin(key.as_deref(), &print)
        {
            return (answer.0, answer.1, replayed);
        }
        unbegun
    };
    if let Some((status, body)) = unbegun {
        return (status, body, false);
    }
    if let Some(Fault::Held(gate)) = &fault {
        gate.notified().await;
    }
    if let Some(Fault::FailsAndIsDoneLater(gate)) = &fault {
        let (gate, world) = (Arc::clone(gate), Arc::clone(&world));
        let (id, form) = (id.clone(), form.clone());
        tokio::spawn(async move {
            gate.notified().await;
            world.lock().execute(endpoint, &id, &form);
        });
    }
    let mut world = world.lock();
    let broken = || error(500, "api_error", "", "An unknown error occurred.");
    let answer = match &fault {
        Some(Fault::FailsBefore | Fault::FailsAndIsDoneLater(_)) => broken(),
        Some(Fault::FailsAfter) => {
            world.execute(endpoint, &id, &form);
            broken()
        }
        _ => world.execute(endpoint, &id, &form),
    };
    world.finished.push(endpoint);
    if let Some(key) = key {
        // What fails validation was never begun, and is not kept.
        let invalid = endpoint == Endpoint::Create && answer.0 == StatusCode::BAD_REQUEST;
        if invalid {
            world.keys.remove(&key);
        } else {
            world.keys.insert(key, (print, Some(answer.clone())));
        }
    }
    (answer.0, answer.1, false)
}

/// What is answered before anybody looks at keys.
fn before_keys(authorized: bool, fault: Option<&Fault>) -> Option<(StatusCode, Value)> {
    let kind = "invalid_request_error";
    if !authorized {
        let message = "Expired API Key provided: sk_test_*****";
        return Some(error(401, kind, "api_key_expired", message));
    }
    match fault? {
        Fault::Throttled => Some(error(429, kind, "rate_limit", "Slow down.")),
        Fault::Locked => Some(error(429, kind, "lock_timeout", "In use.")),
        Fault::Unsupported => Some(error(400, kind, "", "Not for this account.")),
        Fault::Unavailable => Some((StatusCode::SERVICE_UNAVAILABLE, Value::Null)),
        Fault::None
        | Fault::Late(_)
        | Fault::Held(_)
        | Fault::FailsBefore
        | Fault::FailsAfter
        | Fault::FailsAndIsDoneLater(_)
        | Fault::Cut
        | Fault::Garbage
        | Fault::Silence => None,
    }
}
