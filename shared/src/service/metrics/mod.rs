//! Metrics: what a service tells Prometheus, on a port of its own.
//!
//! ```text
//! requests ─▶ counters by route ────────────┐
//! flusher, runner, follower ─▶ counters ────┼─▶ Metrics (one registry) ─▶ GET /metrics
//! published views ─ read when asked ────────┘
//! ```
//!
//! Whatever exists as a figure already is read when somebody scrapes ([`Readings`]) and costs nothing
//! otherwise. Everything else is a counter or a histogram of the crate, held by whoever counts and
//! registered by the service; requests are counted in [`HttpMetrics`].
//!
//! `docs/metrics.md` lists every name; a test of each service compares that list, and the labels and
//! help texts, with what is served.
//!
//! What must stay true: one registry a service and none for the process, so that two services in one
//! process, as tests run them, do not share counters; every label has few values that are known
//! beforehand, so no id of a product, order or key is ever one; nothing that is served is secret, since
//! it is served without a key.
//!
//! Left out: metrics pushed anywhere, and what a service measures of itself beyond this; those are in
//! the services.

mod breaker;
mod process;
mod reading;
mod requests;
mod serve;

pub use reading::{Family, Figure, Readings};
pub use requests::HttpMetrics;
pub use serve::{Listeners, ListenersFault, Scraped};

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry, TextEncoder,
};

use reading::OnScrape;

const BUILD_INFO: Family = Family::gauge(
    "holdfast_build_info",
    "Always 1; the labels say which service this is, and its version.",
    &["service", "version"],
);

/// Everything that one service measures.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// What every service measures of itself: the process, the build, and its requests.
    #[must_use]
    pub fn of_service(service: &'static str, version: &'static str, http: &HttpMetrics) -> Self {
        let metrics = Self {
            registry: Registry::new(),
        };
        metrics.register(http.clone());
        metrics.on_scrape(process::FAMILIES, process::read);
        metrics.on_scrape(&[&BUILD_INFO], move |into| {
            into.put(&BUILD_INFO, &[service, version], 1_u64);
        });
        metrics
    }

    /// Adds something that counts by itself.
    ///
    /// # Panics
    /// Its name is taken, which is a mistake in the program and found by any test that starts it.
    pub fn register(&self, collector: impl Collector + 'static) {
        let registered = self.registry.register(Box::new(collector));
        registered.expect("every metric is registered once");
    }

    /// Adds figures that `read` looks up whenever somebody scrapes; it may block for a moment.
    ///
    /// # Panics
    /// As [`register`](Self::register).
    pub fn on_scrape(
        &self,
        families: &'static [&'static Family],
        read: impl Fn(&mut Readings) + Send + Sync + 'static,
    ) {
        self.register(OnScrape::new(families, read));
    }

    /// Everything as it stands, in Prometheus' text format. Blocks for a moment: not for a thread that
    /// serves requests.
    ///
    /// # Errors
    /// A family without a name or type, which none of ours is.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

/// A counter whose one label has one value in this service.
///
/// # Panics
/// A name that is none, here and below: a mistake in the program.
#[must_use]
pub fn counter_of(name: &str, help: &str, (label, value): (&str, &str)) -> IntCounter {
    let options = Opts::new(name, help).const_label(label, value);
    IntCounter::with_opts(options).expect("a valid name")
}

/// A counter for each combination of labels in `known`, which are there from the start: a graph of
/// failures should begin at 0 and not with the first failure.
#[must_use]
pub fn counters(name: &str, help: &str, labels: &[&str], known: &[&[&str]]) -> IntCounterVec {
    let counters = IntCounterVec::new(Opts::new(name, help), labels).expect("a valid name");
    for values in known {
        // Made by being asked for.
        drop(counters.with_label_values(values));
    }
    counters
}

/// A distribution over `buckets`, given by their upper ends.
#[must_use]
pub fn histogram(name: &str, help: &str, buckets: &[f64]) -> Histogram {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    Histogram::with_opts(options).expect("a valid name and ascending buckets")
}

/// The same for each value of one label, all of which are there from the start.
#[must_use]
pub fn histograms(
    name: &str,
    help: &str,
    buckets: &[f64],
    label: &str,
    known: &[&str],
) -> HistogramVec {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    let histograms = HistogramVec::new(options, &[label]).expect("a valid name");
    for value in known {
        drop(histograms.with_label_values(&[value]));
    }
    histograms
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests;
