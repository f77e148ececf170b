//! Who asks, and under which names.

use super::ids::{CorrelationId, IdempotencyKey, Principal, RequestId, StoreId};

/// Where a command comes from. It decides nothing about stock; it is recorded with what was
/// decided, and scopes the idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Who acts.
    pub principal: Principal,
    /// For which shop.
    pub store: Option<StoreId>,
    /// The caller's name for this effect; `None` only for commands that need none.
    pub key: Option<IdempotencyKey>,
    /// The HTTP attempt.
    pub request: RequestId,
    /// The piece of work, where it is not this attempt alone.
    pub correlation: Option<CorrelationId>,
}

impl Origin {
    /// An origin inside this service: a timer, an import at start, a test.
    ///
    /// # Panics
    /// If `name` is not an id; names of internal actors are literals.
    #[must_use]
    pub fn internal(name: &str) -> Self {
        Self {
            principal: Principal::parse(name).expect("internal actor names are valid ids"),
            store: None,
            key: None,
            request: RequestId::parse(name).expect("internal actor names are valid ids"),
            correlation: None,
        }
    }
}
