//! As much of Stripe's answers as is read, and what it means.
//!
//! Lenient where it does not matter (unknown members, unknown words), strict where it does: an
//! intent without an id or a status is no intent, and a refund is given once its status says so. A
//! refund without a status can be read all the same: it stands in a list with others, and may not be
//! one of ours.

use serde::Deserialize;

use crate::payments::{ChargeOutcome, Doubt, Paid, PaymentKey, RefundOutcome, Text};

/// How an intent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    Processing,
    RequiresCapture,
    Canceled,
    Succeeded,
    /// A word that came after us.
    #[serde(other)]
    Other,
}

impl Status {
    /// Whether no money moves any more.
    pub(super) const fn is_final(self) -> bool {
        matches!(self, Self::Canceled | Self::Succeeded)
    }
}

/// An intent.
#[derive(Debug, Deserialize)]
pub(super) struct Intent {
    pub(super) id: String,
    pub(super) status: Status,
    #[serde(default)]
    latest_charge: Option<Charge>,
    #[serde(default)]
    last_payment_error: Option<Words>,
}

/// A charge: its id alone, or whole if that was asked for.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Charge {
    Whole {
        authorization_code: Option<String>,
    },
    #[expect(dead_code, reason = "only to be told from the whole")]
    Id(String),
}

/// What an error says. All members are optional, and all are of Stripe's making.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Words {
    #[serde(default, rename = "type")]
    pub(super) kind: String,
    pub(super) code: Option<String>,
    pub(super) decline_code: Option<String>,
    pub(super) message: Option<String>,
}

impl Words {
    /// The most telling of its words.
    pub(super) fn code(&self) -> Text {
        let code = self.decline_code.as_deref().or(self.code.as_deref());
        let code = code.unwrap_or(match self.kind.as_str() {
            "" => "unknown_error",
            kind => kind,
        });
        Text::new(code)
    }

    /// Its sentence.
    pub(super) fn message(&self) -> Text {
        let message = self.message.as_deref();
        Text::new(message.unwrap_or("The payment provider gave no reason."))
    }
}

impl Intent {
    /// What a charge that took place is called.
    pub(super) fn paid(&self) -> Paid {
        let authorization_code = match &self.latest_charge {
            Some(Charge::Whole { authorization_code }) => authorization_code.as_deref(),
            Some(Charge::Id(_)) | None => None,
        };
        Paid {
            reference: self.id.as_str().into(),
            authorization_code: authorization_code.map(|code| Text::new(code).as_str().into()),
        }
    }

    /// Whether no attempt to charge has been made yet.
    pub(super) const fn awaits_confirmation(&self) -> bool {
        match self.status {
            Status::RequiresConfirmation => true,
            Status::RequiresPaymentMethod => self.last_payment_error.is_none(),
            Status::RequiresAction
            | Status::Processing
            | Status::RequiresCapture
            | Status::Canceled
            | Status::Succeeded
            | Status::Other => false,
        }
    }

    /// What an intent says whose charge was declined. Without the error there was no attempt yet.
    pub(super) fn declined(&self) -> ChargeOutcome {
        match &self.last_payment_error {
            Some(words) => ChargeOutcome::Declined {
                code: words.code(),
                message: words.message(),
            },
            None => ChargeOutcome::Unknown(Doubt::Garbled),
        }
    }
}

/// The body of an error.
#[derive(Debug, Deserialize)]
pub(super) struct ErrorBody {
    pub(super) error: Words,
}

/// What a search found.
#[derive(Debug, Deserialize)]
pub(super) struct Search {
    pub(super) data: Vec<Intent>,
}

/// A refund.
#[derive(Debug, Deserialize)]
pub(super) struct Refund {
    pub(super) id: String,
    status: Option<RefundStatus>,
    failure_reason: Option<String>,
    metadata: Option<RefundMetadata>,
}

/// How a refund stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RefundStatus {
    Pending,
    RequiresAction,
    Succeeded,
    Failed,
    Canceled,
    /// A word that came after us.
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
struct RefundMetadata {
    refund_key: Option<String>,
}

/// A page of an intent's refunds. Whether it is the last is never guessed.
#[derive(Debug, Deserialize)]
pub(super) struct RefundList {
    pub(super) data: Vec<Refund>,
    pub(super) has_more: bool,
}

impl Refund {
    pub(super) fn is_of(&self, key: &PaymentKey) -> bool {
        let metadata = self.metadata.as_ref();
        let of = metadata.and_then(|metadata| metadata.refund_key.as_deref());
        of == Some(key.as_str())
    }

    /// Whether it may still become one thing or the other.
    pub(super) const fn is_open(&self) -> bool {
        let status = self.status;
        matches!(
            status,
            Some(RefundStatus::Pending | RefundStatus::RequiresAction)
        )
    }

    pub(super) fn outcome(&self) -> RefundOutcome {
        let refused = |status| {
            let code = self.failure_reason.as_deref().unwrap_or(status);
            RefundOutcome::refused(code, "The bank did not take the refund.")
        };
        match self.status {
            Some(RefundStatus::Succeeded) => RefundOutcome::Refunded {
                reference: self.id.as_str().into(),
            },
            // Accepted; whether the bank takes it is known later.
            Some(RefundStatus::Pending | RefundStatus::RequiresAction) => {
                RefundOutcome::Unknown(Doubt::Processing)
            }
            Some(RefundStatus::Failed) => refused("failed"),
            Some(RefundStatus::Canceled) => refused("canceled"),
            Some(RefundStatus::Other) | None => RefundOutcome::Unknown(Doubt::Garbled),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent(text: &str) -> Result<Intent, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn what_is_no_intent_is_not_read_as_one() {
        for bad in [
            "{}",
            "[]",
            "null",
            r#"{"id": "pi_1"}"#,
            r#"{"status": "succeeded"}"#,
            r#"{"id": 1, "status": "succeeded"}"#,
            "<html>",
        ] {
            assert!(intent(bad).is_err(), "{bad}");
        }
        let later = intent(r#"{"id": "pi_1", "status": "requires_blessing"}"#).unwrap();
        assert_eq!(later.status, Status::Other);
    }

    #[test]
    fn a_charge_is_read_whole_or_by_its_id() {
        for (charge, code) in [
            (r#""ch_1""#, None),
            ("null", None),
            (r#"{"id": "ch_1", "authorization_code": null}"#, None),
            (r#"{"id": "ch_1", "authorization_code": "A1"}"#, Some("A1")),
        ] {
            let text =
                format!(r#"{{"id": "pi_1", "status": "succeeded", "latest_charge": {charge}}}"#);
            let paid = intent(&text).unwrap().paid();
            assert_eq!(paid.authorization_code.as_deref(), code, "{text}");
        }
    }

    #[test]
    fn a_refund_is_given_when_its_status_says_so() {
        let refused = |code| RefundOutcome::refused(code, "The bank did not take the refund.");
        let processing = || RefundOutcome::Unknown(Doubt::Processing);
        let garbled = || RefundOutcome::Unknown(Doubt::Garbled);
        let given = RefundOutcome::Refunded {
            reference: "re_1".into(),
        };
        for (rest, expected) in [
            (r#""status": "succeeded""#, given),
            (r#""status": "pending""#, processing()),
            (r#""status": "requires_action""#, processing()),
            (r#""status": "failed""#, refused("failed")),
            (
                r#""status": "failed", "failure_reason": "lost_or_stolen_card""#,
                refused("lost_or_stolen_card"),
            ),
            (
                r#""status": "canceled", "failure_reason": null"#,
                refused("canceled"),
            ),
            (r#""status": "blessed""#, garbled()),
            (r#""status": null"#, garbled()),
            (r#""object": "refund""#, garbled()),
        ] {
            let text = format!(r#"{{"id": "re_1", {rest}}}"#);
            let refund: Refund = serde_json::from_str(&text).unwrap();
            assert_eq!(refund.outcome(), expected, "{text}");
            assert_eq!(refund.is_open(), expected == processing(), "{text}");
        }
    }

    /// Others may have refunded a part by hand, without a mark of ours.
    #[test]
    fn somebody_elses_refund_does_not_hide_ours() {
        let key = PaymentKey::parse("pay-1-refund-1").unwrap();
        for (metadata, is_ours) in [
            (r#""metadata": null, "status": null"#, false),
            (r#""metadata": {}, "status": "succeeded""#, false),
            (r#""status": "succeeded""#, false),
            (
                r#""metadata": {"refund_key": "pay-1-refund-2"}, "status": "pending""#,
                false,
            ),
            (
                r#""metadata": {"refund_key": "pay-1-refund-1"}, "status": "pending""#,
                true,
            ),
        ] {
            let text = format!(r#"{{"data": [{{"id": "re_1", {metadata}}}], "has_more": false}}"#);
            let list: RefundList = serde_json::from_str(&text).unwrap();
            assert_eq!(list.data[0].is_of(&key), is_ours, "{text}");
        }
        let endless = serde_json::from_str::<RefundList>(r#"{"data": []}"#);
        assert!(endless.is_err(), "whether there is more must be said");
    }

    #[test]
    fn an_error_says_the_most_telling_of_its_words() {
        for (text, code, message) in [
            (
                "{}",
                "unknown_error",
                "The payment provider gave no reason.",
            ),
            (
                r#"{"type": "card_error"}"#,
                "card_error",
                "The payment provider gave no reason.",
            ),
            (
                r#"{"type": "card_error", "code": "c", "message": "m"}"#,
                "c",
                "m",
            ),
            (
                r#"{"code": "c", "decline_code": "d", "message": "m"}"#,
                "d",
                "m",
            ),
        ] {
            let words: Words = serde_json::from_str(text).unwrap();
            assert_eq!(words.code().as_str(), code, "{text}");
            assert_eq!(words.message().as_str(), message, "{text}");
        }
    }

    #[test]
    fn only_an_intent_that_nobody_tried_awaits_its_confirmation() {
        for (rest, awaits) in [
            (r#""status": "requires_confirmation""#, true),
            (r#""status": "requires_payment_method""#, true),
            (
                r#""status": "requires_payment_method", "last_payment_error": {"code": "c"}"#,
                false,
            ),
            (r#""status": "requires_action""#, false),
            (r#""status": "requires_capture""#, false),
            (r#""status": "processing""#, false),
            (r#""status": "canceled""#, false),
            (r#""status": "succeeded""#, false),
            (r#""status": "requires_blessing""#, false),
        ] {
            let intent = intent(&format!(r#"{{"id": "pi_1", {rest}}}"#)).unwrap();
            assert_eq!(intent.awaits_confirmation(), awaits, "{rest}");
        }
    }

    #[test]
    fn a_decline_without_a_reason_is_none() {
        let text = r#"{"id": "pi_1", "status": "requires_payment_method"}"#;
        let outcome = intent(text).unwrap().declined();
        assert_eq!(outcome, ChargeOutcome::Unknown(Doubt::Garbled));
    }
}
