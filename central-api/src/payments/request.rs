//! What is asked of a provider.

use std::fmt;
use std::sync::Arc;

use shared::clock::Timestamp;
use shared::domain::ids::{CorrelationId, InvalidId, check_id};
use shared::domain::money::Money;

/// The name of one intended movement of money, stable over every repetition and restart: one per
/// order for its charge, and one per refund.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PaymentKey(Arc<str>);

impl PaymentKey {
    /// Parses `text`, which follows the rule for ids.
    ///
    /// # Errors
    /// [`InvalidId`] if it does not.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        check_id(text)?;
        Ok(Self(Arc::from(text)))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PaymentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PaymentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// A charge that is asked for. Every repetition carries the same values: what is asked under a key
/// never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeRequest {
    /// One per order.
    pub key: PaymentKey,
    /// The order, as the provider is to show it to people.
    pub order_id: Arc<str>,
    /// How much, in hundredths of the currency.
    pub amount: Money,
    /// ISO 4217, three capital letters.
    pub currency: Arc<str>,
    /// What the customer pays with, in the provider's words. None is declined by a provider that
    /// needs one.
    pub method: Option<Arc<str>>,
    /// When this was first asked for, or earlier: the order's own time. A provider forgets keys
    /// after a while, and must then be asked in another way than by the key.
    pub since: Timestamp,
    /// The piece of work it belongs to.
    pub correlation: Option<CorrelationId>,
}

/// A refund that is asked for; the same in every repetition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundRequest {
    /// One per refund, other than the charge's.
    pub key: PaymentKey,
    /// How often the refund got another key at the provider, counted from 1: more after
    /// [`KeySpent`](super::RefundOutcome::KeySpent) only. The refund is the same one throughout.
    pub key_number: u32,
    /// The charge, as [`Paid::reference`](super::Paid::reference) named it.
    pub reference: Arc<str>,
    /// How much, in hundredths of the currency; at most what was charged.
    pub amount: Money,
    /// ISO 4217, the charge's.
    pub currency: Arc<str>,
    /// When this was first asked for, or earlier.
    pub since: Timestamp,
    /// The piece of work it belongs to.
    pub correlation: Option<CorrelationId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_follows_the_rule_for_ids() {
        assert_eq!(PaymentKey::parse("order-1").unwrap().as_str(), "order-1");
        for bad in ["", "a b", "a/b", &"x".repeat(129)] {
            assert!(PaymentKey::parse(bad).is_err(), "{bad:?}");
        }
    }
}
