//! Two centrals over one log take up the same orders: one charge each, and both see the same.

use std::sync::Arc;
use std::time::Duration;

use central_api::ids::OrderIds;
use central_api::journal::LogGen;
use central_api::journal::memory::{MemoryJournal, MemoryLog};
use central_api::ledger::fold::Fold;
use central_api::ledger::{KeyRetention, Ledger, LedgerOptions, LedgerThreads, Outcome, Request};
use central_api::orders::Runner;
use central_api::payments::simulated::Simulated;
use central_api::payments::{Guarded, PaymentKey};
use shared::clock::{Clock as _, Timestamp};
use shared::domain::Command;
use shared::domain::ids::{CustomerId, IdempotencyKey, OrderId, PaymentId};
use shared::domain::inventory::command::Changes;
use shared::domain::inventory::{Atomicity, Command as Stock, Edit, Line};
use shared::domain::money::Money;
use shared::domain::order::{self, OrderStatus, Place};
use shared::domain::origin::Origin;
use shared::policy::{Breaker, BreakerSettings};
use shared::service::system_clock::SystemClock;
use tokio_util::sync::CancellationToken;

use crate::served::{PATIENCE, create, decide, id};

const ORDERS: u64 = 40;

struct Central {
    ledger: Ledger,
    threads: LedgerThreads,
    runner: Arc<Runner>,
}

fn start(log: &Arc<MemoryLog>, bank: &Arc<Simulated>, log_gen: u64) -> Central {
    let options = LedgerOptions {
        clock: Arc::new(SystemClock),
        log_gen: LogGen(log_gen),
        keys: KeyRetention::default(),
        homes: Vec::new(),
        fatal: Box::new(|error| panic!("{error}")),
    };
    let journal = Box::new(MemoryJournal::new(Arc::clone(log)));
    let fold = Fold::empty(KeyRetention::default());
    let (ledger, threads) = Ledger::start(journal, fold, options).unwrap();
    let guarded = Guarded::new(
        Arc::clone(bank) as _,
        Breaker::try_new(BreakerSettings::default()).unwrap(),
        Duration::from_secs(5),
    );
    let runner = Runner::new(ledger.clone(), Arc::new(guarded), CancellationToken::new());
    Central {
        ledger,
        threads,
        runner: Arc::new(runner),
    }
}

fn place(number: u64) -> Request {
    let now: Timestamp = SystemClock.now();
    let OrderIds {
        order,
        reservation,
        payment,
    } = OrderIds::new(now, rand::random());
    let command = Command::from(order::Command::Place(Box::new(Place {
        order,
        reservation,
        payment,
        customer: CustomerId::parse("ann").unwrap(),
        store: None,
        lines: vec![Line {
            product_id: id("A"),
            quantity: 1,
        }],
        address: None,
        method: None,
        confirm: true,
        expected_total: None,
        currency: "USD".into(),
        ttl_millis: 900_000,
        is_payable: true,
    })));
    Request {
        origin: Origin {
            key: Some(IdempotencyKey::parse(&format!("order-{number}")).unwrap()),
            ..Origin::internal("test")
        },
        fingerprint: command.fingerprint(None),
        command,
    }
}

async fn placed(ledger: &Ledger, number: u64) -> (OrderId, PaymentId) {
    match ledger.decide(place(number)).await.unwrap() {
        Outcome::Decided { decided, .. } => {
            let order = &decided.decision.orders[0].order;
            let payment = order.payment.as_ref().unwrap();
            (order.order_id.clone(), payment.payment_id.clone())
        }
        Outcome::KeyReused => panic!("the key is for this"),
    }
}

async fn at_rest(central: &Central) {
    let mut moves = central.ledger.published().moves();
    let resting = async {
        loop {
            moves.mark_unchanged();
            let head = central.ledger.published().head();
            if head.orders >= ORDERS * 3 {
                return;
            }
            moves.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, resting).await.unwrap();
}

#[tokio::test]
async fn orders_that_two_centrals_take_up_are_charged_once() {
    let log = Arc::default();
    let bank = Arc::new(Simulated::new(
        Arc::new(SystemClock),
        Duration::from_secs(1),
    ));
    let (one, other) = (start(&log, &bank, 1), start(&log, &bank, 2));
    decide(&one.ledger, create(["A".to_owned()], 100)).await;
    let price = Edit {
        product: id("A"),
        changes: Changes {
            price: Some(Money::from_minor(250).unwrap()),
            ..Changes::default()
        },
        expected_version: None,
    };
    let edit = Stock::Edit {
        items: vec![price],
        atomicity: Atomicity::All,
    };
    decide(&one.ledger, edit).await;
    let mut orders = Vec::new();
    for number in 0..ORDERS {
        orders.push(placed(&one.ledger, number).await);
    }
    // A repeat at the other central is the same order.
    for (number, expected) in (0..).zip(&orders) {
        assert_eq!(placed(&other.ledger, number).await, *expected);
    }
    // Both find them open and take them up at once.
    one.runner.resume();
    other.runner.resume();
    at_rest(&one).await;
    at_rest(&other).await;
    for (order, payment) in &orders {
        let key = PaymentKey::parse(payment.as_str()).unwrap();
        assert_eq!(bank.statement(&key).charges, 1, "{order}");
        for central in [&one, &other] {
            let seen = central.ledger.published().books.order(order.as_str());
            assert_eq!(seen.unwrap().status, OrderStatus::Confirmed);
        }
    }
    for central in [&one, &other] {
        let product = central.ledger.view().get("A").unwrap().product.clone();
        assert_eq!((product.stock.on_hand, product.stock.reserved), (60, 0));
        // Three events an order: reserved, paid, confirmed. What came second was not awaited.
        let head = central.ledger.published().head();
        assert_eq!(head.orders, ORDERS * 3);
    }
    let stop = move || {
        one.threads.stop();
        other.threads.stop();
    };
    tokio::task::spawn_blocking(stop).await.unwrap();
}
