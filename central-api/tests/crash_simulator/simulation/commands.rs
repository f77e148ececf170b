//! What customers ask for: every kind of command, on few products so that they get in each other's
//! way, often with a key, and now and then the same again. Reservations and orders are few as well;
//! what a payment provider would have said is made up, since here it is only recorded.

use rand::Rng;
use rand::rngs::SmallRng;
use shared::domain::Command as AnyCommand;
use shared::domain::ids::{
    CustomerId, IdempotencyKey, OrderId, Owner, PaymentId, Principal, ProductId, ReservationId,
};
use shared::domain::inventory::command::Changes;
use shared::domain::inventory::{
    Atomicity, Basis, Command, CountLine, Deletion, Details, Edit, ImportRow, ImportStock, Line,
    Move, NewProduct, Reason, Reserve,
};
use shared::domain::money::Money;
use shared::domain::order::{self, PaymentOutcome, Place, RefundOutcome, Transition};
use shared::domain::origin::Origin;

use central_api::ledger::Request;

const PRODUCTS: u32 = 5;

/// They remember what they asked under which key.
#[derive(Debug, Default)]
pub(super) struct Customers {
    asked: Vec<Request>,
    keys: u64,
}

impl Customers {
    /// The next request.
    pub(super) fn request(&mut self, rng: &mut SmallRng) -> Request {
        if !self.asked.is_empty() && rng.random_bool(0.2) {
            return self.again(rng);
        }
        let mut origin = Origin::internal("crash-simulator");
        if rng.random() {
            origin.principal = Principal::parse("another-caller").unwrap();
        }
        let command = command(rng);
        if rng.random_bool(0.7) {
            self.keys += 1;
            origin.key = Some(IdempotencyKey::parse(&format!("k{}", self.keys)).unwrap());
        }
        let request = request(origin, command);
        if request.origin.key.is_some() {
            self.asked.push(request.clone());
        }
        request
    }

    /// A key that was used before, mostly with the same command.
    fn again(&self, rng: &mut SmallRng) -> Request {
        // Mostly a recent one: those are the ones whose fate is not known.
        let back = if rng.random() { 3 } else { self.asked.len() };
        let from = self.asked.len().saturating_sub(back);
        let asked = &self.asked[rng.random_range(from..self.asked.len())];
        if rng.random_bool(0.85) {
            asked.clone()
        } else {
            request(asked.origin.clone(), command(rng))
        }
    }
}

fn request(origin: Origin, command: AnyCommand) -> Request {
    Request {
        fingerprint: command.fingerprint(None),
        origin,
        command,
    }
}

fn command(rng: &mut SmallRng) -> AnyCommand {
    match rng.random_range(0..10) {
        0..5 => stock(rng).into(),
        5..7 => hold(rng).into(),
        _ => order(rng).into(),
    }
}

fn hold(rng: &mut SmallRng) -> Command {
    let reservation = ReservationId::parse(&format!("R{}", rng.random_range(0..8))).unwrap();
    match rng.random_range(0..8) {
        0..3 => Command::Reserve(Reserve {
            reservation,
            named: true,
            owner: Owner::parse("basket").unwrap(),
            reference: rng.random::<bool>().then(|| "cart".into()),
            store: None,
            lines: lines(rng),
            ttl_millis: rng.random_range(1..40),
        }),
        3..5 => Command::Commit {
            reservation,
            reacquire: rng.random(),
            store: None,
        },
        5 => Command::Release {
            reservation,
            store: None,
        },
        6 => Command::Extend {
            reservation,
            store: None,
            ttl_millis: 20,
        },
        _ => Command::Expire,
    }
}

fn order(rng: &mut SmallRng) -> order::Command {
    let number = rng.random_range(0..12);
    let order = OrderId::parse(&format!("O{number}")).unwrap();
    match rng.random_range(0..12) {
        0..4 => order::Command::Place(Box::new(Place {
            order: OrderId::parse(&format!("O{}", rng.random_range(0..12))).unwrap(),
            reservation: ReservationId::parse(&format!("H{}", rng.random::<u32>())).unwrap(),
            payment: PaymentId::parse(&format!("M{number}")).unwrap(),
            customer: CustomerId::parse("ann").unwrap(),
            store: None,
            lines: lines(rng),
            address: None,
            method: None,
            confirm: rng.random(),
            expected_total: None,
            currency: "USD".into(),
            ttl_millis: rng.random_range(1..40),
            is_payable: rng.random_bool(0.9),
        })),
        4..6 => order::Command::Transition {
            order,
            to: [
                Transition::Confirm,
                Transition::Cancel,
                Transition::Complete,
            ][rng.random_range(0..3)],
            expected_version: None,
        },
        6 => order::Command::Refund {
            order,
            amount: rng
                .random::<bool>()
                .then(|| Money::from_minor(100).unwrap()),
        },
        7 => order::Command::RecordRefund {
            order,
            number: rng.random_range(1..3),
            outcome: if rng.random_bool(0.7) {
                RefundOutcome::Refunded {
                    reference: "re_1".into(),
                }
            } else {
                RefundOutcome::Refused {
                    code: "charge_disputed".into(),
                    message: "the charge is disputed".into(),
                }
            },
        },
        8 => order::Command::Settle {
            order,
            amount: None,
            note: "by hand".into(),
        },
        _ => order::Command::RecordPayment {
            order,
            outcome: match rng.random_range(0..4) {
                0..2 => PaymentOutcome::Approved {
                    reference: "ch_1".into(),
                    authorization_code: None,
                },
                2 => PaymentOutcome::Unknown {
                    reason: "no \"answer\"".into(),
                },
                _ => PaymentOutcome::Declined {
                    code: "card_declined".into(),
                    message: "no".into(),
                },
            },
        },
    }
}

fn lines(rng: &mut SmallRng) -> Vec<Line> {
    let size = [1, 1, 2, 4][rng.random_range(0..4)];
    some(rng, size, |rng| Line {
        product_id: product(rng),
        quantity: rng.random_range(1..4),
    })
}

fn stock(rng: &mut SmallRng) -> Command {
    let atomicity = [Atomicity::PerItem, Atomicity::All][rng.random_range(0..2)];
    let size = [1, 1, 1, 2, 3, 7][rng.random_range(0..6)];
    match rng.random_range(0..12) {
        0..2 => Command::Create {
            items: some(rng, size, new_product),
            atomicity,
        },
        2..8 => Command::Move {
            lines: some(rng, size, move_stock),
            atomicity,
        },
        8 => Command::Edit {
            items: some(rng, size, |rng| Edit {
                product: product(rng),
                changes: changes(rng),
                expected_version: rng.random_bool(0.3).then(|| rng.random_range(1..6)),
            }),
            atomicity,
        },
        9 => Command::Delete {
            items: some(rng, 1, |rng| Deletion {
                product: product(rng),
                expected_version: None,
                force: rng.random(),
            }),
            atomicity,
        },
        10 => Command::Count {
            lines: some(rng, size, |rng| CountLine {
                product: product(rng),
                counted: rng.random_range(0..20),
                basis: Basis::Now,
            }),
            counted_by: "somebody".into(),
            reference: None,
        },
        _ => Command::Import {
            rows: some(rng, size, |rng| ImportRow {
                product: product(rng),
                changes: changes(rng),
                on_hand: rng.random::<bool>().then(|| rng.random_range(0..30)),
            }),
            update: rng.random(),
            stock: if rng.random() {
                ImportStock::Set
            } else {
                ImportStock::Keep
            },
            atomicity,
        },
    }
}

fn some<T>(rng: &mut SmallRng, size: usize, each: impl Fn(&mut SmallRng) -> T) -> Vec<T> {
    (0..size).map(|_| each(rng)).collect()
}

fn product(rng: &mut SmallRng) -> ProductId {
    ProductId::parse(&format!("P{}", rng.random_range(0..PRODUCTS))).unwrap()
}

fn new_product(rng: &mut SmallRng) -> NewProduct {
    NewProduct {
        product: product(rng),
        details: Details {
            name: "A \"thing\"".into(),
            category: rng.random::<bool>().then(|| "Ünits\n".into()),
            price: Money::from_minor(rng.random_range(0..3) * 250).unwrap(),
            ..Details::default()
        },
        on_hand: rng.random_range(0..30),
    }
}

fn move_stock(rng: &mut SmallRng) -> Move {
    let delta = rng.random_range(1..6);
    let (delta, reason) = if rng.random_bool(0.6) {
        (-delta, Reason::Sale)
    } else {
        (delta, Reason::Received)
    };
    Move {
        product: product(rng),
        delta,
        reason,
        expected_version: rng.random_bool(0.3).then(|| rng.random_range(1..8)),
        reference: rng.random_bool(0.1).then(|| "order/1".into()),
        note: None,
    }
}

fn changes(rng: &mut SmallRng) -> Changes {
    Changes {
        name: rng.random::<bool>().then(|| "Renamed".into()),
        available: rng.random::<bool>().then(|| rng.random_range(0..30)),
        ..Changes::default()
    }
}
