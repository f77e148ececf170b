//! Requests: how many, how they ended, how long they took, by route.
//!
//! Counted in plain numbers behind a lock that belongs to one worker: a request is begun and answered
//! on one thread, so nobody waits for that lock but a scrape, for a moment. A series is made when it is
//! first needed, and there are few: a route is the template in our own table (everything else is `-`),
//! a method is one of HTTP's (everything else is `other`), a status is its class.
//!
//! A request that waited because it was asked to, such as a long poll, is counted but not timed: its
//! time says nothing about the service.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::{Equivalent, HashMap};
use http::{Method, StatusCode};
use parking_lot::Mutex;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, Metric, MetricFamily, MetricType};

use super::reading::{Figure, pairs};
use crate::service::request_context::{FinishedRequest, RequestObserver};
use crate::service::workers;

const REQUESTS: &str = "holdfast_http_requests_total";
const DURATION: &str = "holdfast_http_request_duration_seconds";
const IN_FLIGHT: &str = "holdfast_http_requests_in_flight";
const ABANDONED: &str = "holdfast_http_requests_abandoned_total";

const LABELS: [&str; 3] = ["method", "route", "status"];

/// Upper ends of the buckets in microseconds: from a read of the view to what a caller gives up on.
const BUCKETS_US: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// Counts requests; cheap to clone.
#[derive(Clone, Debug)]
pub struct HttpMetrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    descs: Vec<Desc>,
    /// One for each worker.
    lanes: Vec<Lane>,
}

/// What one worker counted. Apart from the others in memory, so that cores do not share a line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Lane {
    /// May be negative, where a request ends on another worker than it began; the sum is right.
    in_flight: AtomicI64,
    abandoned: AtomicU64,
    series: Mutex<HashMap<Series, Tally, RandomState>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Series {
    method: &'static str,
    route: Box<str>,
    status: &'static str,
}

/// A [`Series`] to be looked for; hashes like one.
#[derive(Hash)]
struct Wanted<'a> {
    method: &'static str,
    route: &'a str,
    status: &'static str,
}

impl Equivalent<Series> for Wanted<'_> {
    fn equivalent(&self, series: &Series) -> bool {
        self.method == series.method && self.route == &*series.route && self.status == series.status
    }
}

#[derive(Clone, Debug, Default)]
struct Tally {
    requests: u64,
    /// Those that did not wait on purpose.
    timed: u64,
    took: Duration,
    /// Each request in its own bucket only; longer ones are in none.
    buckets: [u64; BUCKETS_US.len()],
}

impl Tally {
    fn add(&mut self, request: &FinishedRequest<'_>) {
        self.requests += 1;
        if request.waited {
            return;
        }
        self.timed += 1;
        self.took = self.took.saturating_add(request.elapsed);
        let us = u64::try_from(request.elapsed.as_micros()).unwrap_or(u64::MAX);
        let at = BUCKETS_US.partition_point(|end| *end < us);
        if let Some(bucket) = self.buckets.get_mut(at) {
            *bucket += 1;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.timed += other.timed;
        self.took = self.took.saturating_add(other.took);
        for (sum, bucket) in self.buckets.iter_mut().zip(other.buckets) {
            *sum += bucket;
        }
    }
}

impl Default for HttpMetrics {
    /// Counters for as many workers as there are cores.
    fn default() -> Self {
        let lanes = std::thread::available_parallelism().map_or(1, usize::from);
        let desc = |name: &str, help: &str, labels: &[&str]| {
            let labels = labels.iter().map(|&label| label.to_owned()).collect();
            let none = std::collections::HashMap::new();
            Desc::new(name.to_owned(), help.to_owned(), labels, none).expect("a valid name")
        };
        let descs = vec![
            desc(
                REQUESTS,
                "Requests that were answered, by method, route template and status class; long polls included.",
                &LABELS,
            ),
            desc(
                DURATION,
                "Time from a request's head to its answer's head, in seconds; without requests that waited because they were asked to.",
                &LABELS,
            ),
            desc(
                IN_FLIGHT,
                "Requests that are being handled, parked long polls included.",
                &[],
            ),
            desc(
                ABANDONED,
                "Requests whose caller went away before they were answered.",
                &[],
            ),
        ];
        Self(Arc::new(Inner {
            descs,
            lanes: (0..lanes).map(|_| Lane::default()).collect(),
        }))
    }
}

impl HttpMetrics {
    fn lane(&self) -> Option<&Lane> {
        let lanes = &self.0.lanes;
        lanes.get(workers::here() % lanes.len().max(1))
    }
}

impl RequestObserver for HttpMetrics {
    fn began(&self) {
        if let Some(lane) = self.lane() {
            lane.in_flight.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn finished(&self, request: &FinishedRequest<'_>) {
        let Some(lane) = self.lane() else { return };
        lane.in_flight.fetch_sub(1, Ordering::Relaxed);
        let wanted = Wanted {
            method: method(request.method),
            route: request.route,
            status: class(request.status),
        };
        let mut series = lane.series.lock();
        if let Some(tally) = series.get_mut(&wanted) {
            return tally.add(request);
        }
        let new = Series {
            method: wanted.method,
            route: wanted.route.into(),
            status: wanted.status,
        };
        series.entry(new).or_default().add(request);
    }

    fn abandoned(&self) {
        if let Some(lane) = self.lane() {
            lane.in_flight.fetch_sub(1, Ordering::Relaxed);
            lane.abandoned.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A method as a label; anybody can send any word.
fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        "PATCH" => "PATCH",
        _ => "other",
    }
}

/// A status as a label.
fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        ..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500.. => "5xx",
    }
}

impl Collector for HttpMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.0.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut all: HashMap<Series, Tally> = HashMap::new();
        let (mut in_flight, mut abandoned) = (0_i64, 0_u64);
        for lane in &self.0.lanes {
            in_flight += lane.in_flight.load(Ordering::Relaxed);
            abandoned += lane.abandoned.load(Ordering::Relaxed);
            for (series, tally) in lane.series.lock().iter() {
                all.entry(series.clone()).or_default().merge(tally);
            }
        }
        let mut families: Vec<_> = self.0.descs.iter().map(empty_family).collect();
        let [requests, duration, flying, gone] = families.as_mut_slice() else {
            return families;
        };
        requests.set_field_type(MetricType::COUNTER);
        duration.set_field_type(MetricType::HISTOGRAM);
        flying.set_field_type(MetricType::GAUGE);
        gone.set_field_type(MetricType::COUNTER);
        for (series, tally) in &all {
            let labels = pairs(&LABELS, &[series.method, &series.route, series.status]);
            let mut counted = Metric::from_label(labels.clone());
            counted.set_counter(counter(tally.requests));
            requests.mut_metric().push(counted);
            let mut timed = Metric::from_label(labels);
            timed.set_histogram(histogram(tally));
            duration.mut_metric().push(timed);
        }
        let mut now = Metric::default();
        let mut gauge = Gauge::default();
        gauge.set_value(in_flight.max(0).figure());
        now.set_gauge(gauge);
        flying.mut_metric().push(now);
        let mut left = Metric::default();
        left.set_counter(counter(abandoned));
        gone.mut_metric().push(left);
        families
    }
}

fn empty_family(desc: &Desc) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(desc.fq_name.clone());
    family.set_help(desc.help.clone());
    family
}

fn counter(value: u64) -> Counter {
    let mut counter = Counter::default();
    counter.set_value(value.figure());
    counter
}

/// Buckets hold what is in the smaller ones too, as the format wants it.
fn histogram(tally: &Tally) -> Histogram {
    let mut up_to_here = 0;
    let buckets = BUCKETS_US.iter().zip(tally.buckets).map(|(end, count)| {
        up_to_here += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(Duration::from_micros(*end).figure());
        bucket.set_cumulative_count(up_to_here);
        bucket
    });
    let buckets = buckets.collect();
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets);
    histogram.set_sample_count(tally.timed);
    histogram.set_sample_sum(tally.took.figure());
    histogram
}
