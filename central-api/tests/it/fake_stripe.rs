//! A payment provider that behaves as Stripe's public API is documented, on a free port, with faults
//! on order.
//!
//! What it keeps is the truth that tests look at: how often money was really taken and given back.
//! Keys work as documented: the first answer is kept whatever it was, a 500 included; an answer that
//! is given again says so; other parameters are an `idempotency_error`; a second call while the
//! first is running is a 409; throttling and a wrong key are answered before keys are looked at.
//! Every call runs to its end, also when its caller has hung up, as it would over there.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

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
}

/// What goes wrong with one call.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
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

#[derive(Clone, Debug)]
struct Intent {
    id: String,
    amount: i64,
    currency: String,
    method: Option<String>,
    key: String,
    status: &'static str,
    error: Option<Value>,
    charges: u32,
}

#[derive(Clone, Debug)]
struct Given {
    intent: String,
    amount: i64,
    body: Value,
}

/// What a key stands for: the request, and the answer once there is one.
type Kept = (String, Option<(StatusCode, Value)>);

#[derive(Debug, Default)]
struct World {
    intents: Vec<Intent>,
    refunds: Vec<Given>,
    keys: HashMap<String, Kept>,
    faults: HashMap<Endpoint, VecDeque<Fault>>,
    calls: Vec<Call>,
    finished: Vec<Endpoint>,
    forgetful: bool,
    blind: bool,
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

    /// How often money was given back, and how much.
    pub(crate) fn refunds(&self) -> (usize, i64) {
        let world = self.world.lock();
        let amounts = world.refunds.iter().map(|given| given.amount);
        (world.refunds.len(), amounts.sum())
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

fn error(status: u16, kind: &str, code: &str, message: &str) -> (StatusCode, Value) {
    let mut body = json!({"error": {"type": kind, "message": message}});
    if !code.is_empty() {
        body["error"]["code"] = code.into();
    }
    (StatusCode::from_u16(status).unwrap(), body)
}

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
    let mut world = world.lock();
    let broken = || error(500, "api_error", "", "An unknown error occurred.");
    let answer = match &fault {
        Some(Fault::FailsBefore) => broken(),
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
        Fault::Late(_)
        | Fault::Held(_)
        | Fault::FailsBefore
        | Fault::FailsAfter
        | Fault::Cut
        | Fault::Garbage
        | Fault::Silence => None,
    }
}

impl World {
    /// Takes note of a key; `Err` is the answer that it stands for, and whether it is replayed.
    fn begin(&mut self, key: Option<&str>, print: &str) -> Result<(), ((StatusCode, Value), bool)> {
        let Some(key) = key.filter(|_| !self.forgetful) else {
            return Ok(());
        };
        let kind = "idempotency_error";
        match self.keys.get(key) {
            None => {
                self.keys.insert(key.to_owned(), (print.to_owned(), None));
                Ok(())
            }
            Some((known, _)) if known != print => Err((
                error(400, kind, "", "Keys are for the same request."),
                false,
            )),
            Some((_, None)) => {
                let code = "idempotency_key_in_use";
                Err((error(409, kind, code, "Under way."), false))
            }
            Some((_, Some(answer))) => Err((answer.clone(), true)),
        }
    }

    fn execute(
        &mut self,
        endpoint: Endpoint,
        id: &str,
        form: &BTreeMap<String, String>,
    ) -> (StatusCode, Value) {
        match endpoint {
            Endpoint::Create => self.create(form),
            Endpoint::Search => self.search(form),
            Endpoint::Refund => self.refund(form),
            Endpoint::Refunds => self.list_refunds(form),
            Endpoint::Confirm | Endpoint::Cancel | Endpoint::Retrieve => {
                let whole = form
                    .get("expand[]")
                    .is_some_and(|what| what == "latest_charge");
                let Some(intent) = self.intents.iter_mut().find(|intent| intent.id == id) else {
                    let kind = "invalid_request_error";
                    return error(404, kind, "resource_missing", "No such payment_intent.");
                };
                match endpoint {
                    Endpoint::Confirm => intent.confirm(whole),
                    Endpoint::Cancel => intent.cancel(whole),
                    _ => (StatusCode::OK, intent.body(whole)),
                }
            }
        }
    }

    fn create(&mut self, form: &BTreeMap<String, String>) -> (StatusCode, Value) {
        let method = form.get("payment_method").cloned();
        if method.as_deref() == Some("pm_missing") {
            let message = "No such PaymentMethod: 'pm_missing'";
            return error(400, "invalid_request_error", "resource_missing", message);
        }
        let intent = Intent {
            id: format!("pi_{}", self.intents.len() + 1),
            amount: form["amount"].parse().unwrap(),
            currency: form["currency"].clone(),
            status: "requires_confirmation",
            key: form["metadata[payment_key]"].clone(),
            method,
            error: None,
            charges: 0,
        };
        self.intents.push(intent.clone());
        (StatusCode::OK, intent.body(false))
    }

    fn search(&self, form: &BTreeMap<String, String>) -> (StatusCode, Value) {
        let query = form["query"].strip_prefix("metadata[\"payment_key\"]:\"");
        let key = query.and_then(|rest| rest.strip_suffix('"')).unwrap();
        let key = key.replace("\\\"", "\"").replace(r"\\", "\\");
        let found = self
            .intents
            .iter()
            .filter(|one| one.key == key && !self.blind);
        let data: Vec<_> = found.map(|intent| intent.body(false)).collect();
        (
            StatusCode::OK,
            json!({"object": "search_result", "data": data}),
        )
    }

    fn refund(&mut self, form: &BTreeMap<String, String>) -> (StatusCode, Value) {
        let kind = "invalid_request_error";
        let id = &form["payment_intent"];
        let Some(intent) = self.intents.iter().find(|intent| &intent.id == id) else {
            return error(404, kind, "resource_missing", "No such payment_intent.");
        };
        let amount: i64 = form["amount"].parse().unwrap();
        let given = self.refunds.iter().filter(|given| &given.intent == id);
        let given: i64 = given.map(|given| given.amount).sum();
        if intent.charges == 0 {
            return error(
                400,
                kind,
                "",
                "This PaymentIntent has no successful charge.",
            );
        }
        if given == intent.amount {
            return error(400, kind, "charge_already_refunded", "Already refunded.");
        }
        if given + amount > intent.amount {
            return error(
                400,
                kind,
                "",
                "Refund amount is greater than unrefunded amount.",
            );
        }
        let body = json!({
            "id": format!("re_{}", self.refunds.len() + 1), "object": "refund", "amount": amount,
            "payment_intent": id, "status": "succeeded",
            "metadata": {"refund_key": form["metadata[refund_key]"]},
        });
        self.refunds.push(Given {
            intent: id.clone(),
            amount,
            body: body.clone(),
        });
        (StatusCode::OK, body)
    }

    fn list_refunds(&self, form: &BTreeMap<String, String>) -> (StatusCode, Value) {
        let id = &form["payment_intent"];
        let given = self.refunds.iter().filter(|given| &given.intent == id);
        let data: Vec<_> = given.map(|given| given.body.clone()).collect();
        (
            StatusCode::OK,
            json!({"object": "list", "data": data, "has_more": false}),
        )
    }
}

impl Intent {
    fn body(&self, whole: bool) -> Value {
        let charge = match (self.charges, whole) {
            (0, _) => Value::Null,
            (_, false) => json!(format!("ch_{}", self.id)),
            (_, true) => json!({"id": format!("ch_{}", self.id), "authorization_code": "A7X3"}),
        };
        json!({
            "id": self.id, "object": "payment_intent", "amount": self.amount,
            "currency": self.currency, "status": self.status, "payment_method": self.method,
            "metadata": {"payment_key": self.key}, "last_payment_error": self.error,
            "latest_charge": charge, "livemode": false,
        })
    }

    /// The refusal of something that cannot be done in this state.
    fn unexpected(&self, what: &str) -> (StatusCode, Value) {
        let message = format!(
            "You cannot {what} this PaymentIntent: it is {}.",
            self.status
        );
        let code = "payment_intent_unexpected_state";
        let (status, mut body) = error(400, "invalid_request_error", code, &message);
        body["error"]["payment_intent"] = self.body(false);
        (status, body)
    }

    fn declined(&mut self, code: &str, decline: &str) -> (StatusCode, Value) {
        let (status, mut body) = error(402, "card_error", code, "Your card was declined.");
        body["error"]["decline_code"] = decline.into();
        self.status = "requires_payment_method";
        self.error = Some(body["error"].clone());
        body["error"]["payment_intent"] = self.body(false);
        (status, body)
    }

    fn confirm(&mut self, whole: bool) -> (StatusCode, Value) {
        if !self.status.starts_with("requires_") {
            return self.unexpected("confirm");
        }
        match self.method.as_deref() {
            Some("pm_card_visa_chargeDeclined") => {
                return self.declined("card_declined", "generic_decline");
            }
            Some("pm_card_visa_chargeDeclinedInsufficientFunds") => {
                return self.declined("card_declined", "insufficient_funds");
            }
            Some("pm_detached") => {
                let message = "The PaymentMethod was detached.";
                return error(
                    400,
                    "invalid_request_error",
                    "payment_method_unusable",
                    message,
                );
            }
            Some("pm_card_authenticationRequired") => self.status = "requires_action",
            Some("pm_slow_bank") => self.status = "processing",
            _ => {
                self.status = "succeeded";
                self.charges += 1;
            }
        }
        (StatusCode::OK, self.body(whole))
    }

    fn cancel(&mut self, whole: bool) -> (StatusCode, Value) {
        if !self.status.starts_with("requires_") {
            return self.unexpected("cancel");
        }
        self.status = "canceled";
        (StatusCode::OK, self.body(whole))
    }
}
