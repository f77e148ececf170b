//! Taking money: the one step of an order that crosses a border.
//!
//! ```text
//!  caller ─▶ Guarded ───────────────▶ Simulated            in this process
//!             breaker ─ timeout   └─▶ Stripe ──HTTPS──▶ its payment intents
//! ```
//!
//! [`PaymentProvider`] is the whole of it: charge, void, refund. A call has not two ends but four:
//! it was done, it was refused for good, it never left, or **nobody knows**. The last is a value
//! like the others ([`Doubt`]), because a timeout turned into "declined" is how customers are
//! charged for orders that were given up, and a timeout turned into "try anew" is how they are
//! charged twice.
//!
//! What must stay true:
//!
//! - Everything asked under one [`PaymentKey`] has one effect at most, however often, however late
//!   and in whatever order the calls arrive. So an unknown end is settled by asking again with the
//!   same request, never by a new key. A refund whose key is spent gets another one, after a wait and
//!   a look ([`RefundOutcome::KeySpent`]); it stays one refund, named by its [`PaymentKey`].
//! - `Declined` and `Voided` are final: nothing is charged under the key, now or later. `Approved`
//!   and `Charged` are final too, until a refund. Whoever is not certain says [`Doubt`].
//! - `NotSent` speaks of this one call: no money moves because of it. What an earlier call did stays
//!   as unknown as it was.
//! - Secrets are in no log, no error and no `Debug`; nor is anything that a provider sent beyond
//!   codes and short sentences, see [`Text`].
//!
//! Left out: retries. When to ask again, and when to give up and void, is a decision about the
//! order, which its owner makes and writes down before it asks.

pub mod faulty;
pub mod guarded;
mod outcome;
mod request;
pub mod simulated;
pub mod stripe;

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use shared::clock::Clock;
use shared::policy::Breaker;

pub use guarded::Guarded;
pub use outcome::{ChargeOutcome, Doubt, NotSent, Paid, RefundOutcome, Text, VoidOutcome};
pub use request::{ChargeRequest, PaymentKey, RefundRequest};

use crate::config::{PaymentConfig, ProviderConfig};
use crate::faults::Faults;
use faulty::Faulty;
use simulated::Simulated;
use stripe::{ClientFault, Stripe};

/// How much longer than a caller waits a simulated `card_late` takes.
const LATE_FACTOR: u32 = 2;

/// Someone who moves money. Each call may take for ever: put a [`Guarded`] around it.
pub trait PaymentProvider: Send + Sync + fmt::Debug {
    /// Charges the amount once for the request's key. A repeat gives the same answer, or settles
    /// what was unknown.
    fn charge<'a>(&'a self, request: &'a ChargeRequest) -> BoxFuture<'a, ChargeOutcome>;

    /// Makes sure that nothing more is charged under the request's key, however late an earlier
    /// call arrives; or finds that it has been charged.
    fn void<'a>(&'a self, request: &'a ChargeRequest) -> BoxFuture<'a, VoidOutcome>;

    /// Gives money back, once for the request's key.
    fn refund<'a>(&'a self, request: &'a RefundRequest) -> BoxFuture<'a, RefundOutcome>;
}

/// The provider of the settings, behind its breaker; with `faults` its calls can fail on purpose.
///
/// # Errors
/// [`PaymentsFault`].
pub fn start(
    config: &PaymentConfig,
    clock: Arc<dyn Clock>,
    faults: Option<Arc<Faults>>,
) -> Result<Guarded, PaymentsFault> {
    let mut provider: Arc<dyn PaymentProvider> = match &config.provider {
        ProviderConfig::Simulated => {
            let late = config.timeout.saturating_mul(LATE_FACTOR);
            Arc::new(Simulated::new(clock, late))
        }
        ProviderConfig::Stripe { url, key } => Arc::new(Stripe::new(url, key, clock)?),
    };
    if let Some(faults) = faults {
        provider = Arc::new(Faulty::new(provider, faults));
    }
    let breaker = Breaker::try_new(config.breaker).map_err(|_| PaymentsFault::Breaker)?;
    Ok(Guarded::new(provider, breaker, config.timeout))
}

/// Why no provider can be made. Shows neither address nor key.
#[derive(Debug, thiserror::Error)]
pub enum PaymentsFault {
    /// The client of the provider cannot be made.
    #[error("cannot talk to the payment provider")]
    Client(#[from] ClientFault),
    /// The settings make no breaker.
    #[error("the settings make no breaker")]
    Breaker,
}
