//! Requests: how many, how they ended, how long they took, by route.
//!
//! A series is made when it is first needed, and there are few: a route is the template in our own
//! table (everything else is `-`), a method is one of HTTP's (everything else is `other`), a status is
//! its class.
//!
//! A request that waited because it was asked to, such as a long poll, is counted but not timed: its
//! time says nothing about the service.

use http::{Method, StatusCode};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge};

use super::counters;
use crate::service::request_context::{FinishedRequest, RequestObserver};

const LABELS: [&str; 3] = ["method", "route", "status"];

/// Upper ends of the buckets in seconds: from a read of the view to what a caller gives up on.
const BUCKETS: [f64; 16] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// Counts requests; cheap to clone.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: IntCounterVec,
    duration: HistogramVec,
    in_flight: IntGauge,
    abandoned: IntCounter,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        let duration = HistogramOpts::new(
            "holdfast_http_request_duration_seconds",
            "Time from a request's head to its answer's head, in seconds; without requests that waited because they were asked to.",
        );
        Self {
            requests: counters(
                "holdfast_http_requests_total",
                "Requests that were answered, by method, route template and status class; long polls included.",
                &LABELS,
                &[],
            ),
            duration: HistogramVec::new(duration.buckets(BUCKETS.to_vec()), &LABELS)
                .expect("a valid name and ascending buckets"),
            in_flight: IntGauge::new(
                "holdfast_http_requests_in_flight",
                "Requests that are being handled, parked long polls included.",
            )
            .expect("a valid name"),
            abandoned: IntCounter::new(
                "holdfast_http_requests_abandoned_total",
                "Requests whose caller went away before they were answered.",
            )
            .expect("a valid name"),
        }
    }
}

impl RequestObserver for HttpMetrics {
    fn began(&self) {
        self.in_flight.inc();
    }

    fn finished(&self, request: &FinishedRequest<'_>) {
        self.in_flight.dec();
        let labels = [method(request.method), request.route, class(request.status)];
        self.requests.with_label_values(&labels).inc();
        if !request.waited {
            let took = request.elapsed.as_secs_f64();
            self.duration.with_label_values(&labels).observe(took);
        }
    }

    fn abandoned(&self) {
        self.in_flight.dec();
        self.abandoned.inc();
    }
}

impl Collector for HttpMetrics {
    fn desc(&self) -> Vec<&Desc> {
        let all = self.all();
        all.into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let all = self.all();
        all.into_iter().flat_map(Collector::collect).collect()
    }
}

impl HttpMetrics {
    fn all(&self) -> [&dyn Collector; 4] {
        [
            &self.requests,
            &self.duration,
            &self.in_flight,
            &self.abandoned,
        ]
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
