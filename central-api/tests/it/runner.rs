//! What takes orders on, [`Runner`], with its breaker and its waits, over a real ledger: an hour without
//! the payment provider, and what is still known of an order after a restart. A day with one that says
//! nothing: [`silent_day`].
//!
//! Nobody waits for that. The runner and the breaker live in tokio's time, which is paused and jumps
//! to the next timer; the ledger's clock is a [`ManualClock`] that the provider sets to the same time
//! whenever it is called. The ledger's own threads are real, and tokio's time may jump while they work: no
//! timer of this test, only a runner's next wait. So nothing here depends on when exactly something
//! happens, only on how often, and how far apart.

mod silent_day;

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use central_api::ledger::{Ledger, LedgerThreads};
use central_api::orders::Runner;
use central_api::payments::simulated::Simulated;
use central_api::payments::{
    ChargeOutcome, ChargeRequest, Doubt, Guarded, PaymentKey, PaymentProvider, RefundOutcome,
    RefundRequest, VoidOutcome,
};
use central_api::startup::{DataLock, OpenLedger, open_ledger};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::json;
use shared::clock::{ManualClock, Timestamp};
use shared::domain::ids::{CorrelationId, OrderId};
use shared::domain::order::{Order, OrderStatus, PaymentStatus};
use shared::policy::{Breaker, BreakerSettings};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::served::{PATIENCE, Served, config};
use crate::shop::{place, placed, stocked};

const SILENCE: Duration = Duration::from_secs(3_600);
/// When the later orders are placed: their holds outlive the silence.
const LATE: Duration = Duration::from_secs(3_300);
/// Orders at the beginning, and again late.
const ORDERS: u64 = 10;
const UNITS: i64 = 100;

/// The ledger's clock, which is set to tokio's time.
#[derive(Debug)]
struct Time {
    clock: Arc<ManualClock>,
    began: Instant,
    /// Milliseconds that the clock was moved.
    moved: AtomicU64,
}

impl Time {
    fn new() -> Self {
        Self {
            clock: Arc::new(ManualClock::at(Timestamp::from_millis(1_768_473_000_000))),
            began: Instant::now(),
            moved: AtomicU64::new(0),
        }
    }

    /// Lets the clock show the time, and says how long it has been.
    fn show(&self) -> Duration {
        let now = self.began.elapsed();
        let millis = u64::try_from(now.as_millis()).unwrap();
        let before = self.moved.fetch_max(millis, Ordering::SeqCst);
        self.clock
            .advance_millis(i64::try_from(millis.saturating_sub(before)).unwrap());
        now
    }
}

/// A bank that says nothing for an hour. Every other charge arrives all the same.
#[derive(Debug)]
struct Away {
    bank: Simulated,
    time: Time,
    /// When it was called.
    calls: Mutex<Vec<Duration>>,
    late: Notify,
}

impl Away {
    fn new() -> Self {
        let time = Time::new();
        let clock = Arc::<ManualClock>::clone(&time.clock);
        Self {
            bank: Simulated::new(clock, Duration::from_secs(10)),
            time,
            calls: Mutex::default(),
            late: Notify::new(),
        }
    }

    /// Notes a call, and lets the ledger's clock show the time. Answers whether the bank is away.
    fn called(&self) -> bool {
        let now = self.time.show();
        self.calls.lock().push(now);
        if now >= LATE {
            self.late.notify_one();
        }
        now < SILENCE
    }
}

impl PaymentProvider for Away {
    fn charge<'a>(&'a self, request: &'a ChargeRequest) -> BoxFuture<'a, ChargeOutcome> {
        Box::pin(async move {
            if !self.called() {
                return self.bank.charge(request).await;
            }
            let arrives = request.order_id.ends_with(['0', '2', '4', '6', '8']);
            if arrives {
                self.bank.charge(request).await;
            }
            pending().await
        })
    }

    fn void<'a>(&'a self, request: &'a ChargeRequest) -> BoxFuture<'a, VoidOutcome> {
        Box::pin(async move {
            if self.called() {
                return pending().await;
            }
            self.bank.void(request).await
        })
    }

    fn refund<'a>(&'a self, request: &'a RefundRequest) -> BoxFuture<'a, RefundOutcome> {
        Box::pin(async move {
            if self.called() {
                return pending().await;
            }
            self.bank.refund(request).await
        })
    }
}

/// How long a call to the provider may take.
const CALL: Duration = Duration::from_secs(5);
/// What tokio's timers are exact to.
const TICK: Duration = Duration::from_millis(2);

/// A ledger, and a runner that asks a provider for what its orders need.
struct Stage {
    ledger: Ledger,
    runner: Arc<Runner>,
    stop: CancellationToken,
    threads: LedgerThreads,
    lock: DataLock,
    dir: TempDir,
}

impl Stage {
    async fn new(
        provider: Arc<dyn PaymentProvider>,
        time: &Time,
        breaker: BreakerSettings,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::<ManualClock>::clone(&time.clock);
        let OpenLedger {
            ledger,
            threads,
            lock,
            ..
        } = open_ledger(&config(dir.path().to_owned()), Vec::new(), clock)
            .await
            .unwrap();
        let breaker = Breaker::try_new(breaker).unwrap();
        let guarded = Arc::new(Guarded::new(provider, breaker, CALL));
        let stop = CancellationToken::new();
        let runner = Arc::new(Runner::new(ledger.clone(), guarded, stop.clone()));
        Self {
            ledger,
            runner,
            stop,
            threads,
            lock,
            dir,
        }
    }

    async fn end(self) {
        self.stop.cancel();
        drop((self.ledger, self.runner));
        let threads = self.threads;
        tokio::task::spawn_blocking(move || threads.stop())
            .await
            .unwrap();
        drop((self.lock, self.dir));
    }
}

/// Places orders of one unit each and has them taken on.
async fn order(ledger: &Ledger, runner: &Arc<Runner>, numbers: std::ops::Range<u64>) {
    for number in numbers.clone() {
        placed(ledger, place(&format!("{number:03}"), "ann", None)).await;
    }
    for number in numbers {
        runner.start(&id(number), None);
    }
}

fn id(number: u64) -> OrderId {
    OrderId::parse(&format!("ord-{number:03}")).unwrap()
}

/// Waits until nothing is left to be done.
async fn at_rest(ledger: &Ledger) {
    let mut moves = ledger.published().moves();
    loop {
        moves.mark_unchanged();
        if ledger.published().books.open_orders().is_empty() {
            return;
        }
        moves.changed().await.unwrap();
    }
}

/// The breaker was respected, and the recovery was noticed.
fn was_asked_seldom(calls: &[Duration]) {
    // The breaker: a few calls until it opens, and from then on one probe at a time.
    let (silent, answered) = calls.split_at(calls.partition_point(|at| *at < SILENCE));
    let is_pause = |two: &[Duration]| two[1] - two[0] >= BreakerSettings::default().open_for;
    let until_open = 1 + silent.windows(2).position(is_pause).unwrap();
    // Each order has one call under way when the failure comes that opens it.
    assert!(until_open < 5 + 10, "{silent:?}");
    let probes = &silent[until_open..];
    assert!(
        probes.len() > 10,
        "nobody asked whether it is back: {silent:?}"
    );
    assert!(probes.windows(2).all(is_pause), "{probes:?}");
    // It is noticed soon that the bank is back.
    let last = *answered.last().unwrap();
    assert!(last < SILENCE + Duration::from_secs(600), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_away_for_an_hour_is_asked_seldom_and_charges_once_or_never() {
    let away = Arc::new(Away::new());
    let provider = Arc::<Away>::clone(&away);
    let stage = Stage::new(provider, &away.time, BreakerSettings::default()).await;
    let (ledger, runner) = (stage.ledger.clone(), Arc::clone(&stage.runner));
    stocked(&ledger, &["A"], UNITS).await;
    let before = ledger.published().head().seq;

    order(&ledger, &runner, 0..ORDERS).await;
    away.late.notified().await;
    order(&ledger, &runner, ORDERS..2 * ORDERS).await;
    at_rest(&ledger).await;

    let calls = away.calls.lock().clone();
    was_asked_seldom(&calls);
    // A record for each call, and a few for each order.
    let records = ledger.published().head().seq - before;
    let bound = calls.len() as u64 + 2 * ORDERS * 4;
    assert!(
        records <= bound,
        "{records} records of {} calls",
        calls.len()
    );

    let kept = |order: &Order| {
        let payment = order.payment.as_ref().unwrap();
        let key = PaymentKey::parse(payment.payment_id.as_str()).unwrap();
        let said = away.bank.statement(&key);
        assert!(said.charges <= 1, "{order:?}");
        said.charged_minor - said.refunded_minor
    };
    let mut refunded = 0;
    for number in 0..2 * ORDERS {
        let order = ledger.published().books.order(id(number).as_str()).unwrap();
        let payment = order.payment.as_ref().unwrap();
        if number < ORDERS {
            // The hold ran out meanwhile.
            assert_eq!(order.status, OrderStatus::Failed, "{order:?}");
            assert_eq!(kept(&order), 0, "{order:?}");
            let is_back = payment.status == PaymentStatus::Refunded;
            assert!(
                is_back || payment.status == PaymentStatus::Voided,
                "{order:?}"
            );
            refunded += u64::from(is_back);
        } else {
            assert_eq!(order.status, OrderStatus::Confirmed, "{order:?}");
            assert_eq!(kept(&order), order.total_amount.minor());
        }
    }
    assert_eq!(refunded, ORDERS / 2, "those whose charge had arrived");
    let product = ledger.view().get("A").unwrap();
    let sold = i64::try_from(ORDERS).unwrap();
    assert_eq!(
        (product.stock.on_hand, product.stock.reserved),
        (UNITS - sold, 0)
    );
    drop(product);
    drop((ledger, runner));
    stage.end().await;
}

/// A bank that never knows, and what it was told each time.
#[derive(Debug, Default)]
struct Unsure {
    correlations: Mutex<Vec<Option<CorrelationId>>>,
    asked: Notify,
}

impl PaymentProvider for Unsure {
    fn charge<'a>(&'a self, request: &'a ChargeRequest) -> BoxFuture<'a, ChargeOutcome> {
        self.correlations.lock().push(request.correlation.clone());
        self.asked.notify_one();
        Box::pin(async { ChargeOutcome::Unknown(Doubt::InProgress) })
    }

    fn void<'a>(&'a self, _: &'a ChargeRequest) -> BoxFuture<'a, VoidOutcome> {
        Box::pin(async { VoidOutcome::Unknown(Doubt::InProgress) })
    }

    fn refund<'a>(&'a self, _: &'a RefundRequest) -> BoxFuture<'a, RefundOutcome> {
        Box::pin(async { RefundOutcome::Unknown(Doubt::InProgress) })
    }
}

#[tokio::test]
async fn a_provider_is_told_the_correlation_id_of_an_order_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let life = async || {
        let bank = Arc::new(Unsure::default());
        let breaker = Breaker::try_new(BreakerSettings::default()).unwrap();
        let inner = Arc::<Unsure>::clone(&bank);
        let guarded = Guarded::new(inner, breaker, Duration::from_secs(5));
        (Served::start_paying(&dir, Arc::new(guarded)).await, bank)
    };
    let (central, _) = life().await;
    stocked(&central.ledger, &["A"], UNITS).await;
    let headers = [("idempotency-key", "k"), ("x-correlation-id", "basket-9")];
    let body = json!({"customerId": "ann", "items": [{"productId": "A", "quantity": 1}]});
    central
        .post("/v1/orders", &headers, &body)
        .await
        .expect(202);
    central.stop().await;

    let (central, bank) = life().await;
    tokio::time::timeout(PATIENCE, bank.asked.notified())
        .await
        .unwrap();
    let told = bank.correlations.lock()[0].clone();
    assert_eq!(told.unwrap().as_str(), "basket-9");
    central.stop().await;
}
