//! Orders as tests place and move them: straight to the ledger, in the saga's own words, without a
//! payment provider.

use central_api::ledger::{Ledger, Outcome, Request};
use shared::domain::ids::{CustomerId, OrderId, PaymentId, ReservationId, StoreId};
use shared::domain::inventory::{self, Atomicity, Details, Line, NewProduct};
use shared::domain::money::Money;
use shared::domain::order::{Address, Command, PaymentOutcome, Place, RefundOutcome, Transition};
use shared::domain::origin::Origin;
use shared::domain::{self, Decision};

use crate::served::{decide, id};

/// Products with so many units each, at 1.95.
pub(crate) async fn stocked(ledger: &Ledger, ids: &[&str], on_hand: i64) {
    let item = |text: &&str| NewProduct {
        product: id(text),
        details: Details {
            name: format!("Name of {text}").into(),
            price: Money::from_minor(195).unwrap(),
            ..Details::default()
        },
        on_hand,
    };
    let command = inventory::Command::Create {
        items: ids.iter().map(item).collect(),
        atomicity: Atomicity::All,
    };
    decide(ledger, command).await;
}

/// An order of one unit of `A` by `customer` at `store`, whose ids end in `name`.
pub(crate) fn place(name: &str, customer: &str, store: Option<&str>) -> Place {
    Place {
        order: OrderId::parse(&format!("ord-{name}")).unwrap(),
        reservation: ReservationId::parse(&format!("res-{name}")).unwrap(),
        payment: PaymentId::parse(&format!("pay-{name}")).unwrap(),
        customer: CustomerId::parse(customer).unwrap(),
        store: store.map(|store| StoreId::parse(store).unwrap()),
        lines: vec![Line {
            product_id: id("A"),
            quantity: 1,
        }],
        address: None,
        method: Some("card".into()),
        confirm: true,
        expected_total: None,
        currency: "USD".into(),
        ttl_millis: 900_000,
        is_payable: true,
    }
}

/// Has a command about orders decided, which must change something.
pub(crate) async fn order(ledger: &Ledger, command: Command) -> Decision {
    let command = domain::Command::from(command);
    let request = Request {
        origin: Origin::internal("saga"),
        fingerprint: command.fingerprint(None),
        command,
    };
    match ledger.decide(request).await.unwrap() {
        Outcome::Decided { decided, .. } => {
            let decision = &decided.decision;
            assert!(!decision.orders.is_empty(), "{decision:?}");
            decision.clone()
        }
        Outcome::KeyReused => panic!("there was no key"),
    }
}

/// Places it.
pub(crate) async fn placed(ledger: &Ledger, place: Place) {
    order(ledger, Command::Place(Box::new(place))).await;
}

pub(crate) async fn recorded(ledger: &Ledger, name: &str, outcome: PaymentOutcome) {
    let order_id = OrderId::parse(&format!("ord-{name}")).unwrap();
    let command = Command::RecordPayment {
        order: order_id,
        outcome,
    };
    order(ledger, command).await;
}

/// The bank says yes: with `confirm`, two events of one decision.
pub(crate) async fn approved(ledger: &Ledger, name: &str) {
    let outcome = PaymentOutcome::Approved {
        reference: "ch-1".into(),
        authorization_code: Some("AUTH-1".into()),
    };
    recorded(ledger, name, outcome).await;
}

pub(crate) async fn declined(ledger: &Ledger, name: &str) {
    let outcome = PaymentOutcome::Declined {
        code: "card_declined".into(),
        message: "The card was declined.".into(),
    };
    recorded(ledger, name, outcome).await;
}

pub(crate) async fn unknown(ledger: &Ledger, name: &str) {
    let outcome = PaymentOutcome::Unknown {
        reason: "no answer".into(),
    };
    recorded(ledger, name, outcome).await;
}

/// The bank answers the refund with an old failure.
pub(crate) async fn key_spent(ledger: &Ledger, name: &str) {
    let command = Command::RecordRefund {
        order: OrderId::parse(&format!("ord-{name}")).unwrap(),
        number: 1,
        outcome: RefundOutcome::KeySpent {
            key_number: 1,
            reason: "an old failure".into(),
        },
    };
    order(ledger, command).await;
}

/// The bank gives everything back.
pub(crate) async fn refunded(ledger: &Ledger, name: &str) {
    let command = Command::RecordRefund {
        order: OrderId::parse(&format!("ord-{name}")).unwrap(),
        number: 1,
        outcome: RefundOutcome::Refunded {
            reference: "re-1".into(),
        },
    };
    order(ledger, command).await;
}

/// The bank gives nothing back, whatever it is asked for.
pub(crate) async fn refund_refused(ledger: &Ledger, name: &str, number: u32) {
    let command = Command::RecordRefund {
        order: OrderId::parse(&format!("ord-{name}")).unwrap(),
        number,
        outcome: RefundOutcome::Refused {
            code: "charge_disputed".into(),
            message: "The charge is disputed.".into(),
        },
    };
    order(ledger, command).await;
}

/// What the bank does not give back was given back by hand.
pub(crate) async fn settled(ledger: &Ledger, name: &str) {
    let command = Command::Settle {
        order: OrderId::parse(&format!("ord-{name}")).unwrap(),
        amount: None,
        note: "by hand".into(),
    };
    order(ledger, command).await;
}

/// One event: the order goes elsewhere.
pub(crate) async fn readdressed(ledger: &Ledger, name: &str, to: &str) {
    let command = Command::Readdress {
        order: OrderId::parse(&format!("ord-{name}")).unwrap(),
        address: Address::new(&serde_json::value::to_raw_value(to).unwrap()),
        expected_version: None,
    };
    order(ledger, command).await;
}

pub(crate) async fn moved(ledger: &Ledger, name: &str, to: Transition) {
    let command = Command::Transition {
        order: OrderId::parse(&format!("ord-{name}")).unwrap(),
        to,
        expected_version: None,
    };
    order(ledger, command).await;
}
