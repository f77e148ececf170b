//! A charge: create, confirm, and a look at the intent where the answer is unclear.

use super::answer::{Intent, Status};
use super::client::Fault;
use super::{Stripe, currency};
use crate::payments::{ChargeOutcome, ChargeRequest, Doubt, Text};

impl Stripe {
    pub(super) async fn charged(&self, request: &ChargeRequest) -> ChargeOutcome {
        if request.method.is_none() {
            let code = "payment_method_required";
            return ChargeOutcome::declined(code, "A payment method is required.");
        }
        let Some(amount) = currency::amount(request.amount, &request.currency) else {
            let code = "amount_not_payable";
            return ChargeOutcome::declined(code, "The currency has no such amount.");
        };
        if self.keys_are_old(request.since) {
            return self.charged_long_ago(request).await;
        }
        let intent = match self.create(request, amount).await {
            Ok(intent) => intent,
            Err(fault) => return not_created(&fault, request),
        };
        match self.confirm(&intent.id, request).await {
            // What is replayed is how it stood then.
            Ok(then) if then.status == Status::Processing => {
                match self.intent(&then.id, request).await {
                    Ok(now) => self.judged(now, request).await,
                    Err(_) => ChargeOutcome::Unknown(Doubt::Processing),
                }
            }
            Ok(intent) => self.judged(intent, request).await,
            Err(fault) => self.in_doubt(&intent.id, fault, request).await,
        }
    }

    /// What became of a charge whose keys are forgotten. Nothing new is begun for it.
    async fn charged_long_ago(&self, request: &ChargeRequest) -> ChargeOutcome {
        let expired = || ChargeOutcome::declined("payment_expired", "The payment took too long.");
        let intent = match self.find(request).await {
            Ok(Some(intent)) => intent,
            Ok(None) if self.search_knows(request.since) => return expired(),
            Ok(None) => return ChargeOutcome::Unknown(Doubt::Processing),
            Err(fault) => return fault.ending(),
        };
        if intent.status != Status::RequiresConfirmation {
            // What a search says may be a minute old.
            return match self.intent(&intent.id, request).await {
                Ok(intent) => self.judged(intent, request).await,
                Err(fault) => fault.ending(),
            };
        }
        match self.cancel(&intent.id, request).await {
            Ok(intent) if intent.status == Status::Canceled => expired(),
            Ok(intent) => self.judged(intent, request).await,
            Err(fault) => fault.ending(),
        }
    }

    /// What an intent's status says about the charge.
    async fn judged(&self, intent: Intent, request: &ChargeRequest) -> ChargeOutcome {
        match intent.status {
            Status::Succeeded => ChargeOutcome::Approved(intent.paid()),
            Status::RequiresPaymentMethod => intent.declined(),
            Status::Canceled => {
                ChargeOutcome::declined("payment_canceled", "The payment was given up before.")
            }
            Status::RequiresAction => match self.cancel(&intent.id, request).await {
                Ok(intent) if intent.status == Status::Succeeded => {
                    ChargeOutcome::Approved(intent.paid())
                }
                Ok(intent) if intent.status == Status::Canceled => ChargeOutcome::declined(
                    "authentication_required",
                    "The bank wants the customer to confirm the payment.",
                ),
                Ok(_) => ChargeOutcome::Unknown(Doubt::Processing),
                Err(fault) => ChargeOutcome::Unknown(fault.doubt()),
            },
            // Asked to be confirmed and not confirmed: the confirm may be on its way.
            Status::Processing | Status::RequiresConfirmation => {
                ChargeOutcome::Unknown(Doubt::Processing)
            }
            Status::RequiresCapture | Status::Other => ChargeOutcome::Unknown(Doubt::Garbled),
        }
    }

    /// What became of a confirm with an unclear answer.
    async fn in_doubt(&self, id: &str, fault: Fault, request: &ChargeRequest) -> ChargeOutcome {
        match &fault {
            Fault::Card { code, message, .. } => {
                let (code, message) = (code.clone(), message.clone());
                return ChargeOutcome::Declined { code, message };
            }
            // Nothing to look at: no answer means that there is none to be had now.
            Fault::NotSent(reason) => return ChargeOutcome::NotSent(reason.clone()),
            Fault::InProgress => return ChargeOutcome::Unknown(Doubt::InProgress),
            Fault::Invalid { .. }
            | Fault::KeyReused
            | Fault::Server { .. }
            | Fault::Lost
            | Fault::Garbled => {}
        }
        match (self.intent(id, request).await, fault) {
            (Ok(intent), Fault::Invalid { code, message }) if intent.awaits_confirmation() => {
                self.refused(id, code, message, request).await
            }
            (Ok(intent), _) if !intent.awaits_confirmation() => self.judged(intent, request).await,
            (_, fault) => ChargeOutcome::Unknown(fault.doubt()),
        }
    }

    /// The request itself is at fault and will always be: the intent is not left lying about.
    async fn refused(
        &self,
        id: &str,
        code: Text,
        message: Text,
        request: &ChargeRequest,
    ) -> ChargeOutcome {
        log_refusal(&code, request);
        match self.cancel(id, request).await {
            Ok(intent) if intent.status == Status::Succeeded => {
                ChargeOutcome::Approved(intent.paid())
            }
            Ok(intent) if intent.status == Status::Canceled => {
                ChargeOutcome::Declined { code, message }
            }
            Ok(_) => ChargeOutcome::Unknown(Doubt::Processing),
            Err(fault) => ChargeOutcome::Unknown(fault.doubt()),
        }
    }
}

/// What a failed create says about the charge. A refusal of its parameters is for good: the same
/// parameters have never been accepted under this key, or the acceptance would have been replayed.
fn not_created(fault: &Fault, request: &ChargeRequest) -> ChargeOutcome {
    match fault {
        Fault::Invalid { code, message } | Fault::Card { code, message } => {
            log_refusal(code, request);
            let (code, message) = (code.clone(), message.clone());
            ChargeOutcome::Declined { code, message }
        }
        other => other.ending(),
    }
}

/// A defect or a setting of ours, which somebody has to look at.
fn log_refusal(code: &Text, request: &ChargeRequest) {
    tracing::error!(
        order_id = %request.order_id,
        %code,
        "the payment provider refuses the request"
    );
}
