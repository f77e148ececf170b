//! Problem codes: one table that says, for each, the status, whether to try again, and whether
//! anything may have happened.
//!
//! No wildcard arm anywhere: a new code does not compile until it has answered every question.
//! Clients read the code, never the text.
//!
//! Longer than most files, because it is one table.

#![warn(clippy::wildcard_enum_match_arm)]

use std::fmt;

use http::StatusCode;
use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $word:literal, $title:literal;)+) => {
        /// A stable name for what went wrong. Alphabetical.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ProblemCode { $($(#[$doc])* $variant),+ }

        impl ProblemCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The code on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The short sentence that is the same for every occurrence.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }
        }
    };
}

codes! {
    /// The API key counts no more.
    ApiKeyEnded = "api_key_ended", "The API key counts no more.";
    /// Another API key that counts has the name.
    ApiKeyExists = "api_key_exists", "There is an API key with this name already.";
    /// No such API key.
    ApiKeyNotFound = "api_key_not_found", "There is no such API key.";
    /// The body is not what its content type says, or breaks a rule of the request's shape.
    BadRequest = "bad_request", "The request is malformed.";
    /// A batch that happens whole or not at all was refused, and no line for a conflict of its own.
    BatchRefused = "batch_refused", "Nothing of the batch was applied.";
    /// The caller took longer than allowed to send the request.
    BodyTimeout = "body_timeout", "The request body arrived too slowly.";
    /// The body is larger than allowed.
    BodyTooLarge = "body_too_large", "The request body is too large.";
    /// A store cannot reach central.
    CentralUnavailable = "central_unavailable", "The central service cannot be reached.";
    /// The feed was asked without a usable offset (seed 003's word).
    EventsError = "EVENTS_ERROR", "The feed needs a valid offset.";
    /// The key may not do this.
    Forbidden = "forbidden", "This key may not do this.";
    /// A call that moves stock came without a key.
    IdempotencyKeyRequired = "idempotency_key_required", "An idempotency key is required.";
    /// The same key came with another command.
    IdempotencyKeyReused = "idempotency_key_reused", "The idempotency key was used for another command.";
    /// The order cannot go from where it is to where it was asked to go.
    IllegalTransition = "illegal_transition", "The order cannot go there.";
    /// A fault on purpose, which only happens where an operator asked for it.
    InjectedFault = "injected_fault", "This call failed on purpose.";
    /// Not enough units.
    InsufficientInventory = "insufficient_inventory", "Not enough units are available.";
    /// A defect of ours.
    Internal = "internal_error", "Something went wrong on our side.";
    /// The change of stock is not a possible one.
    InvalidDelta = "invalid_delta", "The delta is not valid.";
    /// A field breaks its rule.
    InvalidRequest = "invalid_request", "The request is not valid.";
    /// The reader's log is not this log.
    LogDiverged = "log_diverged", "The log is not the one the reader followed.";
    /// The method does not exist here.
    MethodNotAllowed = "method_not_allowed", "This method is not allowed here.";
    /// A line names no product.
    MissingProductId = "missing_product_id", "A product id is required.";
    /// No answer type that the caller accepts.
    NotAcceptable = "not_acceptable", "No acceptable representation.";
    /// No such route.
    NotFound = "not_found", "There is nothing here.";
    /// The money is not where a refund could take it from.
    NotRefundable = "not_refundable", "The payment cannot be refunded.";
    /// A store that has never seen the catalogue is asked for it.
    NotSyncedYet = "not_synced_yet", "The store has not received the catalogue yet.";
    /// The reader is ahead of the log.
    OffsetAhead = "offset_ahead", "The offset lies beyond the head of the log.";
    /// The log no longer goes back that far.
    OffsetGone = "offset_gone", "The log no longer holds this offset.";
    /// The id for a new order is taken.
    OrderExists = "order_exists", "The order exists already.";
    /// No such order.
    OrderNotFound = "order_not_found", "There is no such order.";
    /// The order can no longer be edited.
    OrderSettled = "order_settled", "The order can no longer be edited.";
    /// Too many requests wait already.
    Overloaded = "overloaded", "The service is overloaded.";
    /// The payment provider refused to charge.
    PaymentDeclined = "payment_declined", "The payment was declined.";
    /// No such payment.
    PaymentNotFound = "payment_not_found", "There is no such payment.";
    /// The order was given up before it was paid.
    PaymentTimeout = "payment_timeout", "The order was not paid in time.";
    /// The breaker around the payment provider is open.
    PaymentUnavailable = "payment_unavailable", "The payment provider cannot be reached.";
    /// A conditional request did not hold.
    PreconditionFailed = "precondition_failed", "The precondition does not hold.";
    /// A conditional header is required here.
    PreconditionRequired = "precondition_required", "A precondition is required.";
    /// The catalogue has other prices than the buyer was shown.
    PriceChanged = "price_changed", "The price has changed.";
    /// The product is there already.
    ProductExists = "product_exists", "The product exists already.";
    /// No such product.
    ProductNotFound = "product_not_found", "There is no such product.";
    /// Too many requests.
    RateLimited = "rate_limited", "Too many requests.";
    /// The id for a new reservation is taken.
    ReservationExists = "reservation_exists", "The reservation exists already.";
    /// The units are no longer held.
    ReservationExpired = "reservation_expired", "The reservation has run out.";
    /// No such reservation.
    ReservationNotFound = "reservation_not_found", "There is no such reservation.";
    /// The order alone resolves it.
    ReservationOfOrder = "reservation_of_order", "The reservation belongs to an order.";
    /// It was resolved otherwise before.
    ReservationResolved = "reservation_resolved", "The reservation is resolved already.";
    /// The hold would last longer than any may.
    ReservationTooLong = "reservation_too_long", "The reservation would last too long.";
    /// The service is stopping.
    ShuttingDown = "shutting_down", "The service is shutting down.";
    /// The stock figure would leave its range.
    StockOutOfRange = "stock_out_of_range", "The stock figure would leave its range.";
    /// The disk has no room for anything new.
    StorageFull = "storage_full", "There is no room to write down anything new.";
    /// An answer did not come in time; the outcome is unknown.
    Timeout = "timeout", "The outcome is not known.";
    /// As many API keys count as are kept.
    TooManyApiKeys = "too_many_api_keys", "There are too many API keys.";
    /// The items cost more than an amount can say.
    TotalTooLarge = "total_too_large", "The total is too large.";
    /// No key, or an unknown one.
    Unauthorized = "unauthorized", "An API key is required.";
    /// Units of the product are promised.
    UnitsPromised = "units_promised", "Units of this product are promised.";
    /// The body's type is not one we read.
    UnsupportedMediaType = "unsupported_media_type", "The content type is not supported.";
    /// A field breaks its rule (the word of seed-003 admin calls).
    ValidationError = "validation_error", "The request is not valid.";
    /// The caller saw another version.
    VersionConflict = "version_conflict", "It has changed meanwhile.";
}

impl ProblemCode {
    /// The status it is sent with.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest
            | Self::EventsError
            | Self::IdempotencyKeyRequired
            | Self::InvalidDelta
            | Self::InvalidRequest
            | Self::MissingProductId
            | Self::ValidationError => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound
            | Self::ApiKeyNotFound
            | Self::OrderNotFound
            | Self::PaymentNotFound
            | Self::ProductNotFound
            | Self::ReservationNotFound => StatusCode::NOT_FOUND,
            Self::PaymentDeclined => StatusCode::PAYMENT_REQUIRED,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BatchRefused
            | Self::InsufficientInventory
            | Self::ApiKeyEnded
            | Self::ApiKeyExists
            | Self::IllegalTransition
            | Self::NotRefundable
            | Self::OrderExists
            | Self::OrderSettled
            | Self::PaymentTimeout
            | Self::PriceChanged
            | Self::ReservationExists
            | Self::ReservationExpired
            | Self::ReservationOfOrder
            | Self::ReservationResolved
            | Self::ReservationTooLong
            | Self::TotalTooLarge
            | Self::LogDiverged
            | Self::OffsetAhead
            | Self::ProductExists
            | Self::StockOutOfRange
            | Self::TooManyApiKeys
            | Self::UnitsPromised
            | Self::VersionConflict => StatusCode::CONFLICT,
            Self::OffsetGone => StatusCode::GONE,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::PreconditionRequired => StatusCode::PRECONDITION_REQUIRED,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::InjectedFault | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::CentralUnavailable
            | Self::PaymentUnavailable
            | Self::NotSyncedYet
            | Self::Overloaded
            | Self::ShuttingDown
            | Self::StorageFull => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::BodyTimeout
            | Self::CentralUnavailable
            | Self::InjectedFault
            | Self::NotSyncedYet
            | Self::OffsetAhead
            | Self::Overloaded
            | Self::PaymentUnavailable
            | Self::RateLimited
            | Self::ShuttingDown
            | Self::StorageFull
            | Self::Timeout => true,
            Self::ApiKeyEnded
            | Self::ApiKeyExists
            | Self::ApiKeyNotFound
            | Self::TooManyApiKeys
            | Self::BadRequest
            | Self::BatchRefused
            | Self::BodyTooLarge
            | Self::EventsError
            | Self::Forbidden
            | Self::IdempotencyKeyRequired
            | Self::IdempotencyKeyReused
            | Self::InsufficientInventory
            | Self::IllegalTransition
            | Self::NotRefundable
            | Self::OrderNotFound
            | Self::OrderExists
            | Self::OrderSettled
            | Self::PaymentDeclined
            | Self::PaymentNotFound
            | Self::PaymentTimeout
            | Self::PriceChanged
            | Self::ReservationExists
            | Self::ReservationExpired
            | Self::ReservationNotFound
            | Self::ReservationOfOrder
            | Self::ReservationResolved
            | Self::ReservationTooLong
            | Self::TotalTooLarge
            | Self::Internal
            | Self::InvalidDelta
            | Self::InvalidRequest
            | Self::LogDiverged
            | Self::MethodNotAllowed
            | Self::MissingProductId
            | Self::NotAcceptable
            | Self::NotFound
            | Self::OffsetGone
            | Self::PreconditionFailed
            | Self::PreconditionRequired
            | Self::ProductExists
            | Self::ProductNotFound
            | Self::StockOutOfRange
            | Self::Unauthorized
            | Self::UnitsPromised
            | Self::UnsupportedMediaType
            | Self::ValidationError
            | Self::VersionConflict => false,
        }
    }

    /// Whether it is certain that the request changed nothing.
    #[must_use]
    pub const fn has_no_side_effects(self) -> bool {
        match self {
            // Asked someone and do not know; a defect, about which nothing is certain; or a fault
            // that may come after the deed.
            Self::Timeout | Self::Internal | Self::InjectedFault => false,
            Self::ApiKeyEnded
            | Self::ApiKeyExists
            | Self::ApiKeyNotFound
            | Self::TooManyApiKeys
            | Self::BadRequest
            | Self::BatchRefused
            | Self::BodyTimeout
            | Self::BodyTooLarge
            | Self::CentralUnavailable
            | Self::EventsError
            | Self::Forbidden
            | Self::IdempotencyKeyRequired
            | Self::IdempotencyKeyReused
            | Self::InsufficientInventory
            | Self::IllegalTransition
            | Self::NotRefundable
            | Self::OrderNotFound
            | Self::OrderExists
            | Self::OrderSettled
            // An order that failed is written down; it holds and costs nothing.
            | Self::PaymentDeclined
            | Self::PaymentTimeout
            | Self::PaymentNotFound
            | Self::PaymentUnavailable
            | Self::PriceChanged
            | Self::ReservationExists
            | Self::ReservationExpired
            | Self::ReservationNotFound
            | Self::ReservationOfOrder
            | Self::ReservationResolved
            | Self::ReservationTooLong
            | Self::TotalTooLarge
            | Self::InvalidDelta
            | Self::InvalidRequest
            | Self::LogDiverged
            | Self::MethodNotAllowed
            | Self::MissingProductId
            | Self::NotAcceptable
            | Self::NotFound
            | Self::NotSyncedYet
            | Self::OffsetAhead
            | Self::OffsetGone
            | Self::Overloaded
            | Self::PreconditionFailed
            | Self::PreconditionRequired
            | Self::ProductExists
            | Self::ProductNotFound
            | Self::RateLimited
            | Self::ShuttingDown
            | Self::StorageFull
            | Self::StockOutOfRange
            | Self::Unauthorized
            | Self::UnitsPromised
            | Self::UnsupportedMediaType
            | Self::ValidationError
            | Self::VersionConflict => true,
        }
    }
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One fault of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// Where, such as `updates[3].delta`, `query.limit` or `header.X-Request-ID`.
    pub field: String,
    /// What, as a sentence for people.
    pub issue: String,
}

impl Detail {
    /// A fault at `field`.
    #[must_use]
    pub fn new(field: impl Into<String>, issue: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            issue: issue.into(),
        }
    }
}

/// Something that went wrong, before it becomes an HTTP answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Which kind.
    pub code: ProblemCode,
    /// This occurrence, for people. Never a path, a stack or another system's message.
    pub detail: String,
    /// Every fault found.
    pub details: Vec<Detail>,
    /// Seconds after which to try again.
    pub retry_after_seconds: Option<u32>,
    /// Further members of the body, such as the current version.
    pub extra: serde_json::Map<String, serde_json::Value>,
}

impl Problem {
    /// A problem of kind `code`.
    #[must_use]
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            details: Vec::new(),
            retry_after_seconds: None,
            extra: serde_json::Map::new(),
        }
    }

    /// A problem of kind `code` whose sentence is made from its faults.
    #[must_use]
    pub fn with_details(code: ProblemCode, details: Vec<Detail>) -> Self {
        let sentence = match details.as_slice() {
            [only] => format!("{}: {}", only.field, only.issue),
            many => format!("{} faults; see details", many.len()),
        };
        Self {
            details,
            ..Self::new(code, sentence)
        }
    }

    /// The same with a further member in its body.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }

    /// The same, of another kind.
    #[must_use]
    pub const fn with_code(mut self, code: ProblemCode) -> Self {
        self.code = code;
        self
    }

    /// The same, to be tried again after `seconds`.
    #[must_use]
    pub const fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// The body of RFC 9457, with `code`, `message` and `details` beside its members.
    #[must_use]
    pub fn body(&self, instance: &str, request_id: &str) -> serde_json::Value {
        let mut body = self.extra.clone();
        let mut put = |name: &str, value: serde_json::Value| {
            body.insert(name.to_owned(), value);
        };
        put("type", format!("/problems/{}", self.code).into());
        put("title", self.code.title().into());
        put("status", self.code.status().as_u16().into());
        put("detail", self.detail.as_str().into());
        put("instance", instance.into());
        put("code", self.code.as_str().into());
        put("message", self.detail.as_str().into());
        put("retryable", self.code.is_retryable().into());
        put("requestId", request_id.into());
        let details = self.details.iter();
        let details =
            details.map(|one| serde_json::json!({"field": one.field, "issue": one.issue}));
        put("details", details.collect::<Vec<_>>().into());
        serde_json::Value::Object(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_alphabetical_and_distinct() {
        let names: Vec<_> = ProblemCode::ALL
            .iter()
            .map(|code| format!("{code:?}"))
            .collect();
        assert!(names.is_sorted(), "{names:?}");
        let mut words: Vec<_> = ProblemCode::ALL.iter().map(|code| code.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), ProblemCode::ALL.len());
    }

    #[test]
    fn statuses_keep_the_retry_promise() {
        for code in ProblemCode::ALL {
            let status = code.status().as_u16();
            assert!((400..600).contains(&status), "{code}");
            // 503 and 429: nothing happened, try again. 504: do not know. 500: only for defects,
            // ours or made on purpose.
            match status {
                503 | 429 => assert!(code.is_retryable() && code.has_no_side_effects(), "{code}"),
                504 => assert!(code.is_retryable() && !code.has_no_side_effects(), "{code}"),
                500 => assert!(
                    matches!(code, ProblemCode::Internal | ProblemCode::InjectedFault),
                    "{code}"
                ),
                _ => assert!(code.has_no_side_effects(), "{code}"),
            }
        }
    }
}
