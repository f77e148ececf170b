//! Header names, once.

use http::HeaderName;

/// The caller's API key.
pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// One HTTP attempt.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// One piece of work across services.
pub const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
/// W3C trace context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The caller's name for one intended effect.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Set on an answer that was given before.
pub const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Generation of the log.
pub const LOG_GEN: HeaderName = HeaderName::from_static("log-gen");
/// Next offset that the log will give.
pub const LOG_HEAD: HeaderName = HeaderName::from_static("log-head");
/// Cursor to send with the next poll.
pub const LOG_CURSOR: HeaderName = HeaderName::from_static("log-cursor");
/// Offset that a store's answer stands at.
pub const SYNC_OFFSET: HeaderName = HeaderName::from_static("x-sync-offset");
/// Events that a store is behind, when known.
pub const SYNC_LAG: HeaderName = HeaderName::from_static("x-sync-lag");
/// Whether central answers: `reachable` or `unreachable`.
pub const CENTRAL: HeaderName = HeaderName::from_static("x-central");
/// Offset that a read must have reached.
pub const MIN_OFFSET: HeaderName = HeaderName::from_static("x-min-offset");
/// On the answer to a write: whether the store's copy shows it already, `true` or `false`.
pub const SYNC_VISIBLE: HeaderName = HeaderName::from_static("x-sync-visible");
/// RFC 9211.
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// By which limit a request was counted, and how high that is (a draft of the IETF).
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// What is left of it.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// Seed 003's word for the limit.
pub const X_RATE_LIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
/// Seed 003's word for what is left.
pub const X_RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
/// Seed 003's word for when all is free again; seconds since 1970.
pub const X_RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
