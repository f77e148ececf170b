//! A void: learn the intent's id, and cancel it.

use super::answer::Status;
use super::client::Fault;
use super::{Stripe, currency};
use crate::payments::{ChargeRequest, Doubt, VoidOutcome};

impl Stripe {
    pub(super) async fn voided(&self, request: &ChargeRequest) -> VoidOutcome {
        let amount = currency::amount(request.amount, &request.currency);
        let (Some(amount), Some(_)) = (amount, &request.method) else {
            // Such a charge is declined before anything is sent.
            return VoidOutcome::Voided;
        };
        let known = if self.keys_are_old(request.since) {
            self.find(request).await
        } else {
            match self.create(request, amount).await {
                // No intent was ever handed out under this key, so none was confirmed.
                Err(
                    Fault::Invalid { .. }
                    | Fault::Card { .. }
                    | Fault::Server { replayed: true, .. },
                ) => return VoidOutcome::Voided,
                created => created.map(Some),
            }
        };
        let intent = match known {
            Ok(Some(intent)) => intent,
            // No intent has this key, and nobody creates any more.
            Ok(None) if self.search_knows(request.since) => return VoidOutcome::Voided,
            Ok(None) => return VoidOutcome::Unknown(Doubt::Processing),
            Err(fault) => return fault.ending(),
        };
        match self.cancel(&intent.id, request).await {
            Ok(intent) => match intent.status {
                Status::Canceled => VoidOutcome::Voided,
                Status::Succeeded => VoidOutcome::Charged(intent.paid()),
                _ => VoidOutcome::Unknown(Doubt::Processing),
            },
            // The cancelling itself was not sent, or not let in; what was before stays.
            Err(fault) => fault.ending(),
        }
    }
}
