//! Stripe, by its payment intents.
//!
//! ```text
//!  charge   create (key <k>-create) ─▶ id ─▶ confirm (key <k>-confirm) ─▶ status
//!  void     create (key <k>-create) ─▶ id ─▶ cancel ─▶ status
//!  refund   POST /v1/refunds (key <k>-refund, later <k>-refund-2 and so on) ─▶ GET while it is pending
//!  in doubt GET the intent, or the intent's refunds: the state decides, not the answer
//! ```
//!
//! Why two calls for a charge: money moves only when an intent is confirmed, and an intent is
//! charged once at most. The first call costs nothing and fixes the id, so a void can always learn
//! it (the replay of a create is the created intent) and cancel it; from then on even a confirm that
//! is still on its way fails. A void of what was never asked makes an intent and cancels it, for the
//! same reason.
//!
//! What Stripe promises, and what follows:
//!
//! - A key's first answer is kept *whatever it was*, a 500 included. So repeating a confirm that
//!   ended in a 500 gives that 500 for ever; therefore every unclear answer is followed by a look at
//!   the intent. A create whose **replayed** answer is a 500 has never handed out an id, hence was
//!   never confirmed: a void is done with that.
//! - A refund whose key is answered with a **replayed** 5xx would be blocked for as long as the key is
//!   kept. That replay proves that the call under the key has ended, so no call that is still on its
//!   way can do more; only what the failed call left half done may follow. Hence
//!   [`KeySpent`](RefundOutcome::KeySpent): if the list of the intent's refunds, read to its end, does
//!   not have it either, it is asked for under the next key after a wait that the order's log keeps.
//!   Before a later key is used the list is read once more. All keys share the metadata
//!   `refund_key`, which is what the look goes by. A 5xx that is not marked as replayed proves
//!   nothing, and is asked again under the same key.
//! - A refund may be `pending` for days, and fail in the end. It is looked at by its id until it is
//!   `succeeded`, `failed` or `canceled`; until then nobody knows
//!   ([`Processing`](super::Doubt::Processing)). What fails after it had succeeded is not learned here.
//! - Keys are forgotten after 24 hours. A repeat after that would create, and charge, anew. So what
//!   was first asked for more than [`KEYS_LAST_MS`] ago is looked up by the key in its metadata and
//!   never created: an intent that was not confirmed in that time is cancelled, and one that is not
//!   there was not made. The search lags behind by a minute or so, hence the hour between that and
//!   [`SEARCH_KNOWS_MS`], in which not finding an intent says nothing.
//! - Cancelling is repeatable by nature, and is sent without a key: its first answer ("not now, it
//!   is being processed") must not be its last.
//! - 401, 403 and 429 are given before keys are looked at. They say nothing of earlier calls, so
//!   they are [`NotSent`](super::NotSent), never a decline.
//!
//! A customer cannot be asked for anything from here: an intent that wants it (`requires_action`) is
//! cancelled and declined as `authentication_required`.

mod answer;
mod charge;
mod client;
mod currency;
mod refund;
mod void;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use secrecy::SecretString;
use shared::clock::{Clock, Timestamp};

use super::{
    ChargeOutcome, ChargeRequest, PaymentProvider, RefundOutcome, RefundRequest, VoidOutcome,
};
use answer::{Intent, Search, Status};
pub use client::ClientFault;
use client::{Ask, Client, Fault};

/// Milliseconds for which a key is relied on, of the 24 hours that Stripe keeps it.
pub const KEYS_LAST_MS: i64 = 22 * 3_600_000;
/// Milliseconds after which a search finds whatever was made in the time before.
pub const SEARCH_KNOWS_MS: i64 = 23 * 3_600_000;

/// Stripe, or what speaks like it.
#[derive(Debug)]
pub struct Stripe {
    client: Client,
    clock: Arc<dyn Clock>,
}

impl Stripe {
    /// The Stripe at `url`, to which `key` is the secret key. Install a TLS provider before.
    ///
    /// # Errors
    /// [`ClientFault`].
    pub fn new(url: &str, key: &SecretString, clock: Arc<dyn Clock>) -> Result<Self, ClientFault> {
        let client = Client::new(url, key)?;
        Ok(Self { client, clock })
    }

    /// Whether the keys of what was first asked for at `since` may have been forgotten.
    fn keys_are_old(&self, since: Timestamp) -> bool {
        self.clock.now().millis_since(since) >= KEYS_LAST_MS
    }

    /// Whether what a search does not find is not there.
    fn search_knows(&self, since: Timestamp) -> bool {
        self.clock.now().millis_since(since) >= SEARCH_KNOWS_MS
    }

    /// Makes the intent, or learns of the one that was made.
    async fn create(&self, request: &ChargeRequest, amount: i64) -> Result<Intent, Fault> {
        let form = create_form(request, amount);
        let key = format!("{}-create", request.key);
        let ask = Ask::post("v1/payment_intents", &form, Some(&key));
        self.client.ask(ask, request.correlation.as_ref()).await
    }

    async fn intent(&self, id: &str, request: &ChargeRequest) -> Result<Intent, Fault> {
        let path = format!("v1/payment_intents/{id}");
        let form = [("expand[]", "latest_charge".to_owned())];
        let ask = Ask::get(&path, &form);
        self.client.ask(ask, request.correlation.as_ref()).await
    }

    /// The intent of a key that Stripe may have forgotten.
    async fn find(&self, request: &ChargeRequest) -> Result<Option<Intent>, Fault> {
        let key = request
            .key
            .as_str()
            .replace('\\', r"\\")
            .replace('"', "\\\"");
        let form = [
            ("query", format!("metadata[\"payment_key\"]:\"{key}\"")),
            ("limit", "1".to_owned()),
        ];
        let ask = Ask::get("v1/payment_intents/search", &form);
        let found: Search = self.client.ask(ask, request.correlation.as_ref()).await?;
        Ok(found.data.into_iter().next())
    }

    async fn confirm(&self, id: &str, request: &ChargeRequest) -> Result<Intent, Fault> {
        let path = format!("v1/payment_intents/{id}/confirm");
        let form = [("expand[]", "latest_charge".to_owned())];
        let key = format!("{}-confirm", request.key);
        let ask = Ask::post(&path, &form, Some(&key));
        self.client.ask(ask, request.correlation.as_ref()).await
    }

    /// Cancels, and says how the intent stands after that, by looking if the answer does not say.
    async fn cancel(&self, id: &str, request: &ChargeRequest) -> Result<Intent, Fault> {
        let path = format!("v1/payment_intents/{id}/cancel");
        let form = [("expand[]", "latest_charge".to_owned())];
        let ask = Ask::post(&path, &form, None);
        let correlation = request.correlation.as_ref();
        match self.client.ask::<Intent>(ask, correlation).await {
            Ok(intent) => Ok(intent),
            Err(fault) => {
                let seen = self.intent(id, request).await;
                match seen {
                    Ok(intent) if intent.status.is_final() => Ok(intent),
                    Ok(intent) if intent.status == Status::Processing => Ok(intent),
                    _ => Err(fault),
                }
            }
        }
    }
}

impl PaymentProvider for Stripe {
    fn charge<'a>(&'a self, request: &'a ChargeRequest) -> BoxFuture<'a, ChargeOutcome> {
        Box::pin(self.charged(request))
    }

    fn void<'a>(&'a self, request: &'a ChargeRequest) -> BoxFuture<'a, VoidOutcome> {
        Box::pin(self.voided(request))
    }

    fn refund<'a>(&'a self, request: &'a RefundRequest) -> BoxFuture<'a, RefundOutcome> {
        Box::pin(self.refunded(request))
    }
}

fn create_form(request: &ChargeRequest, amount: i64) -> Vec<(&'static str, String)> {
    let mut form = vec![
        ("amount", amount.to_string()),
        ("currency", request.currency.to_ascii_lowercase()),
        ("automatic_payment_methods[enabled]", "true".to_owned()),
        // There is no page to come back to.
        (
            "automatic_payment_methods[allow_redirects]",
            "never".to_owned(),
        ),
        ("metadata[order_id]", request.order_id.to_string()),
        ("metadata[payment_key]", request.key.to_string()),
    ];
    if let Some(method) = &request.method {
        form.push(("payment_method", method.to_string()));
    }
    form
}
