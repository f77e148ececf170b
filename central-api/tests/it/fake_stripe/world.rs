//! What the provider knows, and what each call does to it: intents, refunds, keys.
//!
//! More is never given back than was taken, whatever it is asked.

use std::collections::{BTreeMap, HashMap, VecDeque};

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Call, Endpoint, Fault};

#[derive(Clone, Debug)]
pub(super) struct Intent {
    pub(super) id: String,
    pub(super) amount: i64,
    pub(super) currency: String,
    pub(super) method: Option<String>,
    pub(super) key: String,
    pub(super) status: &'static str,
    pub(super) error: Option<Value>,
    pub(super) charges: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) intent: String,
    pub(super) amount: i64,
    pub(super) body: Value,
}

impl Given {
    /// Whether it is not known yet what becomes of it.
    pub(super) fn is_open(&self) -> bool {
        self.body["status"] == "pending" || self.body["status"] == "requires_action"
    }

    /// Whether the money is gone, or may be.
    pub(super) fn counts(&self) -> bool {
        self.body["status"] == "succeeded" || self.is_open()
    }
}

/// What a key stands for: the request, and the answer once there is one.
type Kept = (String, Option<(StatusCode, Value)>);

#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) intents: Vec<Intent>,
    pub(super) refunds: Vec<Given>,
    pub(super) keys: HashMap<String, Kept>,
    pub(super) faults: HashMap<Endpoint, VecDeque<Fault>>,
    pub(super) calls: Vec<Call>,
    pub(super) finished: Vec<Endpoint>,
    pub(super) forgetful: bool,
    pub(super) blind: bool,
}

pub(super) fn error(status: u16, kind: &str, code: &str, message: &str) -> (StatusCode, Value) {
    let mut body = json!({"error": {"type": kind, "message": message}});
    if !code.is_empty() {
        body["error"]["code"] = code.into();
    }
    (StatusCode::from_u16(status).unwrap(), body)
}

impl World {
    /// Takes note of a key; `Err` is the answer that it stands for, and whether it is replayed.
    pub(super) fn begin(
        &mut self,
        key: Option<&str>,
        print: &str,
    ) -> Result<(), ((StatusCode, Value), bool)> {
        let Some(key) = key.filter(|_| !self.forgetful) else {
            return Ok(());
        };
        let kind = "idempotency_error";
        match self.keys.get(key) {
            None => {
                self.keys.insert(key.to_owned(), (print.to_owned(), None));
                Ok(())
            }
            Some((known, _)) if known != print => Err((
                error(400, kind, "", "Keys are for the same request."),
                false,
            )),
            Some((_, None)) => {
                let code = "idempotency_key_in_use";
                Err((error(409, kind, code, "Under way."), false))
            }
            Some((_, Some(answer))) => Err((answer.clone(), true)),
        }
    }

    pub(super) fn execute(
        &mut self,
        endpoint: Endpoint,
        id: &str,
        form: &BTreeMap<String, String>,
    ) -> (StatusCode, Value) {
        match endpoint {
            Endpoint::Create => self.create(form),
            Endpoint::Search => self.search(form),
            Endpoint::Refund => self.refund(form),
            Endpoint::Refunds => self.list_refunds(form),
            Endpoint::RetrieveRefund => {
                let found = self.refunds.iter().find(|given| given.body["id"] == id);
                let missing = || {
                    let kind = "invalid_request_error";
                    error(404, kind, "resource_missing", "No such refund.")
                };
                found.map_or_else(missing, |given| (StatusCode::OK, given.body.clone()))
            }
            Endpoint::Confirm | Endpoint::Cancel | Endpoint::Retrieve => {
                let whole = form
                    .get("expand[]")
                    .is_some_and(|what| what == "latest_charge");
                let Some(intent) = self.intents.iter_mut().find(|intent| intent.id == id) else {
                    let kind = "invalid_request_error";
                    return error(404, kind, "resource_missing", "No such payment_intent.");
                };
                match endpoint {
                    Endpoint::Confirm => intent.confirm(whole),
                    Endpoint::Cancel => intent.cancel(whole),
                    _ => (StatusCode::OK, intent.body(whole)),
                }
            }
        }
    }

    fn create(&mut self, form: &BTreeMap<String, String>) -> (StatusCode, Value) {
        let method = form.get("payment_method").cloned();
        if method.as_deref() == Some("pm_missing") {
            let message = "No such PaymentMethod: 'pm_missing'";
            return error(400, "invalid_request_error", "resource_missing", message);
        }
        let intent = Intent {
            id: format!("pi_{}", self.intents.len() + 1),
            amount: form["amount"].parse().unwrap(),
            currency: form["currency"].clone(),
            status: "requires_confirmation",
            key: form["metadata[payment_key]"].clone(),
            method,
            error: None,
            charges: 0,
        };
        self.intents.push(intent.clone());
        (StatusCode::OK, intent.body(false))
    }

    fn search(&self, form: &BTreeMap<String, String>) -> (StatusCode, Value) {
        let query = form["query"].strip_prefix("metadata[\"payment_key\"]:\"");
        let key = query.and_then(|rest| rest.strip_suffix('"')).unwrap();
        let key = key.replace("\\\"", "\"").replace(r"\\", "\\");
        let found = self
            .intents
            .iter()
            .filter(|one| one.key == key && !self.blind);
        let data: Vec<_> = found.map(|intent| intent.body(false)).collect();
        (
            StatusCode::OK,
            json!({"object": "search_result", "data": data}),
        )
    }

    fn refund(&mut self, form: &BTreeMap<String, String>) -> (StatusCode, Value) {
        let kind = "invalid_request_error";
        let id = &form["payment_intent"];
        let Some(intent) = self.intents.iter().find(|intent| &intent.id == id) else {
            return error(404, kind, "resource_missing", "No such payment_intent.");
        };
        let amount: i64 = form["amount"].parse().unwrap();
        let given = self.refunds.iter();
        let given = given.filter(|given| &given.intent == id && given.counts());
        let given: i64 = given.map(|given| given.amount).sum();
        if intent.charges == 0 {
            return error(
                400,
                kind,
                "",
                "This PaymentIntent has no successful charge.",
            );
        }
        if given == intent.amount {
            return error(400, kind, "charge_already_refunded", "Already refunded.");
        }
        if given + amount > intent.amount {
            return error(
                400,
                kind,
                "",
                "Refund amount is greater than unrefunded amount.",
            );
        }
        // A card of the documentation's, whose refunds are decided some time later.
        let is_slow = intent.method.as_deref() == Some("pm_card_pendingRefund");
        let status = if is_slow { "pending" } else { "succeeded" };
        let body = json!({
            "id": format!("re_{}", self.refunds.len() + 1), "object": "refund", "amount": amount,
            "payment_intent": id, "status": status, "failure_reason": null,
            "metadata": {"refund_key": form["metadata[refund_key]"]},
        });
        self.refunds.push(Given {
            intent: id.clone(),
            amount,
            body: body.clone(),
        });
        (StatusCode::OK, body)
    }

    /// The newest first, a page at a time, as all lists.
    fn list_refunds(&self, form: &BTreeMap<String, String>) -> (StatusCode, Value) {
        let id = &form["payment_intent"];
        let limit = form.get("limit").map_or(10, |text| text.parse().unwrap());
        assert!((1..=100).contains(&limit), "{form:?}");
        let of_intent = self.refunds.iter().rev();
        let of_intent = of_intent.filter(|given| &given.intent == id);
        let mut bodies: Vec<_> = of_intent.map(|given| given.body.clone()).collect();
        if let Some(after) = form.get("starting_after") {
            let Some(at) = bodies.iter().position(|body| body["id"] == **after) else {
                let message = "No such refund.";
                return error(400, "invalid_request_error", "resource_missing", message);
            };
            bodies.drain(..=at);
        }
        let has_more = bodies.len() > limit;
        bodies.truncate(limit);
        (
            StatusCode::OK,
            json!({"object": "list", "data": bodies, "has_more": has_more}),
        )
    }
}

impl Intent {
    fn body(&self, whole: bool) -> Value {
        let charge = match (self.charges, whole) {
            (0, _) => Value::Null,
            (_, false) => json!(format!("ch_{}", self.id)),
            (_, true) => json!({"id": format!("ch_{}", self.id), "authorization_code": "A7X3"}),
        };
        json!({
            "id": self.id, "object": "payment_intent", "amount": self.amount,
            "currency": self.currency, "status": self.status, "payment_method": self.method,
            "metadata": {"payment_key": self.key}, "last_payment_error": self.error,
            "latest_charge": charge, "livemode": false,
        })
    }

    /// The refusal of something that cannot be done in this state.
    fn unexpected(&self, what: &str) -> (StatusCode, Value) {
        let message = format!(
            "You cannot {what} this PaymentIntent: it is {}.",
            self.status
        );
        let code = "payment_intent_unexpected_state";
        let (status, mut body) = error(400, "invalid_request_error", code, &message);
        body["error"]["payment_intent"] = self.body(false);
        (status, body)
    }

    fn declined(&mut self, code: &str, decline: &str) -> (StatusCode, Value) {
        let (status, mut body) = error(402, "card_error", code, "Your card was declined.");
        body["error"]["decline_code"] = decline.into();
        self.status = "requires_payment_method";
        self.error = Some(body["error"].clone());
        body["error"]["payment_intent"] = self.body(false);
        (status, body)
    }

    fn confirm(&mut self, whole: bool) -> (StatusCode, Value) {
        if !self.status.starts_with("requires_") {
            return self.unexpected("confirm");
        }
        match self.method.as_deref() {
            Some("pm_card_visa_chargeDeclined") => {
                return self.declined("card_declined", "generic_decline");
            }
            Some("pm_card_visa_chargeDeclinedInsufficientFunds") => {
                return self.declined("card_declined", "insufficient_funds");
            }
            Some("pm_detached") => {
                let message = "The PaymentMethod was detached.";
                return error(
                    400,
                    "invalid_request_error",
                    "payment_method_unusable",
                    message,
                );
            }
            Some("pm_card_authenticationRequired") => self.status = "requires_action",
            Some("pm_slow_bank") => self.status = "processing",
            _ => {
                self.status = "succeeded";
                self.charges += 1;
            }
        }
        (StatusCode::OK, self.body(whole))
    }

    fn cancel(&mut self, whole: bool) -> (StatusCode, Value) {
        if !self.status.starts_with("requires_") {
            return self.unexpected("cancel");
        }
        self.status = "canceled";
        (StatusCode::OK, self.body(whole))
    }
}
