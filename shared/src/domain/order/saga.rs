//! What the outside still has to do about an order.
//!
//! | the order is | its payment is | step | undone by |
//! |---|---|---|---|
//! | reserved, undecided | requested, unknown | charge | void while it is not known to be charged, refund after |
//! | failed, cancelled | requested, unknown | void | nothing: it only makes sure that nothing happened |
//! | any | charged, and something is on its way back | refund | nothing: money that went back stays there |
//!
//! A refund that the provider refuses is no step any more. If it was for a part, and the order came
//! to nothing, the rest is asked for instead; if it was for all that was left, asking again is for
//! people to decide, and so is settling it by other means.
//!
//! Each step has a key that follows from the order, so doing one twice is doing it once.

use super::{Order, OrderStatus, Refund};

/// What has to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Have it paid.
    Charge,
    /// Make sure that nothing is charged for it any more, or learn that it was.
    Void,
    /// Give money back.
    Refund(Refund),
}

impl Step {
    /// The word in the order's history.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Void => "void",
            Self::Refund(_) => "refund",
        }
    }
}

/// What has to be done next about `order`; `None` if nothing has.
#[must_use]
pub fn next_step(order: &Order) -> Option<Step> {
    let payment = order.payment.as_ref()?;
    if payment.is_open() {
        return match order.status {
            OrderStatus::Reserved | OrderStatus::Undecided => Some(Step::Charge),
            OrderStatus::Failed | OrderStatus::Cancelled => Some(Step::Void),
            // Those came about because the payment was known.
            OrderStatus::Pending
            | OrderStatus::Paid
            | OrderStatus::Confirmed
            | OrderStatus::Completed => None,
        };
    }
    payment.refund.clone().map(Step::Refund)
}
