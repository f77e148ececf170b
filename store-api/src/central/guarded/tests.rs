use std::collections::VecDeque;

use axum::http::{HeaderMap, HeaderValue, Method};
use bytes::Bytes;
use parking_lot::Mutex;
use shared::clock::ManualClock;
use shared::policy::{BackoffSettings, BreakerSettings, BreakerState};
use shared::service::breakers::BreakerArgs;

use super::*;
use crate::config::{Config, Settings};

/// Gives prepared answers, one for each attempt, and counts.
#[derive(Debug, Default)]
struct Scripted {
    script: Mutex<VecDeque<Result<Reply, CallFault>>>,
    /// How long an answer takes to a call that has a time of its own.
    takes: Mutex<Duration>,
    sent: Mutex<u32>,
}

impl Central for Scripted {
    fn poll<'a>(&'a self, _: &'a Poll) -> BoxFuture<'a, FeedReply> {
        unreachable!("calls only")
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<SnapshotStream, SyncFault>> {
        unreachable!("calls only")
    }

    fn stream<'a>(
        &'a self,
        call: &'a Call,
        _: Option<HeaderValue>,
        within: Duration,
    ) -> BoxFuture<'a, Result<Streamed, CallFault>> {
        Box::pin(async move { self.call(call, within).await.map(Streamed::Answered) })
    }

    fn call<'a>(
        &'a self,
        call: &'a Call,
        within: Duration,
    ) -> BoxFuture<'a, Result<Reply, CallFault>> {
        Box::pin(async move {
            *self.sent.lock() += 1;
            let next = self.script.lock().pop_front();
            if call.attempt.is_some() {
                let takes = *self.takes.lock();
                tokio::time::sleep(takes).await;
            }
            match next {
                Some(Err(CallFault::Unknown { timed_out: true })) => {
                    tokio::time::sleep(within).await;
                    Err(CallFault::Unknown { timed_out: true })
                }
                Some(answer) => answer,
                None => Err(CallFault::NotSent),
            }
        })
    }
}

fn reply(status: u16, body: &'static str) -> Result<Reply, CallFault> {
    Ok(Reply {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::from_static(body.as_bytes()),
    })
}

const BUSY: &str = r#"{"code":"overloaded"}"#;

fn call(key: Option<&'static str>) -> Call {
    Call {
        method: Method::POST,
        path: "v1/inventory/updates".into(),
        body: None,
        key: key.map(HeaderValue::from_static),
        if_match: None,
        is_repeatable: key.is_some(),
        attempt: None,
        may_be_forbidden: false,
        correlation: None,
        traceparent: None,
    }
}

fn guarded(script: Vec<Result<Reply, CallFault>>) -> (Arc<Scripted>, Guarded) {
    guarded_by(BreakerSettings::default(), script)
}

fn guarded_by(
    breaker: BreakerSettings,
    script: Vec<Result<Reply, CallFault>>,
) -> (Arc<Scripted>, Guarded) {
    let inner = Arc::new(Scripted {
        script: Mutex::new(script.into()),
        ..Scripted::default()
    });
    let backoff = Backoff::try_new(BackoffSettings {
        base: Duration::from_millis(50),
        cap: Duration::from_secs(1),
        retry_after_cap: Duration::from_secs(60),
    });
    let settings = GuardSettings {
        attempt: Duration::from_secs(5),
        attempts: 3,
        backoff: backoff.unwrap(),
    };
    let breaker = Breaker::try_new(breaker).unwrap();
    let central: Arc<dyn Central> = Arc::<Scripted>::clone(&inner);
    let contact = Arc::new(ContactNote::default());
    let clock = Arc::new(ManualClock::default());
    (
        inner,
        Guarded::new(central, breaker, settings, contact, clock),
    )
}

const TEN: Duration = Duration::from_secs(10);
const TIMEOUT: Result<Reply, CallFault> = Err(CallFault::Unknown { timed_out: true });
const RESET: Result<Reply, CallFault> = Err(CallFault::Unknown { timed_out: false });
const REFUSED: Result<Reply, CallFault> = Err(CallFault::NotSent);

#[tokio::test(start_paused = true)]
async fn what_the_caller_is_told_never_claims_more_than_is_known() {
    let keyed = Some("k");
    let unknown = |timed_out| Err(CallFault::Unknown { timed_out });
    let ok = |status: u16| Ok(StatusCode::from_u16(status).unwrap());
    let rows = [
        (keyed, vec![reply(200, "")], ok(200), 1),
        (keyed, vec![reply(409, "")], ok(409), 1),
        (keyed, vec![reply(429, "")], ok(429), 1),
        (keyed, vec![REFUSED, REFUSED, reply(200, "")], ok(200), 3),
        (
            keyed,
            vec![REFUSED, REFUSED, REFUSED],
            Err(CallFault::NotSent),
            3,
        ),
        (keyed, vec![TIMEOUT, reply(200, "")], ok(200), 2),
        // Once in doubt, a later refusal does not undo it.
        (keyed, vec![RESET, REFUSED, REFUSED], unknown(false), 3),
        (
            keyed,
            vec![RESET, reply(503, BUSY), reply(503, BUSY)],
            unknown(false),
            3,
        ),
        (
            keyed,
            vec![reply(500, ""), REFUSED, REFUSED],
            unknown(false),
            3,
        ),
        (
            keyed,
            vec![reply(503, BUSY), reply(503, BUSY), reply(503, BUSY)],
            ok(503),
            3,
        ),
        // A 503 without our words may come from something that has passed the request on.
        (
            keyed,
            vec![reply(503, "<html>"), REFUSED, REFUSED],
            unknown(false),
            3,
        ),
        (
            keyed,
            vec![reply(504, ""), reply(504, ""), reply(504, "")],
            unknown(true),
            3,
        ),
        (keyed, vec![reply(401, "")], Err(CallFault::KeyRefused), 1),
        // Who refuses before looking at the key of the request does not know what became of it.
        (keyed, vec![TIMEOUT, reply(401, "")], unknown(true), 2),
        (keyed, vec![RESET, reply(403, "")], unknown(false), 2),
        (keyed, vec![RESET, reply(429, "")], unknown(false), 2),
        // Without a key nothing is sent twice.
        (None, vec![RESET, reply(200, "")], unknown(false), 1),
        (
            None,
            vec![REFUSED, reply(200, "")],
            Err(CallFault::NotSent),
            1,
        ),
    ];
    for (number, (key, script, expected, sent)) in rows.into_iter().enumerate() {
        let (inner, guarded) = guarded(script);
        let answer = guarded.call(&call(key), TEN).await;
        assert_eq!(answer.map(|reply| reply.status), expected, "row {number}");
        assert_eq!(*inner.sent.lock(), sent, "row {number}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_never_outlasts_its_callers_deadline() {
    let (_, guarded) = guarded(vec![TIMEOUT, TIMEOUT, TIMEOUT]);
    let begun = Instant::now();
    let answer = guarded.call(&call(Some("k")), Duration::from_secs(7)).await;
    assert_eq!(answer.unwrap_err(), CallFault::Unknown { timed_out: true });
    assert!(
        begun.elapsed() <= Duration::from_secs(7),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn five_failures_open_and_two_probes_close() {
    let (inner, guarded) = guarded(vec![]);
    let key = call(Some("k"));
    for _ in 0..2 {
        drop(guarded.call(&key, TEN).await);
    }
    assert_eq!(guarded.guard().state(), BreakerState::Open);
    let sent = *inner.sent.lock();
    assert_eq!(sent, 5, "nothing is sent once it is open, not even a retry");
    let begun = Instant::now();
    let answer = guarded.call(&key, TEN).await;
    assert!(
        matches!(answer, Err(CallFault::Open { retry_after }) if retry_after <= Duration::from_secs(30))
    );
    assert_eq!(
        (begun.elapsed(), *inner.sent.lock()),
        (Duration::ZERO, sent)
    );

    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(guarded.guard().state(), BreakerState::HalfOpen);
    inner.script.lock().extend([reply(200, ""), reply(404, "")]);
    assert!(guarded.call(&key, TEN).await.is_ok());
    assert_eq!(guarded.guard().state(), BreakerState::HalfOpen);
    assert!(guarded.call(&key, TEN).await.is_ok());
    assert_eq!(guarded.guard().state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_does_not_block_the_probe() {
    let (inner, guarded) = guarded(vec![]);
    let key = call(Some("k"));
    for _ in 0..2 {
        drop(guarded.call(&key, TEN).await);
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    inner
        .script
        .lock()
        .extend([TIMEOUT, reply(200, ""), reply(200, "")]);
    // The caller hangs up during the probe.
    let given_up = tokio::time::timeout(Duration::from_secs(1), guarded.call(&key, TEN));
    assert!(given_up.await.is_err());
    assert!(guarded.call(&key, TEN).await.is_ok());
}

/// Placing an order takes longer than a sale, because it is paid meanwhile. As a probe it must be
/// heard to its end; else a second probe goes out beside it, and its own answer counts for nothing.
#[tokio::test(start_paused = true)]
async fn an_order_may_be_the_probe_and_is_heard_to_its_end() {
    let (slow, most) = (Duration::from_secs(18), Duration::from_secs(20));
    let config = Config::check(Settings::default()).unwrap().central;
    let by_sales_only = BreakerArgs::default().check(config.timeout).unwrap();
    for (breaker, is_heard) in [(config.breaker, true), (by_sales_only, false)] {
        let (inner, guarded) = guarded_by(breaker, vec![]);
        let sale = call(Some("k"));
        for _ in 0..2 {
            drop(guarded.call(&sale, TEN).await);
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
        inner.script.lock().extend([reply(201, ""), reply(200, "")]);
        *inner.takes.lock() = slow;
        let order = Call {
            attempt: Some(most),
            ..call(Some("order"))
        };
        let meanwhile = async {
            tokio::time::sleep(Duration::from_secs(12)).await;
            guarded.call(&sale, TEN).await
        };
        let (placed, sold) = tokio::join!(guarded.call(&order, most), meanwhile);
        assert_eq!(placed.unwrap().status, 201);
        // The control: two probes at once.
        assert_eq!(sold.is_err(), is_heard);
        assert_eq!(guarded.guard().state(), BreakerState::HalfOpen);
        if is_heard {
            assert!(guarded.call(&sale, TEN).await.is_ok());
            assert_eq!(guarded.guard().state(), BreakerState::Closed);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_begin_counts_as_a_call_does_and_is_asked_for_once() {
    let (inner, guarded) = guarded(vec![reply(404, ""), TIMEOUT, RESET, REFUSED]);
    let order = call(None);
    let open = async || guarded.stream(&order, None, TEN).await;
    assert!(matches!(open().await, Ok(Streamed::Answered(reply)) if reply.status == 404));
    for expected in [
        CallFault::Unknown { timed_out: true },
        CallFault::Unknown { timed_out: false },
        CallFault::NotSent,
        CallFault::NotSent,
        CallFault::NotSent,
    ] {
        assert_eq!(open().await.unwrap_err(), expected);
    }
    assert_eq!(guarded.guard().state(), BreakerState::Open);
    assert!(matches!(open().await, Err(CallFault::Open { .. })));
    assert_eq!(*inner.sent.lock(), 6);
}

#[tokio::test(start_paused = true)]
async fn refusals_by_rule_never_open_it() {
    let (_, guarded) = guarded((0..50).map(|_| reply(409, "")).collect());
    for _ in 0..50 {
        assert!(guarded.call(&call(Some("k")), TEN).await.is_ok());
    }
    assert_eq!(guarded.guard().state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_payment_provider_that_is_away_is_no_fault_of_centrals() {
    const AWAY: &str = r#"{"code":"payment_unavailable"}"#;
    let (inner, guarded) = guarded((0..20).map(|_| reply(503, AWAY)).collect());
    for _ in 0..20 {
        let answer = guarded.call(&call(Some("k")), TEN).await.unwrap();
        assert_eq!(answer.status, 503);
    }
    assert_eq!(*inner.sent.lock(), 20, "each was sent once");
    assert_eq!(guarded.guard().state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_403_about_the_thing_is_the_callers_and_one_about_the_key_is_not() {
    const FORBIDDEN: &str = r#"{"code":"forbidden"}"#;
    let (_, guarded) = guarded(vec![reply(403, FORBIDDEN), reply(403, FORBIDDEN)]);
    let about_one = Call {
        may_be_forbidden: true,
        ..call(Some("k"))
    };
    assert_eq!(guarded.call(&about_one, TEN).await.unwrap().status, 403);
    let refused = guarded.call(&call(Some("k")), TEN).await;
    assert_eq!(refused.unwrap_err(), CallFault::KeyRefused);
}

#[tokio::test(start_paused = true)]
async fn a_call_may_have_a_time_of_its_own_for_each_attempt() {
    let (_, guarded) = guarded(vec![Err(CallFault::Unknown { timed_out: true })]);
    let patient = Call {
        attempt: Some(TEN * 10),
        ..call(Some("k"))
    };
    let begun = Instant::now();
    let outcome = guarded.call(&patient, TEN * 10).await;
    assert_eq!(outcome.unwrap_err(), CallFault::Unknown { timed_out: true });
    assert!(begun.elapsed() >= TEN * 10);
}
