//! The state of a chain of shops and the bank behind it.

use std::collections::BTreeMap;

use shared::clock::Timestamp;
use shared::domain::ids::{CustomerId, OrderId, Owner, PaymentId, ProductId, ReservationId};
use shared::domain::inventory::{
    self, Atomicity, Details, Line, NewProduct, Reservation, ReservationState, Reserve,
};
use shared::domain::money::Money;
use shared::domain::order::{
    self, EventKind, Order, OrderStatus, Place, Step, Transition, next_step,
};
use shared::domain::{Command, Decision, ItemResult, Rejection, State, decide};
use shared::limits;

use crate::bank::{Account, Bank, Fault};
use crate::count::Count;

pub(crate) const START: Timestamp = Timestamp::from_millis(1_768_473_000_000);
pub(crate) const TTL: i64 = 900_000;
pub(crate) const REFUND_KEY_WAIT: i64 = limits::REFUND_KEY_WAIT.as_secs().cast_signed() * 1_000;

/// The state, the bank, and what has flowed.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) bank: Bank,
    pub(crate) now: Timestamp,
    /// Every decision, to fold again.
    pub(crate) log: Vec<Decision>,
    /// What should be on the shelf, counted by hand.
    pub(crate) count: Count,
    /// A mistake that every decision is given, for controls.
    pub(crate) mistake: Option<fn(&mut Decision)>,
    made: u64,
}

impl World {
    /// `products` products `P0`… with `units` each, at 10.00 apiece.
    pub(crate) fn new(products: usize, units: i64) -> Self {
        let mut world = Self {
            state: State::default(),
            bank: Bank::default(),
            now: START,
            log: Vec::new(),
            count: Count::default(),
            mistake: None,
            made: 0,
        };
        let item = |number| NewProduct {
            product: product(number),
            details: Details {
                name: "thing".into(),
                price: Money::from_minor(1_000).unwrap(),
                ..Details::default()
            },
            on_hand: units,
        };
        world.act(inventory::Command::Create {
            items: (0..products).map(item).collect(),
            atomicity: Atomicity::All,
        });
        world
    }

    /// Decides, folds and checks.
    pub(crate) fn act(&mut self, command: impl Into<Command>) -> Decision {
        let command = command.into();
        let mut decision = decide(&self.state, &command, self.now);
        assert_eq!(decision, decide(&self.state, &command, self.now));
        if let Some(mistake) = self.mistake {
            mistake(&mut decision);
        }
        let mut stock: BTreeMap<ProductId, i64> = BTreeMap::new();
        for event in &decision.events {
            let id = event.product.id.clone();
            let before = stock.get(&id).copied().unwrap_or_else(|| {
                let known = self.state.inventory.get(id.as_str());
                known.map_or(0, |product| product.stock.on_hand)
            });
            let delta = event.movement.delta.unwrap_or(0);
            assert_eq!(before + delta, event.product.stock.on_hand, "{event:?}");
            stock.insert(id, event.product.stock.on_hand);
        }
        for after in &decision.reservations {
            let id = after.reservation_id.as_str();
            if let Some(before) = self.state.inventory.reservations().get(id) {
                check_one_way(before, after);
            }
        }
        let record = self.log.len() as u64 + 1;
        self.state.apply(&decision, record);
        self.count.note(&command, &decision);
        self.log.push(decision.clone());
        decision
    }

    pub(crate) fn made(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    pub(crate) fn order(&self, id: &OrderId) -> Order {
        Order::clone(self.state.orders.get(id.as_str()).unwrap())
    }

    pub(crate) fn reservation(&self, id: &str) -> Reservation {
        let all = self.state.inventory.reservations();
        Reservation::clone(all.get(id).unwrap())
    }

    pub(crate) fn available(&self, number: usize) -> i64 {
        let product = self.state.inventory.get(product(number).as_str());
        product.unwrap().available()
    }

    pub(crate) fn on_hand(&self, number: usize) -> i64 {
        let product = self.state.inventory.get(product(number).as_str());
        product.unwrap().stock.on_hand
    }

    /// Lets time pass and ends what has run out.
    pub(crate) fn pass(&mut self, millis: i64) {
        self.now = self.now.plus_millis(millis);
        self.act(inventory::Command::Expire);
    }

    /// Places an order and returns its id.
    pub(crate) fn place(&mut self, lines: &[(usize, i64)], method: &str, confirm: bool) -> OrderId {
        let place = self.placing(lines, method, confirm);
        let id = place.order.clone();
        self.act(order::Command::Place(Box::new(place)));
        id
    }

    pub(crate) fn placing(&mut self, lines: &[(usize, i64)], method: &str, confirm: bool) -> Place {
        let number = self.made();
        Place {
            order: OrderId::parse(&format!("O{number}")).unwrap(),
            reservation: ReservationId::parse(&format!("R{number}")).unwrap(),
            payment: PaymentId::parse(&format!("M{number}")).unwrap(),
            customer: CustomerId::parse("ann").unwrap(),
            store: None,
            lines: self::lines(lines),
            address: None,
            method: Some(method.into()),
            confirm,
            expected_total: None,
            currency: "USD".into(),
            ttl_millis: TTL,
            is_payable: true,
        }
    }

    pub(crate) fn take(&mut self, order: &OrderId, to: Transition) -> Decision {
        self.act(order::Command::Transition {
            order: order.clone(),
            to,
            expected_version: None,
        })
    }

    /// Does what the outside has to do about an order, once. Returns whether there was anything.
    pub(crate) fn step(&mut self, id: &OrderId, fault: Fault) -> bool {
        let Some((command, _)) = self.outcome(id, fault) else {
            return false;
        };
        self.act(command);
        true
    }

    /// Asks the bank, and returns what is to be recorded of its answer.
    pub(crate) fn outcome(&mut self, id: &OrderId, fault: Fault) -> Option<(order::Command, Step)> {
        let order = self.order(id);
        let step = next_step(&order)?;
        let id = order.order_id.clone();
        let command = match &step {
            Step::Charge => order::Command::RecordPayment {
                order: id,
                outcome: self.bank.charge(&order, fault),
            },
            Step::Void => order::Command::RecordPayment {
                order: id,
                outcome: self.bank.void(&order, fault),
            },
            Step::Refund(refund) => order::Command::RecordRefund {
                order: id,
                number: refund.number,
                outcome: self.bank.refund(&order, refund, fault),
            },
        };
        Some((command, step))
    }

    /// Does everything that is left to do, with a bank that answers.
    pub(crate) fn settle(&mut self) {
        for _ in 0..1_000 {
            let open: Vec<OrderId> = self
                .state
                .orders
                .open()
                .map(|order| order.order_id.clone())
                .collect();
            if open.is_empty() {
                return;
            }
            for id in open {
                self.step(&id, Fault::None);
            }
            if self.waits_for_a_key() {
                self.pass(REFUND_KEY_WAIT);
            }
        }
        panic!("the orders do not come to rest");
    }

    /// Whether a refund is on its way whose key is spent.
    fn waits_for_a_key(&self) -> bool {
        let refund = |order: &Order| order.payment.as_ref()?.refund.clone();
        let mut refunds = self.state.orders.open().filter_map(|order| refund(order));
        refunds.any(|refund| refund.spent_since.is_some())
    }

    /// What must hold at any moment.
    pub(crate) fn check(&self) {
        assert_eq!(
            self.count.differences(&self.state),
            [],
            "counted, and there"
        );
        let holds = self.state.inventory.reservations();
        for entry in self.state.inventory.entries().filter(|entry| entry.live) {
            let product = &entry.product;
            assert_eq!(product.stock.reserved, holds.held(product.id.as_str()));
            assert!(product.available() >= 0, "{product:?}");
        }
        let active: Vec<_> = holds.iter().filter(|hold| hold.is_active()).collect();
        assert_eq!(active.len(), holds.active());
        for hold in active {
            if let Some(order) = &hold.order_id {
                let order = self.order(order);
                assert!(!order.status.is_end(), "{order:?} holds units");
            }
        }
        for entry in self.state.orders.entries() {
            self.check_order(&entry.order);
        }
    }

    fn check_order(&self, order: &Order) {
        let hold = order
            .reservation_id
            .as_ref()
            .map(|id| self.reservation(id.as_str()).state);
        let payment = order.payment.as_ref();
        let account = payment.and_then(|payment| self.bank.accounts.get(&payment.payment_id));
        match order.status {
            OrderStatus::Pending => panic!("nobody sees {order:?}"),
            OrderStatus::Reserved | OrderStatus::Undecided => {
                assert_eq!(hold, Some(ReservationState::Active), "{order:?}");
            }
            OrderStatus::Paid => {
                assert_eq!(hold, Some(ReservationState::Active), "{order:?}");
                let hold = self.reservation(order.reservation_id.as_ref().unwrap().as_str());
                assert_eq!(hold.expires_at, None, "what is paid does not run out");
            }
            OrderStatus::Confirmed | OrderStatus::Completed => {
                assert_eq!(hold, Some(ReservationState::Committed), "{order:?}");
            }
            OrderStatus::Failed | OrderStatus::Cancelled => {
                assert_ne!(hold, Some(ReservationState::Active), "{order:?}");
            }
        }
        if let Some(account) = account {
            assert!(account.charges <= 1, "{order:?} was charged twice");
            let ended_unpaid = matches!(order.status, OrderStatus::Failed | OrderStatus::Cancelled);
            let settled = payment.map_or(0, |payment| payment.settled_amount.minor());
            let owed = account.kept() - settled;
            assert!(owed >= 0, "{order:?} was given back more than was taken");
            if ended_unpaid && next_step(order).is_none() && owed != 0 {
                let payment = payment.unwrap();
                assert!(payment.is_refund_failed(), "{order:?} keeps money");
                let asked = account.refused.get(&payment.refunds);
                // A part of what was refused then may be settled by now.
                assert!(
                    asked.is_some_and(|asked| (owed..=account.kept()).contains(asked)),
                    "{order:?} was not asked to give everything back"
                );
            }
        }
    }

    /// The state that the log gives, which must be the state there is.
    pub(crate) fn check_replay(&self) {
        let mut again = State::default();
        for (record, decision) in (1..).zip(&self.log) {
            again.apply(decision, record);
        }
        assert_eq!(again.inventory.digest(), self.state.inventory.digest());
        let all = |state: &State| -> Vec<Reservation> {
            let all = state.inventory.reservations().iter();
            all.map(|it| Reservation::clone(it)).collect()
        };
        assert_eq!(all(&again), all(&self.state));
        let all = |state: &State| -> BTreeMap<OrderId, Order> {
            let all = state.orders.entries();
            all.map(|it| (it.order.order_id.clone(), Order::clone(&it.order)))
                .collect()
        };
        assert_eq!(all(&again), all(&self.state));
    }

    /// Money that the bank kept, and what the orders say it should be. What was settled outside of it is
    /// still there.
    pub(crate) fn money(&self) -> (i64, i64) {
        let kept = self.bank.accounts.values().map(Account::kept).sum();
        let due = self.state.orders.entries().map(|entry| {
            let order = &entry.order;
            let back = order
                .payment
                .as_ref()
                .map_or(0, |payment| payment.refunded_amount.minor());
            let settled = order
                .payment
                .as_ref()
                .map_or(0, |payment| payment.settled_amount.minor());
            match order.status {
                OrderStatus::Paid | OrderStatus::Confirmed | OrderStatus::Completed => {
                    order.total_amount.minor() - back
                }
                _ => match &order.payment {
                    // Kept against our will.
                    Some(payment) if payment.is_refund_failed() => {
                        payment.refundable().minor() + settled
                    }
                    _ => settled,
                },
            }
        });
        (kept, due.sum())
    }
}

/// A reservation is resolved once; only time's verdict can be bought back, and only for good.
fn check_one_way(before: &Reservation, after: &Reservation) {
    use ReservationState::{Active, Committed, Expired};
    match (before.state, after.state) {
        (Active, _) | (Expired, Committed) => {}
        // A repeat says how it stands.
        _ if before == after => {}
        (from, to) => panic!("{from:?} → {to:?}"),
    }
    assert_eq!(before.lines, after.lines);
}

pub(crate) fn product(number: usize) -> ProductId {
    ProductId::parse(&format!("P{number}")).unwrap()
}

pub(crate) fn lines(lines: &[(usize, i64)]) -> Vec<Line> {
    let line = |(number, quantity): &(usize, i64)| Line {
        product_id: product(*number),
        quantity: *quantity,
    };
    lines.iter().map(line).collect()
}

pub(crate) fn reserve(id: &str, lines: &[(usize, i64)]) -> Reserve {
    Reserve {
        reservation: ReservationId::parse(id).unwrap(),
        named: true,
        owner: Owner::parse("basket").unwrap(),
        reference: None,
        store: None,
        lines: self::lines(lines),
        ttl_millis: TTL,
    }
}

pub(crate) fn refusal(decision: &Decision) -> &Rejection {
    match &decision.results[..] {
        [ItemResult::Refused(rejection)] => rejection,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn kinds(decision: &Decision) -> Vec<EventKind> {
    decision.orders.iter().map(|event| event.kind).collect()
}

pub(crate) fn minor(amount: i64) -> Money {
    Money::from_minor(amount).unwrap()
}
