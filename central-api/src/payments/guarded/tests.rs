use std::collections::VecDeque;

use parking_lot::Mutex;
use shared::clock::Timestamp;
use shared::domain::money::Money;
use shared::policy::{BreakerSettings, BreakerState};
use tokio::time::Instant;

use super::*;
use crate::payments::{Paid, PaymentKey, Text};

/// Gives prepared answers to charges, approves when it has none left, and counts. `None` is silence.
#[derive(Debug, Default)]
struct Scripted {
    script: Mutex<VecDeque<Option<ChargeOutcome>>>,
    sent: Mutex<u32>,
}

fn approved() -> ChargeOutcome {
    ChargeOutcome::Approved(Paid {
        reference: "r".into(),
        authorization_code: None,
    })
}

impl PaymentProvider for Scripted {
    fn charge<'a>(&'a self, _: &'a ChargeRequest) -> BoxFuture<'a, ChargeOutcome> {
        *self.sent.lock() += 1;
        match self.script.lock().pop_front() {
            Some(None) => Box::pin(std::future::pending()),
            Some(Some(outcome)) => Box::pin(std::future::ready(outcome)),
            None => Box::pin(std::future::ready(approved())),
        }
    }

    fn void<'a>(&'a self, _: &'a ChargeRequest) -> BoxFuture<'a, VoidOutcome> {
        *self.sent.lock() += 1;
        Box::pin(std::future::ready(VoidOutcome::Voided))
    }

    fn refund<'a>(&'a self, _: &'a RefundRequest) -> BoxFuture<'a, RefundOutcome> {
        *self.sent.lock() += 1;
        Box::pin(std::future::pending())
    }
}

fn guarded(script: Vec<Option<ChargeOutcome>>) -> (Arc<Scripted>, Guarded) {
    let inner = Arc::new(Scripted {
        script: Mutex::new(script.into()),
        sent: Mutex::new(0),
    });
    let breaker = Breaker::try_new(BreakerSettings::default()).unwrap();
    let provider: Arc<dyn PaymentProvider> = Arc::<Scripted>::clone(&inner);
    let timeout = Duration::from_secs(5);
    (inner, Guarded::new(provider, breaker, timeout))
}

fn charge() -> ChargeRequest {
    ChargeRequest {
        key: PaymentKey::parse("k").unwrap(),
        order_id: "o".into(),
        amount: Money::from_minor(100).unwrap(),
        currency: "USD".into(),
        method: None,
        since: Timestamp::default(),
        correlation: None,
    }
}

fn refund() -> RefundRequest {
    RefundRequest {
        key: PaymentKey::parse("k-refund").unwrap(),
        key_number: 1,
        reference: "r".into(),
        amount: Money::from_minor(100).unwrap(),
        currency: "USD".into(),
        since: Timestamp::default(),
        correlation: None,
    }
}

/// Every kind of failure, five of them.
fn five_failures() -> Vec<Option<ChargeOutcome>> {
    vec![
        None,
        Some(ChargeOutcome::Unknown(Doubt::ConnectionLost)),
        Some(ChargeOutcome::Unknown(Doubt::ServerError(500))),
        Some(ChargeOutcome::Unknown(Doubt::Garbled)),
        Some(ChargeOutcome::NotSent(NotSent::Unreachable)),
    ]
}

#[tokio::test(start_paused = true)]
async fn five_failures_open_nothing_is_sent_and_two_probes_close() {
    let (inner, guarded) = guarded(five_failures());
    for _ in 0..5 {
        drop(guarded.charge(&charge()).await);
    }
    assert_eq!(guarded.guard().state(), BreakerState::Open);
    assert!(!guarded.guard().would_allow());

    let begun = Instant::now();
    let open = NotSent::BreakerOpen {
        retry_after: Duration::from_secs(30),
    };
    let (charged, voided, refunded) = (
        guarded.charge(&charge()).await,
        guarded.void(&charge()).await,
        guarded.refund(&refund()).await,
    );
    assert_eq!(charged, ChargeOutcome::NotSent(open.clone()));
    assert_eq!(voided, VoidOutcome::NotSent(open.clone()));
    assert_eq!(refunded, RefundOutcome::NotSent(open));
    assert_eq!((begun.elapsed(), *inner.sent.lock()), (Duration::ZERO, 5));
    let view = guarded.guard().view();
    assert_eq!((view.breaker.failures, view.breaker.rejected), (5, 3));

    // Half a minute later one call is let through, and a second only when that has ended.
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(guarded.guard().state(), BreakerState::HalfOpen);
    inner.script.lock().push_back(None);
    let request = charge();
    let mut probe = guarded.charge(&request);
    assert!(futures_util::poll!(&mut probe).is_pending());
    assert!(matches!(
        guarded.charge(&charge()).await,
        ChargeOutcome::NotSent(NotSent::BreakerOpen { .. })
    ));
    assert_eq!(*inner.sent.lock(), 6);
    // The probe fails: another half minute.
    assert_eq!(probe.await, ChargeOutcome::Unknown(Doubt::TimedOut));
    assert_eq!(guarded.guard().state(), BreakerState::Open);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(guarded.charge(&charge()).await, approved());
    assert_eq!(guarded.guard().state(), BreakerState::HalfOpen);
    assert_eq!(guarded.void(&charge()).await, VoidOutcome::Voided);
    assert_eq!(guarded.guard().state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn refusals_never_open_it() {
    let declined = ChargeOutcome::declined("card_declined", "no");
    let throttled = ChargeOutcome::NotSent(NotSent::Throttled);
    let script = [declined, throttled];
    let script = script.iter().cycle().take(60).cloned().map(Some);
    let (inner, guarded) = guarded(script.collect());
    for _ in 0..60 {
        drop(guarded.charge(&charge()).await);
    }
    assert_eq!(*inner.sent.lock(), 60);
    assert_eq!(guarded.guard().state(), BreakerState::Closed);
}

/// Otherwise every new order would hold its units for nothing until its time has run out.
#[tokio::test(start_paused = true)]
async fn a_key_that_is_not_accepted_opens_it() {
    let refused = ChargeOutcome::NotSent(NotSent::Refused(Text::new("key_expired")));
    let (inner, guarded) = guarded(vec![Some(refused); 5]);
    for _ in 0..10 {
        drop(guarded.charge(&charge()).await);
    }
    assert_eq!(*inner.sent.lock(), 5);
    assert!(!guarded.guard().would_allow());
}

#[tokio::test(start_paused = true)]
async fn a_silent_provider_is_left_after_the_timeout_and_that_is_unknown() {
    let (_, guarded) = guarded(vec![None]);
    let begun = Instant::now();
    let outcome = guarded.charge(&charge()).await;
    assert_eq!(outcome, ChargeOutcome::Unknown(Doubt::TimedOut));
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    let outcome = guarded.refund(&refund()).await;
    assert_eq!(outcome, RefundOutcome::Unknown(Doubt::TimedOut));
    assert_eq!(guarded.guard().view().breaker.timeouts, 2);
}

#[tokio::test(start_paused = true)]
async fn an_operator_closes_it() {
    let (inner, guarded) = guarded(five_failures());
    for _ in 0..5 {
        drop(guarded.charge(&charge()).await);
    }
    guarded.guard().reset();
    assert_eq!(guarded.charge(&charge()).await, approved());
    assert_eq!(*inner.sent.lock(), 6);
}
