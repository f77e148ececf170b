//! A refund, and a look at it, or at all of the intent's, where the answer is unclear.
//!
//! What must stay true: a refund that is there is found before it is asked for under a later key, and
//! "it is not there" is said only of a list that was read to its end. One that is `pending` is neither
//! given nor refused. The answer to its key will say `pending` for as long as the key is kept, whatever
//! has become of it since, so it is looked at by its id.

use shared::limits;

use super::answer::{Refund, RefundList};
use super::client::{Ask, Fault};
use super::{Stripe, currency};
use crate::payments::{Doubt, RefundOutcome, RefundRequest};

impl Stripe {
    pub(super) async fn refunded(&self, request: &RefundRequest) -> RefundOutcome {
        let Some(amount) = currency::amount(request.amount, &request.currency) else {
            let code = "amount_not_payable";
            return RefundOutcome::refused(code, "The currency has no such amount.");
        };
        if request.key_number > 1 || self.keys_are_old(request.since) {
            match self.refund_of(request).await {
                Ok(Some(refund)) => return refund.outcome(),
                Ok(None) => {}
                Err(fault) => return fault.ending(),
            }
        }
        let form = refund_form(request, amount);
        let key = stripes_key(request);
        let ask = Ask::post("v1/refunds", &form, Some(&key));
        let correlation = request.correlation.as_ref();
        let fault = match self.client.ask::<Refund>(ask, correlation).await {
            Ok(refund) if refund.is_open() => return self.looked_at(&refund, request).await,
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
            (
                Ok(None),
                Fault::Server {
                    status,
                    replayed: true,
                },
            ) => RefundOutcome::KeySpent(Doubt::ServerError(status)),
            (_, fault) => RefundOutcome::Unknown(fault.doubt()),
        }
    }

    /// What has become of a refund that was open when it was asked for. Whoever cannot look knows that
    /// it was accepted, and no more.
    async fn looked_at(&self, refund: &Refund, request: &RefundRequest) -> RefundOutcome {
        let path = format!("v1/refunds/{}", refund.id);
        let ask = Ask::get(&path, &[]);
        let now = self.client.ask::<Refund>(ask, request.correlation.as_ref());
        match now.await {
            Ok(now) if now.id == refund.id => now.outcome(),
            Ok(_) | Err(_) => refund.outcome(),
        }
    }

    /// The refund that was made under any of the request's keys; `None` if it is certain that there is
    /// none.
    async fn refund_of(&self, request: &RefundRequest) -> Result<Option<Refund>, Fault> {
        let mut after: Option<String> = None;
        for _ in 0..limits::REFUND_PAGES {
            let mut form = vec![
                ("payment_intent", request.reference.to_string()),
                ("limit", "100".to_owned()),
            ];
            form.extend(after.map(|id| ("starting_after", id)));
            let ask = Ask::get("v1/refunds", &form);
            let list: RefundList = self.client.ask(ask, request.correlation.as_ref()).await?;
            after = list.data.last().map(|refund| refund.id.clone());
            let of_key = |refund: &Refund| refund.is_of(&request.key);
            if let Some(found) = list.data.into_iter().find(of_key) {
                return Ok(Some(found));
            }
            match (list.has_more, &after) {
                (false, _) => return Ok(None),
                (true, Some(_)) => {}
                // More, and no way to ask for it.
                (true, None) => return Err(Fault::Garbled),
            }
        }
        Err(Fault::Garbled)
    }
}

/// The key in Stripe's words.
fn stripes_key(request: &RefundRequest) -> String {
    match request.key_number {
        0 | 1 => format!("{}-refund", request.key),
        later => format!("{}-refund-{later}", request.key),
    }
}

fn refund_form(request: &RefundRequest, amount: i64) -> Vec<(&'static str, String)> {
    vec![
        ("payment_intent", request.reference.to_string()),
        ("amount", amount.to_string()),
        ("metadata[refund_key]", request.key.to_string()),
    ]
}
