//! A day with a payment provider that takes every call and answers none: how it is asked meanwhile, and how
//! much of it is written down.

use super::*;

/// A call as a bank saw it: when it began and ended, and under which key.
#[derive(Clone, Debug)]
struct Call {
    began: Duration,
    ended: Option<Duration>,
    key: PaymentKey,
}

/// A bank that takes every call and answers none, for a day.
#[derive(Debug)]
struct Mute {
    bank: Simulated,
    time: Time,
    calls: Mutex<Vec<Call>>,
}

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Notes the end of a call, also of one that its caller has given up.
struct UnderWay<'a>(&'a Mute, usize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.calls.lock()[self.1].ended = Some(self.0.time.show());
    }
}

impl Mute {
    fn new() -> Self {
        let time = Time::new();
        let clock = Arc::<ManualClock>::clone(&time.clock);
        Self {
            bank: Simulated::new(clock, Duration::from_secs(10)),
            time,
            calls: Mutex::default(),
        }
    }

    /// Returns once the day is over.
    async fn silence(&self, key: &PaymentKey) {
        let began = self.time.show();
        let number = {
            let mut calls = self.calls.lock();
            calls.push(Call {
                began,
                ended: None,
                key: key.clone(),
            });
            calls.len() - 1
        };
        let _under_way = UnderWay(self, number);
        if began < DAY {
            pending::<()>().await;
        }
    }
}

impl PaymentProvider for Mute {
    fn charge<'a>(&'a self, request: &'a ChargeRequest) -> BoxFuture<'a, ChargeOutcome> {
        Box::pin(async move {
            self.silence(&request.key).await;
            self.bank.charge(request).await
        })
    }

    fn void<'a>(&'a self, request: &'a ChargeRequest) -> BoxFuture<'a, VoidOutcome> {
        Box::pin(async move {
            self.silence(&request.key).await;
            self.bank.void(request).await
        })
    }

    fn refund<'a>(&'a self, request: &'a RefundRequest) -> BoxFuture<'a, RefundOutcome> {
        Box::pin(async move {
            self.silence(&request.key).await;
            self.bank.refund(request).await
        })
    }
}

/// One attempt at a time, under one key, each with the same end; and between them waits of all lengths, so
/// that what failed together does not come back together.
fn was_asked_one_call_at_a_time(calls: &[Call]) {
    assert!(calls.len() > 1_000, "{} calls", calls.len());
    let mut waits = Vec::new();
    for (retry, two) in (0_u32..).zip(calls.windows(2)) {
        let ended = two[0].ended.expect("a call outlives its caller");
        assert!(
            (CALL..=CALL + TICK).contains(&(ended - two[0].began)),
            "{two:?}"
        );
        assert_eq!(two[0].key, two[1].key);
        let wait = two[1].began.checked_sub(ended).expect("two calls at once");
        let most = Duration::from_millis(500).saturating_mul(2_u32.saturating_pow(retry));
        assert!(
            wait <= most.min(Duration::from_secs(60)) + TICK,
            "{retry}: {two:?}"
        );
        waits.push(wait);
    }
    waits.sort_unstable();
    let of = |part: usize| waits[waits.len() * part / 10];
    let (short, long) = (Duration::from_secs(15), Duration::from_secs(45));
    assert!(of(1) < short && long < of(9), "{:?} {:?}", of(1), of(9));
}

/// A provider that is asked for a day costs the order's history a dozen entries, though the ledger hears of
/// every attempt: that is how it learns that the hold has run out.
#[tokio::test(start_paused = true)]
async fn a_provider_that_says_nothing_for_a_day_is_written_down_a_few_times() {
    let mute = Arc::new(Mute::new());
    let provider = Arc::<Mute>::clone(&mute);
    let patient = BreakerSettings {
        calls_min: 10_000,
        consecutive_failures: 10_000,
        ..BreakerSettings::default()
    };
    let stage = Stage::new(provider, &mute.time, patient).await;
    stocked(&stage.ledger, &["A"], UNITS).await;
    let before = stage.ledger.published().head().seq;
    order(&stage.ledger, &stage.runner, 0..1).await;
    at_rest(&stage.ledger).await;

    let mut calls = mute.calls.lock().clone();
    // The one that was answered.
    calls.pop();
    was_asked_one_call_at_a_time(&calls);
    let records = stage.ledger.published().head().seq - before;
    assert!((8..=16).contains(&records), "{records} records");
    let found = stage.ledger.published().books.order("ord-000").unwrap();
    let payment = found.payment.as_ref().unwrap();
    assert_eq!(found.status, OrderStatus::Failed, "its hold has run out");
    assert_eq!(payment.status, PaymentStatus::Voided);
    assert!(payment.attempts < 15, "{payment:?}");
    stage.end().await;
}
