//! What the connections of a run ask for.

use std::io::Write;
use std::ops::Range;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

use crate::client::Response;
use crate::drive::Workload;
use crate::request::Template;
use crate::tally::Outcome;

/// The API key that the bench gives to every server it starts.
pub const KEY: &str = "demo";
/// Its admin key.
pub const ADMIN_KEY: &str = "admin-demo";

/// The id of the bench's product number `index`; all have the same length.
#[must_use]
pub fn product_id(index: usize) -> String {
    format!("P-{index:06}")
}

/// Names effects: never the same key twice, not even over several runs against one server.
#[derive(Debug)]
struct Keys {
    prefix: u64,
    next: u64,
}

impl Keys {
    fn new() -> Self {
        Self {
            prefix: rand::rng().random(),
            next: 0,
        }
    }

    fn write(&mut self, out: &mut Vec<u8>) {
        self.next = self.next.wrapping_add(1);
        write!(out, "{:016x}-{:08x}", self.prefix, self.next)
            .expect("writing to a Vec cannot fail");
    }
}

/// One update as the contract words it.
fn write_update(out: &mut Vec<u8>, product: usize, version: Option<i64>, keys: &mut Keys) {
    write!(out, r#""productId":"P-{product:06}","delta":-1,"#)
        .expect("writing to a Vec cannot fail");
    if let Some(version) = version {
        write!(out, r#""version":{version},"#).expect("writing to a Vec cannot fail");
    }
    out.extend_from_slice(br#""idempotencyKey":""#);
    keys.write(out);
    out.push(b'"');
}

/// Single updates of random products, each with its own key.
#[derive(Debug)]
pub struct Updates {
    template: Template,
    products: Range<usize>,
    keys: Keys,
    rng: SmallRng,
    body: Vec<u8>,
}

impl Updates {
    /// Updates through `path` of the products numbered `products`.
    #[must_use]
    pub fn new(path: &str, products: Range<usize>, connection: usize) -> Self {
        Self {
            template: Template::post_json(path, KEY),
            products,
            keys: Keys::new(),
            rng: seeded(connection),
            body: Vec::with_capacity(256),
        }
    }
}

impl Workload for Updates {
    fn request(&mut self, out: &mut Vec<u8>) {
        let product = self.rng.random_range(self.products.clone());
        self.body.clear();
        self.body.extend_from_slice(br#"{"storeId":"store-s1","#);
        write_update(&mut self.body, product, None, &mut self.keys);
        self.body.push(b'}');
        self.template.with_body(out, &self.body);
    }
}

/// Orders of one unit each, every one with its own key, paid by a card that is approved.
#[derive(Debug)]
pub struct Orders {
    template: Template,
    products: Range<usize>,
    keys: Keys,
    rng: SmallRng,
    body: Vec<u8>,
}

impl Orders {
    /// Orders of the products numbered `products`.
    #[must_use]
    pub fn new(products: Range<usize>, connection: usize) -> Self {
        Self {
            template: Template::post_json("/v1/orders", KEY),
            products,
            keys: Keys::new(),
            rng: seeded(connection),
            body: Vec::with_capacity(256),
        }
    }
}

impl Workload for Orders {
    fn request(&mut self, out: &mut Vec<u8>) {
        let product = self.rng.random_range(self.products.clone());
        self.body.clear();
        write!(
            self.body,
            r#"{{"storeId":"store-s1","customerId":"customer-{}","paymentMethod":"card","items":[{{"productId":"P-{product:06}","quantity":1}}],"idempotencyKey":""#,
            product % 1_000,
        )
        .expect("writing to a Vec cannot fail");
        self.keys.write(&mut self.body);
        self.body.extend_from_slice(b"\"}");
        self.template.with_body(out, &self.body);
    }
}

/// Holds of one unit each that run out within some spans of time.
#[derive(Debug)]
pub struct Holds {
    template: Template,
    products: Range<usize>,
    spans: Vec<Instant>,
    span: Duration,
    keys: Keys,
    rng: SmallRng,
    body: Vec<u8>,
}

impl Holds {
    /// Holds of the products numbered `products`; each runs out at a random moment of one of the
    /// `spans`, which are given by their beginnings and are `span` long.
    #[must_use]
    pub fn new(
        products: Range<usize>,
        spans: Vec<Instant>,
        span: Duration,
        connection: usize,
    ) -> Self {
        Self {
            template: Template::post_json("/v1/reservations", KEY),
            products,
            spans,
            span,
            keys: Keys::new(),
            rng: seeded(connection),
            body: Vec::with_capacity(256),
        }
    }

    /// A time to live, in whole seconds. It is rounded up, so a span must be longer than a second.
    fn ttl(&mut self) -> u64 {
        let now = Instant::now();
        let choice = self.rng.random_range(0..self.spans.len().max(1));
        let from = self.spans.get(choice).copied().unwrap_or(now);
        let second = Duration::from_secs(1);
        let into = self.span.saturating_sub(second).mul_f64(self.rng.random());
        from.saturating_duration_since(now).as_secs() + into.as_secs() + 1
    }
}

impl Workload for Holds {
    fn request(&mut self, out: &mut Vec<u8>) {
        let product = self.rng.random_range(self.products.clone());
        let ttl = self.ttl();
        self.body.clear();
        write!(
            self.body,
            r#"{{"storeId":"store-s1","owner":"bench","lines":[{{"productId":"P-{product:06}","quantity":1}}],"ttlSeconds":{ttl},"idempotencyKey":""#,
        )
        .expect("writing to a Vec cannot fail");
        self.keys.write(&mut self.body);
        self.body.extend_from_slice(b"\"}");
        self.template.with_body(out, &self.body);
    }
}

/// The same bodies, sent to the ceiling.
#[derive(Debug)]
pub struct Echo(Updates);

impl Echo {
    /// The caller of one connection.
    #[must_use]
    pub fn new(connection: usize) -> Self {
        Self(Updates::new("/echo", 0..10_000, connection))
    }
}

impl Workload for Echo {
    fn request(&mut self, out: &mut Vec<u8>) {
        self.0.request(out);
    }
}

/// Batches of updates in the form of seed 003: every line has its key.
#[derive(Debug)]
pub struct Batches {
    template: Template,
    products: Range<usize>,
    lines: usize,
    keys: Keys,
    rng: SmallRng,
    body: Vec<u8>,
}

impl Batches {
    /// Batches of `lines` random products.
    #[must_use]
    pub fn new(products: Range<usize>, lines: usize, connection: usize) -> Self {
        Self {
            template: Template::post_json("/v1/inventory/updates", KEY),
            products,
            lines,
            keys: Keys::new(),
            rng: seeded(connection),
            body: Vec::with_capacity(lines.saturating_mul(96)),
        }
    }
}

impl Workload for Batches {
    fn request(&mut self, out: &mut Vec<u8>) {
        self.body.clear();
        self.body
            .extend_from_slice(br#"{"storeId":"store-s1","updates":["#);
        for line in 0..self.lines {
            self.body
                .extend_from_slice(if line == 0 { b"{" } else { b",{" });
            let product = self.rng.random_range(self.products.clone());
            write_update(&mut self.body, product, None, &mut self.keys);
            self.body.push(b'}');
        }
        self.body.extend_from_slice(b"]}");
        self.template.with_body(out, &self.body);
    }

    fn judge(&mut self, response: &Response<'_>) -> Outcome {
        let succeeded = response
            .integer("succeeded")
            .and_then(|lines| u64::try_from(lines).ok());
        match succeeded {
            Some(lines) if response.is_success() && lines > 0 => Outcome::Done(lines),
            Some(_) | None => Outcome::Failed,
        }
    }
}

/// Updates of one product by callers who insist on the version they saw last. A caller who comes
/// too late learns the present version from the refusal and tries again with it.
#[derive(Debug)]
pub struct Versioned {
    template: Template,
    product: usize,
    version: i64,
    keys: Keys,
    body: Vec<u8>,
}

impl Versioned {
    /// Updates of the product numbered `product`, which is at `version` or beyond.
    #[must_use]
    pub fn new(product: usize, version: i64) -> Self {
        Self {
            template: Template::post_json("/v1/inventory/updates", KEY),
            product,
            version,
            keys: Keys::new(),
            body: Vec::with_capacity(256),
        }
    }
}

impl Workload for Versioned {
    fn request(&mut self, out: &mut Vec<u8>) {
        self.body.clear();
        self.body.extend_from_slice(br#"{"storeId":"store-s1","#);
        let version = Some(self.version);
        write_update(&mut self.body, self.product, version, &mut self.keys);
        self.body.push(b'}');
        self.template.with_body(out, &self.body);
    }

    fn judge(&mut self, response: &Response<'_>) -> Outcome {
        let Some(version) = response.integer("newVersion") else {
            return Outcome::Failed;
        };
        self.version = version;
        match response.status {
            200 => Outcome::Done(1),
            409 => Outcome::Refused,
            _ => Outcome::Failed,
        }
    }
}

/// Reads of single products.
#[derive(Debug)]
pub struct Reads {
    requests: Vec<Vec<u8>>,
    rng: SmallRng,
}

impl Reads {
    /// Most requests that are prepared: enough to be random, few enough to stay in the cache.
    const PREPARED: usize = 1_000;

    /// Reads of `<prefix>/<id>` for the products numbered `products`.
    #[must_use]
    pub fn new(prefix: &str, products: Range<usize>, connection: usize) -> Self {
        let mut rng = seeded(connection);
        let requests = (0..Self::PREPARED)
            .map(|_| {
                let id = product_id(rng.random_range(products.clone()));
                Template::get(&format!("{prefix}/{id}"), KEY)
            })
            .collect();
        Self { requests, rng }
    }

    /// Reads of exactly `paths`, in random order.
    #[must_use]
    pub fn of_paths(paths: &[String], connection: usize) -> Self {
        Self {
            requests: paths.iter().map(|path| Template::get(path, KEY)).collect(),
            rng: seeded(connection),
        }
    }
}

impl Workload for Reads {
    fn request(&mut self, out: &mut Vec<u8>) {
        out.clear();
        let choice = self.rng.random_range(0..self.requests.len().max(1));
        if let Some(request) = self.requests.get(choice) {
            out.extend_from_slice(request);
        }
    }
}

/// The same products on every run, different ones on every connection.
fn seeded(connection: usize) -> SmallRng {
    SmallRng::seed_from_u64(u64::try_from(connection).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn body_of(workload: &mut impl Workload) -> serde_json::Value {
        let mut request = Vec::new();
        workload.request(&mut request);
        let text = String::from_utf8(request).unwrap();
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }

    #[test]
    fn an_update_is_worded_as_in_the_contract() {
        let body = body_of(&mut Updates::new("/v1/inventory/updates", 7..8, 0));
        assert_eq!(body["storeId"], "store-s1");
        assert_eq!(body["productId"], product_id(7));
        assert_eq!(body["delta"], -1);
        assert_eq!(body["idempotencyKey"].as_str().unwrap().len(), 25);
        assert_eq!(body_of(&mut Versioned::new(1, 42))["version"], 42);
    }

    #[test]
    fn keys_never_repeat() {
        let mut keys = HashSet::new();
        for connection in 0..4 {
            let mut batches = Batches::new(0..10, 100, connection);
            for _ in 0..10 {
                let body = body_of(&mut batches);
                for line in body["updates"].as_array().unwrap() {
                    assert!(keys.insert(line["idempotencyKey"].as_str().unwrap().to_owned()));
                }
            }
        }
        assert_eq!(keys.len(), 4_000);
    }

    #[test]
    fn a_conflict_teaches_the_present_version() {
        let mut versioned = Versioned::new(1, 1);
        let refused = Response {
            status: 409,
            head: b"",
            body: br#"{"newVersion":9}"#,
        };
        assert_eq!(versioned.judge(&refused), Outcome::Refused);
        assert_eq!(body_of(&mut versioned)["version"], 9);
    }
}
