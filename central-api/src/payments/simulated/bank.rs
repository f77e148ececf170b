//! The simulated bank: a plain value, to which `now` is an argument.
//!
//! ```text
//!   untouched ─▶ failing(n) ─▶ charged          void: every state but `charged` ─▶ voided
//!       │ ├─▶ pending(until) ─▶ charged
//!       │ └──────────────────▶ charged
//!       └─▶ declined
//! ```
//!
//! A pending charge lands by itself: whoever looks at a payment settles it first, so that nothing
//! depends on when somebody looks.
//!
//! Bounded: the payments that were first seen longest ago are forgotten, which is to them as if the
//! process had been started anew.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use shared::clock::Timestamp;
use shared::limits;

use crate::payments::{
    ChargeOutcome, ChargeRequest, Doubt, Paid, PaymentKey, RefundOutcome, RefundRequest,
    VoidOutcome,
};

/// What references begin with; the key follows.
const REFERENCE: &str = "sim-";
/// How often `card_error` fails.
const ERRORS: u8 = 3;

/// What a payment method does.
#[derive(Clone, Copy, Debug)]
enum Manner {
    Approves,
    Declines,
    NeverAnswers,
    LosesAnswer,
    ChargesLate,
    FailsFirst,
    KeepsMoney,
}

impl Manner {
    fn of(method: Option<&str>) -> Self {
        match method {
            Some("card_declined") => Self::Declines,
            Some("card_timeout") => Self::NeverAnswers,
            Some("card_lost_answer") => Self::LosesAnswer,
            Some("card_late") => Self::ChargesLate,
            Some("card_error") => Self::FailsFirst,
            Some("card_refund_refused") => Self::KeepsMoney,
            _ => Self::Approves,
        }
    }
}

/// Where a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Untouched,
    Failing(u8),
    Pending {
        lands_at: Timestamp,
    },
    Charged,
    Declined(&'static str),
    Voided,
    /// Known by a refund of it only: charged in an earlier life of the process.
    Earlier,
}

#[derive(Debug)]
struct Payment {
    /// What the first charge or void was for; nothing yet, if there was none.
    asked: Option<ChargeRequest>,
    state: State,
    statement: Statement,
    refunds: HashMap<PaymentKey, RefundRequest>,
}

impl Payment {
    /// Whether `request` is what this key stands for.
    fn is_for(&mut self, request: &ChargeRequest) -> bool {
        let asked = self.asked.get_or_insert_with(|| request.clone());
        asked.amount == request.amount
            && asked.currency == request.currency
            && asked.method == request.method
            && asked.order_id == request.order_id
    }

    fn take_money(&mut self) {
        let amount = self.asked.as_ref().map_or(0, |asked| asked.amount.minor());
        self.state = State::Charged;
        self.statement.charges += 1;
        self.statement.charged_minor += amount;
    }
}

/// What really happened, under one key or under all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    /// How often money was taken. More than one for a key is what must never be.
    pub charges: u32,
    /// How much, in hundredths.
    pub charged_minor: i64,
    /// How often money was given back.
    pub refunds: u32,
    /// How much, in hundredths.
    pub refunded_minor: i64,
}

/// All payments that are remembered.
#[derive(Debug)]
pub struct Bank {
    payments: HashMap<PaymentKey, Payment>,
    /// In the order in which they were first seen.
    seen: VecDeque<PaymentKey>,
    late_millis: i64,
    most: usize,
}

impl Bank {
    /// A bank in which a late charge lands `late` after it was asked for.
    #[must_use]
    pub fn new(late: Duration) -> Self {
        Self::holding(late, limits::SIMULATED_PAYMENTS)
    }

    /// The same, remembering at most `most` payments.
    pub(super) fn holding(late: Duration, most: usize) -> Self {
        Self {
            payments: HashMap::new(),
            seen: VecDeque::new(),
            late_millis: i64::try_from(late.as_millis()).unwrap_or(i64::MAX),
            most,
        }
    }

    /// The payment under `key` as it stands at `now`.
    fn payment(&mut self, key: &PaymentKey, now: Timestamp) -> &mut Payment {
        if !self.payments.contains_key(key) {
            if self.seen.len() >= self.most
                && let Some(oldest) = self.seen.pop_front()
            {
                self.payments.remove(&oldest);
            }
            self.seen.push_back(key.clone());
        }
        let fresh = || Payment {
            asked: None,
            state: State::Untouched,
            statement: Statement::default(),
            refunds: HashMap::new(),
        };
        let payment = self.payments.entry(key.clone()).or_insert_with(fresh);
        if let State::Pending { lands_at } = payment.state
            && lands_at <= now
        {
            payment.take_money();
        }
        payment
    }

    /// Charges; `None` is no answer at all.
    pub fn charge(&mut self, request: &ChargeRequest, now: Timestamp) -> Option<ChargeOutcome> {
        let late_millis = self.late_millis;
        let payment = self.payment(&request.key, now);
        if !payment.is_for(request) {
            return Some(ChargeOutcome::Unknown(Doubt::KeyReused));
        }
        let manner = Manner::of(request.method.as_deref());
        match payment.state {
            State::Untouched if request.amount.minor() > limits::SIMULATED_CHARGE_MINOR => {
                payment.state = State::Declined("amount_too_large");
            }
            State::Untouched => match manner {
                Manner::NeverAnswers => return None,
                Manner::Declines => payment.state = State::Declined("card_declined"),
                Manner::Approves | Manner::KeepsMoney => payment.take_money(),
                Manner::LosesAnswer => {
                    payment.take_money();
                    return Some(ChargeOutcome::Unknown(Doubt::ConnectionLost));
                }
                Manner::ChargesLate => {
                    let lands_at = now.plus_millis(late_millis);
                    payment.state = State::Pending { lands_at };
                    return None;
                }
                Manner::FailsFirst => {
                    payment.state = State::Failing(1);
                    return Some(ChargeOutcome::Unknown(Doubt::ServerError(503)));
                }
            },
            State::Failing(times) if times < ERRORS => {
                payment.state = State::Failing(times + 1);
                return Some(ChargeOutcome::Unknown(Doubt::ServerError(503)));
            }
            State::Failing(_) => payment.take_money(),
            State::Pending { .. } => {
                return Some(ChargeOutcome::Unknown(Doubt::InProgress));
            }
            State::Charged | State::Declined(_) | State::Voided | State::Earlier => {}
        }
        Some(match payment.state {
            State::Declined(code) => {
                ChargeOutcome::declined(code, "The simulated bank declined the charge.")
            }
            State::Voided => ChargeOutcome::declined("voided", "The payment was given up before."),
            _ => ChargeOutcome::Approved(paid(&request.key)),
        })
    }

    /// Makes sure that nothing more is charged.
    pub fn void(&mut self, request: &ChargeRequest, now: Timestamp) -> VoidOutcome {
        let payment = self.payment(&request.key, now);
        if !payment.is_for(request) {
            return VoidOutcome::Unknown(Doubt::KeyReused);
        }
        match payment.state {
            State::Charged | State::Earlier => VoidOutcome::Charged(paid(&request.key)),
            State::Untouched
            | State::Failing(_)
            | State::Pending { .. }
            | State::Declined(_)
            | State::Voided => {
                payment.state = State::Voided;
                VoidOutcome::Voided
            }
        }
    }

    /// Gives back.
    pub fn refund(&mut self, request: &RefundRequest, now: Timestamp) -> RefundOutcome {
        let key = request.reference.strip_prefix(REFERENCE);
        let Some(Ok(key)) = key.map(PaymentKey::parse) else {
            return RefundOutcome::refused("no_such_charge", "There is no such charge.");
        };
        let payment = self.payment(&key, now);
        if let Some(earlier) = payment.refunds.get(&request.key) {
            return if earlier.amount == request.amount {
                refunded(&request.key)
            } else {
                RefundOutcome::Unknown(Doubt::KeyReused)
            };
        }
        let asked = payment.asked.as_ref();
        let manner = Manner::of(asked.and_then(|asked| asked.method.as_deref()));
        if matches!(manner, Manner::KeepsMoney) {
            let code = "refund_refused";
            return RefundOutcome::refused(code, "The simulated bank gives nothing back.");
        }
        let amount = request.amount.minor();
        let Statement {
            charged_minor,
            refunded_minor,
            ..
        } = payment.statement;
        match payment.state {
            State::Untouched if payment.asked.is_none() => payment.state = State::Earlier,
            State::Earlier => {}
            State::Charged if refunded_minor + amount <= charged_minor => {}
            State::Charged => {
                let code = "amount_exceeds_charge";
                return RefundOutcome::refused(code, "More would be given back than was charged.");
            }
            State::Untouched
            | State::Failing(_)
            | State::Pending { .. }
            | State::Declined(_)
            | State::Voided => {
                return RefundOutcome::refused("not_charged", "Nothing was charged.");
            }
        }
        payment.refunds.insert(request.key.clone(), request.clone());
        payment.statement.refunds += 1;
        payment.statement.refunded_minor += amount;
        refunded(&request.key)
    }

    /// What happened under `key` up to `now`. Looking leaves no trace.
    pub fn statement(&mut self, key: &PaymentKey, now: Timestamp) -> Statement {
        if self.payments.contains_key(key) {
            self.payment(key, now).statement
        } else {
            Statement::default()
        }
    }

    /// What happened under all remembered keys up to `now`.
    pub fn total(&mut self, now: Timestamp) -> Statement {
        let keys: Vec<_> = self.payments.keys().cloned().collect();
        let mut total = Statement::default();
        for key in &keys {
            let one = self.statement(key, now);
            total.charges += one.charges;
            total.charged_minor += one.charged_minor;
            total.refunds += one.refunds;
            total.refunded_minor += one.refunded_minor;
        }
        total
    }
}

/// What an approval says: made of the key alone, so that it is the same in every life.
fn paid(key: &PaymentKey) -> Paid {
    Paid {
        reference: format!("{REFERENCE}{key}").into(),
        authorization_code: Some(format!("AUTH-{:08X}", digest(key) >> 32).into()),
    }
}

fn refunded(key: &PaymentKey) -> RefundOutcome {
    let reference: Arc<str> = format!("REF-{:016X}", digest(key)).into();
    RefundOutcome::Refunded { reference }
}

/// FNV-1a, which is the same on every machine and in every version.
fn digest(key: &PaymentKey) -> u64 {
    key.as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}
