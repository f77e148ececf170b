//! How a service says how it is.
//!
//! A report is the worst of its checks. *Degraded* still answers 200: the service does its work,
//! with something missing that a person should know of (a store without central). Only *unhealthy*
//! answers 503, because that is what takes an instance out of a load balancer.
//!
//! What the checks are is the service's own business; they must be real (write to the log's disk,
//! ask the writer), cheap, and bounded in time.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use serde::Serialize;

use crate::clock::Timestamp;

/// How well something is; ordered from best to worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// As it should be.
    #[default]
    Healthy,
    /// Works, with something missing.
    Degraded,
    /// Does not work.
    Unhealthy,
}

/// What one check found.
#[derive(Clone, Debug, Serialize)]
pub struct HealthCheck {
    /// How well it is.
    pub status: HealthStatus,
    /// One sentence for people; no paths, no addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Cow<'static, str>>,
    /// Figures, such as the lag of a follower.
    #[serde(flatten)]
    pub figures: BTreeMap<&'static str, serde_json::Value>,
}

impl HealthCheck {
    /// A check that found `status`.
    #[must_use]
    pub const fn new(status: HealthStatus) -> Self {
        Self {
            status,
            detail: None,
            figures: BTreeMap::new(),
        }
    }

    /// The same with a sentence.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The same with a figure.
    #[must_use]
    pub fn figure(mut self, name: &'static str, value: impl Into<serde_json::Value>) -> Self {
        self.figures.insert(name, value.into());
        self
    }
}

/// How a service is.
#[derive(Clone, Debug, Serialize)]
pub struct HealthReport {
    status: HealthStatus,
    service: Cow<'static, str>,
    version: &'static str,
    timestamp: Timestamp,
    checks: BTreeMap<&'static str, HealthCheck>,
}

impl HealthReport {
    /// A report of `service` in `version` without checks: healthy.
    #[must_use]
    pub fn new(
        service: impl Into<Cow<'static, str>>,
        version: &'static str,
        now: Timestamp,
    ) -> Self {
        Self {
            status: HealthStatus::Healthy,
            service: service.into(),
            version,
            timestamp: now,
            checks: BTreeMap::new(),
        }
    }

    /// The same with one more check, which can only make it worse.
    #[must_use]
    pub fn check(mut self, name: &'static str, check: HealthCheck) -> Self {
        self.status = self.status.max(check.status);
        self.checks.insert(name, check);
        self
    }

    /// The worst of the checks.
    #[must_use]
    pub const fn status(&self) -> HealthStatus {
        self.status
    }
}

impl IntoResponse for HealthReport {
    fn into_response(self) -> Response {
        let status = match self.status {
            HealthStatus::Healthy | HealthStatus::Degraded => StatusCode::OK,
            HealthStatus::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, [(CACHE_CONTROL, "no-store")], Json(self)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_as_bad_as_its_worst_check() {
        use HealthStatus::{Degraded, Healthy, Unhealthy};
        for (checks, expected, answer) in [
            (vec![], Healthy, 200),
            (vec![Healthy, Degraded, Healthy], Degraded, 200),
            (vec![Unhealthy, Degraded], Unhealthy, 503),
        ] {
            let mut report = HealthReport::new("central-api", "1.2.3", Timestamp::default());
            for (name, status) in ["a", "b", "c"].into_iter().zip(checks) {
                report = report.check(name, HealthCheck::new(status));
            }
            assert_eq!(report.status(), expected);
            assert_eq!(report.into_response().status().as_u16(), answer);
        }
    }

    #[test]
    fn the_words_on_the_wire() {
        let check = HealthCheck::new(HealthStatus::Degraded);
        let check = check
            .detail("central cannot be reached")
            .figure("lagEvents", 7);
        let report = HealthReport::new("store-s1-api", "1.2.3", Timestamp::default());
        let written = serde_json::to_value(report.check("central", check)).unwrap();
        assert_eq!(
            written,
            serde_json::json!({
                "status": "degraded", "service": "store-s1-api", "version": "1.2.3",
                "timestamp": "1970-01-01T00:00:00.000Z",
                "checks": {"central": {
                    "status": "degraded", "detail": "central cannot be reached", "lagEvents": 7,
                }},
            })
        );
    }
}
