//! A payment provider that honours its keys, and fails on order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shared::domain::ids::PaymentId;
use shared::domain::order::{self, Order, PaymentOutcome, RefundOutcome};

/// What goes wrong with one call to the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// The question never arrived.
    Lost,
    /// It was done, and the answer never arrived.
    AnswerLost,
    /// A refund is refused for good; anything else is done.
    Refused,
    /// A refund fails, and the failure is what its key is answered with from then on; anything else is
    /// done.
    Kept,
}

/// What the bank really did under one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) charges: u32,
    pub(crate) charged: i64,
    pub(crate) voided: bool,
    pub(crate) declined: bool,
    /// By refund number.
    pub(crate) refunds: BTreeMap<u32, i64>,
    /// Likewise what it refused to give back.
    pub(crate) refused: BTreeMap<u32, i64>,
    /// The keys of refunds whose answer is an old failure: the refund's number and the key's.
    pub(crate) spent: BTreeSet<(u32, u32)>,
}

impl Account {
    pub(crate) fn kept(&self) -> i64 {
        self.charged - self.refunds.values().sum::<i64>()
    }
}

/// A payment provider that honours its keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bank {
    pub(crate) accounts: BTreeMap<PaymentId, Account>,
}

impl Bank {
    pub(crate) fn charge(&mut self, order: &Order, fault: Fault) -> PaymentOutcome {
        let payment = order.payment.as_ref().unwrap();
        if fault == Fault::Lost {
            return unknown();
        }
        let account = self.accounts.entry(payment.payment_id.clone()).or_default();
        if order.payment_method.as_deref() == Some("card_declined") || account.voided {
            account.declined = true;
        } else if account.charges == 0 {
            account.charges = 1;
            account.charged = payment.amount.minor();
        }
        let outcome = if account.declined {
            PaymentOutcome::Declined {
                code: "card_declined".into(),
                message: "no".into(),
            }
        } else {
            approved()
        };
        answered(outcome, fault)
    }

    pub(crate) fn void(&mut self, order: &Order, fault: Fault) -> PaymentOutcome {
        let payment = order.payment.as_ref().unwrap();
        if fault == Fault::Lost {
            return unknown();
        }
        let account = self.accounts.entry(payment.payment_id.clone()).or_default();
        let outcome = if account.charges > 0 {
            approved()
        } else {
            account.voided = true;
            PaymentOutcome::Voided
        };
        answered(outcome, fault)
    }

    pub(crate) fn refund(
        &mut self,
        order: &Order,
        refund: &order::Refund,
        fault: Fault,
    ) -> RefundOutcome {
        let reason = Arc::from("no answer");
        if fault == Fault::Lost {
            return RefundOutcome::Unknown { reason };
        }
        let payment = order.payment.as_ref().unwrap();
        let account = self.accounts.entry(payment.payment_id.clone()).or_default();
        let (number, amount) = (refund.number, refund.amount.minor());
        // What was said under a key stays said.
        let is_new =
            !account.refunds.contains_key(&number) && !account.refused.contains_key(&number);
        let key = (number, refund.key_number);
        let is_spent = account.spent.contains(&key);
        match fault {
            Fault::Kept if is_new => {
                account.spent.insert(key);
            }
            Fault::Refused if is_new && !is_spent => {
                account.refused.insert(number, amount);
            }
            _ if is_new && !is_spent => {
                account.refunds.insert(number, amount);
            }
            _ => {}
        }
        assert!(account.kept() >= 0, "more went back than was taken");
        if fault == Fault::AnswerLost {
            return RefundOutcome::Unknown { reason };
        }
        // Whoever finds no refund is told of the key.
        if is_new && account.spent.contains(&key) {
            return RefundOutcome::KeySpent {
                key_number: refund.key_number,
                reason,
            };
        }
        if account.refused.contains_key(&number) {
            return RefundOutcome::Refused {
                code: "charge_disputed".into(),
                message: "the charge is disputed".into(),
            };
        }
        RefundOutcome::Refunded {
            reference: "re_1".into(),
        }
    }
}

fn answered(outcome: PaymentOutcome, fault: Fault) -> PaymentOutcome {
    match fault {
        Fault::AnswerLost => unknown(),
        Fault::None | Fault::Lost | Fault::Refused | Fault::Kept => outcome,
    }
}

pub(crate) fn approved() -> PaymentOutcome {
    PaymentOutcome::Approved {
        reference: "ch_1".into(),
        authorization_code: Some("AUTH".into()),
    }
}

pub(crate) fn unknown() -> PaymentOutcome {
    PaymentOutcome::Unknown {
        reason: "no answer".into(),
    }
}
