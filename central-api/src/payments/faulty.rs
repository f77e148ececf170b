//! A provider whose calls fail on purpose, as a line to a real one does.
//!
//! Stands between [`Guarded`](super::Guarded) and the real provider, so that breaker and timeout see
//! what they would see. A fault *before* loses the question: the provider never hears of it. One
//! *after the commit* loses the answer: the money has moved. The caller is told the same in both
//! cases, for that is the point: it does not know, and asks again under the same key.
//!
//! What must stay true: a fault never makes up a decision. No charge is called declined that the
//! provider did not decline.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use shared::domain::ids::CorrelationId;
use shared::policy::faults::{Action, Target, When};

use super::outcome::Ending;
use super::{
    ChargeOutcome, ChargeRequest, Doubt, PaymentProvider, RefundOutcome, RefundRequest, VoidOutcome,
};
use crate::faults::Faults;

/// What a provider that fails answers.
const SERVER_ERROR: u16 = 500;

/// A [`PaymentProvider`] whose calls fail by a plan.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn PaymentProvider>,
    faults: Arc<Faults>,
}

impl Faulty {
    /// Lets calls to `inner` fail by `faults`.
    #[must_use]
    pub fn new(inner: Arc<dyn PaymentProvider>, faults: Arc<Faults>) -> Self {
        Self { inner, faults }
    }

    async fn call<E: Ending>(
        &self,
        correlation: Option<&CorrelationId>,
        ask: impl Future<Output = E>,
    ) -> E {
        if let Some(ending) = self.fail(When::Before, correlation).await {
            return ending;
        }
        let ending = ask.await;
        let lost = self.fail(When::AfterCommit, correlation).await;
        lost.unwrap_or(ending)
    }

    /// What the caller gets instead; waits if that is the fault.
    async fn fail<E: Ending>(&self, when: When, correlation: Option<&CorrelationId>) -> Option<E> {
        let id = correlation.map(CorrelationId::as_str);
        match self.faults.next(Target::Payments, when, id)? {
            Action::Delay(delay) => {
                tokio::time::sleep(delay).await;
                None
            }
            Action::Error => Some(E::unknown(Doubt::ServerError(SERVER_ERROR))),
            Action::DropAnswer => Some(E::unknown(Doubt::ConnectionLost)),
        }
    }
}

impl PaymentProvider for Faulty {
    fn charge<'a>(&'a self, request: &'a ChargeRequest) -> BoxFuture<'a, ChargeOutcome> {
        let ask = async { self.inner.charge(request).await };
        Box::pin(self.call(request.correlation.as_ref(), ask))
    }

    fn void<'a>(&'a self, request: &'a ChargeRequest) -> BoxFuture<'a, VoidOutcome> {
        let ask = async { self.inner.void(request).await };
        Box::pin(self.call(request.correlation.as_ref(), ask))
    }

    fn refund<'a>(&'a self, request: &'a RefundRequest) -> BoxFuture<'a, RefundOutcome> {
        let ask = async { self.inner.refund(request).await };
        Box::pin(self.call(request.correlation.as_ref(), ask))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shared::clock::{ManualClock, Timestamp};
    use shared::domain::money::Money;
    use shared::policy::faults::{FaultRule, Trigger};

    use super::*;
    use crate::payments::PaymentKey;
    use crate::payments::simulated::Simulated;

    fn charge() -> ChargeRequest {
        ChargeRequest {
            key: PaymentKey::parse("k").unwrap(),
            order_id: "order-1".into(),
            amount: Money::from_minor(100).unwrap(),
            currency: "USD".into(),
            method: Some("card".into()),
            since: Timestamp::default(),
            correlation: None,
        }
    }

    /// A provider whose first call fails, and the bank behind it.
    fn failing_once(when: When, action: Action) -> (Arc<Simulated>, Faulty) {
        let late = Duration::from_secs(10);
        let bank = Arc::new(Simulated::new(Arc::new(ManualClock::default()), late));
        let faults = Arc::new(Faults::default());
        let trigger = Trigger::EveryNth { n: 9, position: 1 };
        let rule = FaultRule {
            target: Target::Payments,
            trigger,
            when,
            action,
        };
        faults.replace(vec![rule]).unwrap();
        let inner: Arc<dyn PaymentProvider> = Arc::<Simulated>::clone(&bank);
        (bank, Faulty::new(inner, faults))
    }

    #[tokio::test]
    async fn before_loses_the_question_and_after_the_answer_and_both_are_settled_by_the_key() {
        let (dropped, error) = (Doubt::ConnectionLost, Doubt::ServerError(500));
        for (when, action, doubt, moved) in [
            (When::Before, Action::DropAnswer, dropped, 0),
            (When::Before, Action::Error, error, 0),
            (When::AfterCommit, Action::DropAnswer, dropped, 100),
            (When::AfterCommit, Action::Error, error, 100),
        ] {
            let (bank, faulty) = failing_once(when, action);
            let request = charge();
            assert_eq!(
                faulty.charge(&request).await,
                ChargeOutcome::Unknown(doubt),
                "{when:?} {action:?}"
            );
            assert_eq!(bank.total().charged_minor, moved, "{when:?} {action:?}");
            let settled = faulty.charge(&request).await;
            assert!(matches!(settled, ChargeOutcome::Approved(_)), "{settled:?}");
            assert_eq!(bank.total().charged_minor, 100, "{when:?} {action:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_is_waited_for_and_changes_nothing() {
        for when in [When::Before, When::AfterCommit] {
            let delay = Duration::from_secs(7);
            let (_, faulty) = failing_once(when, Action::Delay(delay));
            let begun = tokio::time::Instant::now();
            let outcome = faulty.charge(&charge()).await;
            assert!(matches!(outcome, ChargeOutcome::Approved(_)), "{outcome:?}");
            assert_eq!(begun.elapsed(), delay, "{when:?}");
        }
    }
}
