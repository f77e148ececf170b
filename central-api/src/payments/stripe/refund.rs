//! A refund, and a look at the intent's refunds where the answer is unclear.

use super::answer::{Refund, RefundList};
use super::client::{Ask, Fault};
use super::{Stripe, currency};
use crate::payments::{RefundOutcome, RefundRequest};

impl Stripe {
    pub(super) async fn refunded(&self, request: &RefundRequest) -> RefundOutcome {
        let Some(amount) = currency::amount(request.amount, &request.currency) else {
            let code = "amount_not_payable";
            return RefundOutcome::refused(code, "The currency has no such amount.");
        };
        if self.keys_are_old(request.since) {
            match self.refund_of(request).await {
                Ok(Some(refund)) => return refund.outcome(),
                Ok(None) => {}
                Err(fault) => return fault.ending(),
            }
        }
        let form = refund_form(request, amount);
        let key = format!("{}-refund", request.key);
        let ask = Ask::post("v1/refunds", &form, Some(&key));
        let correlation = request.correlation.as_ref();
        let fault = match self.client.ask::<Refund>(ask, correlation).await {
            Ok(refund) => return refund.outcome(),
            Err(fault) => fault,
        };
        if let Fault::NotSent(reason) = fault {
            return RefundOutcome::NotSent(reason);
        }
        // The answer may be an old failure that is replayed, or say what we did ourselves before.
        match (self.refund_of(request).await, fault) {
            (Ok(Some(refund)), _) => refund.outcome(),
            (Ok(None), Fault::Invalid { code, message } | Fault::Card { code, message }) => {
                RefundOutcome::Refused { code, message }
            }
            (_, fault) => RefundOutcome::Unknown(fault.doubt()),
        }
    }

    /// The refund that was made under the request's key, if there is one.
    async fn refund_of(&self, request: &RefundRequest) -> Result<Option<Refund>, Fault> {
        let form = [
            ("payment_intent", request.reference.to_string()),
            ("limit", "100".to_owned()),
        ];
        let ask = Ask::get("v1/refunds", &form);
        let list: RefundList = self.client.ask(ask, request.correlation.as_ref()).await?;
        let of_key = |refund: &Refund| refund.is_of(&request.key);
        Ok(list.data.into_iter().find(of_key))
    }
}

fn refund_form(request: &RefundRequest, amount: i64) -> Vec<(&'static str, String)> {
    vec![
        ("payment_intent", request.reference.to_string()),
        ("amount", amount.to_string()),
        ("metadata[refund_key]", request.key.to_string()),
    ]
}
