//! A provider inside the process: for demonstrations, tests and whoever has no account yet.
//!
//! What happens is decided by the request alone, by its `method`:
//!
//! | method | first charge | repeats | void |
//! |---|---|---|---|
//! | `card_declined` | declined | declined | voided |
//! | `card_timeout` | no answer, nothing charged | likewise, always | voided |
//! | `card_lost_answer` | **charged**, connection lost | approved | charged |
//! | `card_late` | no answer; **charged** after the timeout | in progress; approved once it has landed | before it lands: voided, and it never lands; then: charged |
//! | `card_error` | 503 | 503 twice more, then **charged** and approved | voided before, charged after |
//! | `card_refund_refused` | **charged**, approved; every refund is refused | approved | charged |
//! | anything else, or none | **charged**, approved | approved | charged |
//!
//! An amount beyond [`SIMULATED_CHARGE_MINOR`](shared::limits::SIMULATED_CHARGE_MINOR) is declined
//! as `amount_too_large`, whatever the method. After a void every charge under the key is declined
//! as `voided`.
//!
//! It is a bank, not a table of answers: [`Bank`] keeps what was really charged and given back under
//! each key, and [`Simulated::statement`] shows it. That nobody is charged twice is proved by
//! looking there, not by counting answers.
//!
//! The bank lives in the process and ends with it; after kill -9 nothing was ever charged, as far as
//! it knows. So it answers such that a central which has forgotten nothing is not contradicted:
//! references are made of the key, hence the same again; a charge that was approved before is
//! approved again, after the same beginnings (`card_late` is unknown, then approved; `card_error`
//! fails three times, then is approved); a refund of a charge that this bank has not seen is given,
//! because only an earlier life can have named its reference. What it cannot do is remember a void,
//! or a charge that is only asked to be voided: it says `voided`, which is then true here. Whoever
//! wants to prove something across a crash needs a provider outside the process.
//!
//! "No answer" means that the call never ends: the timeout of a [`Guarded`](super::Guarded) is part
//! of the play.

pub mod bank;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use shared::clock::Clock;

use super::{
    ChargeOutcome, ChargeRequest, PaymentKey, PaymentProvider, RefundOutcome, RefundRequest,
    VoidOutcome,
};
use bank::{Bank, Statement};

/// A provider inside the process.
#[derive(Debug)]
pub struct Simulated {
    bank: Mutex<Bank>,
    clock: Arc<dyn Clock>,
}

impl Simulated {
    /// A bank that nobody has an account with; a `card_late` lands `late` after its first charge,
    /// by `clock`. That should be longer than callers wait.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, late: Duration) -> Self {
        Self {
            bank: Mutex::new(Bank::new(late)),
            clock,
        }
    }

    /// What really happened under `key` up to now; nothing, for a key that was never seen.
    #[must_use]
    pub fn statement(&self, key: &PaymentKey) -> Statement {
        self.bank.lock().statement(key, self.clock.now())
    }

    /// What really happened under every remembered key, added up.
    #[must_use]
    pub fn total(&self) -> Statement {
        self.bank.lock().total(self.clock.now())
    }
}

impl PaymentProvider for Simulated {
    fn charge<'a>(&'a self, request: &'a ChargeRequest) -> BoxFuture<'a, ChargeOutcome> {
        Box::pin(async move {
            let answer = self.bank.lock().charge(request, self.clock.now());
            match answer {
                Some(outcome) => outcome,
                None => std::future::pending().await,
            }
        })
    }

    fn void<'a>(&'a self, request: &'a ChargeRequest) -> BoxFuture<'a, VoidOutcome> {
        Box::pin(async move { self.bank.lock().void(request, self.clock.now()) })
    }

    fn refund<'a>(&'a self, request: &'a RefundRequest) -> BoxFuture<'a, RefundOutcome> {
        Box::pin(async move { self.bank.lock().refund(request, self.clock.now()) })
    }
}

#[cfg(test)]
mod tests;
