//! How a call to a provider can end.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use shared::limits;
use shared::policy::Outcome;

/// A short text of a provider's, fit for a log and an answer: printable, of bounded length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(Arc<str>);

impl Text {
    /// As much of `text` as fits, without control characters.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut kept = String::new();
        for c in text.chars().filter(|c| !c.is_control()) {
            if kept.len() + c.len_utf8() > limits::PROVIDER_TEXT_BYTES {
                break;
            }
            kept.push(c);
        }
        Self(kept.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A charge that took place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paid {
    /// The provider's name for it; a refund needs it.
    pub reference: Arc<str>,
    /// The bank's code, where the provider passes it on.
    pub authorization_code: Option<Arc<str>>,
}

/// How a charge ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChargeOutcome {
    /// It was charged.
    Approved(Paid),
    /// For good: nothing is charged under this key, now or later.
    Declined {
        /// A stable word, such as `card_declined`.
        code: Text,
        /// A sentence for people.
        message: Text,
    },
    /// It may be charged, now or later.
    Unknown(Doubt),
    /// No money moves because of this call.
    NotSent(NotSent),
}

/// How a void ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoidOutcome {
    /// For good: nothing is charged under this key, now or later.
    Voided,
    /// Too late: it was charged, and is to be refunded.
    Charged(Paid),
    /// Neither is certain.
    Unknown(Doubt),
    /// No money moves because of this call.
    NotSent(NotSent),
}

/// How a refund ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefundOutcome {
    /// The money is on its way back.
    Refunded {
        /// The provider's name for the refund.
        reference: Arc<str>,
    },
    /// The provider answers this one of the refund's keys with an old failure, and will for as long as
    /// it keeps the key. It has no such refund at present; what the failed call set going may follow.
    KeySpent(Doubt),
    /// For good: nothing is given back under this key.
    Refused {
        /// A stable word, such as `charge_already_refunded`.
        code: Text,
        /// A sentence for people.
        message: Text,
    },
    /// It may be given back, now or later.
    Unknown(Doubt),
    /// No money moves because of this call.
    NotSent(NotSent),
}

/// Why nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// No answer came in time.
    #[error("the payment provider did not answer in time")]
    TimedOut,
    /// The connection broke after something was sent, or in the middle of the answer.
    #[error("the connection to the payment provider broke")]
    ConnectionLost,
    /// The provider says that it failed, which says nothing about the money.
    #[error("the payment provider answered {0}")]
    ServerError(u16),
    /// The answer is none that the provider can have meant.
    #[error("the payment provider's answer makes no sense")]
    Garbled,
    /// An earlier call with this key is under way at the provider.
    #[error("an earlier call is under way at the payment provider")]
    InProgress,
    /// The provider has it in hand, and will decide.
    #[error("the payment provider has accepted it and not finished it yet")]
    Processing,
    /// The provider knows this key for something else, which only a defect explains.
    #[error("the payment provider knows the key for another request")]
    KeyReused,
}

/// Why no money moves because of a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// There was no connection.
    #[error("the payment provider cannot be reached")]
    Unreachable,
    /// The breaker is open.
    #[error("the payment provider has not been answering")]
    BreakerOpen {
        /// When to try again.
        retry_after: Duration,
    },
    /// The provider takes no more calls at the moment.
    #[error("the payment provider takes no more calls at the moment")]
    Throttled,
    /// The provider does not accept our key, which an operator has to mend.
    #[error("the payment provider does not let us in: {0}")]
    Refused(Text),
}

impl Doubt {
    /// What it tells a breaker.
    #[must_use]
    pub const fn signal(self) -> Outcome {
        match self {
            Self::TimedOut => Outcome::Timeout,
            Self::ConnectionLost | Self::ServerError(_) | Self::Garbled => Outcome::Failure,
            // It lives and says so.
            Self::InProgress | Self::Processing | Self::KeyReused => Outcome::Success,
        }
    }
}

impl NotSent {
    /// What it tells a breaker.
    #[must_use]
    pub const fn signal(&self) -> Outcome {
        match self {
            // Nobody is charged with a key that is not accepted, so no order should begin meanwhile.
            Self::Unreachable | Self::Refused(_) => Outcome::Failure,
            Self::BreakerOpen { .. } => Outcome::Ignored,
            Self::Throttled => Outcome::Success,
        }
    }
}

/// What all three ends of a call have in common.
pub(super) trait Ending: Sized {
    fn unknown(doubt: Doubt) -> Self;
    fn not_sent(reason: NotSent) -> Self;
    /// What it tells a breaker. A refusal of the money is an answer.
    fn signal(&self) -> Outcome;
}

macro_rules! ending {
    ($name:ident: $($decided:pat_param)|+ $(, ignored: $ignored:pat)?) => {
        impl Ending for $name {
            fn unknown(doubt: Doubt) -> Self {
                Self::Unknown(doubt)
            }

            fn not_sent(reason: NotSent) -> Self {
                Self::NotSent(reason)
            }

            fn signal(&self) -> Outcome {
                match self {
                    $($decided)|+ => Outcome::Success,
                    Self::Unknown(doubt) => doubt.signal(),
                    $($ignored => Outcome::Ignored,)?
                    Self::NotSent(reason) => reason.signal(),
                }
            }
        }
    };
}

ending!(ChargeOutcome: Self::Approved(_) | Self::Declined { .. });
ending!(VoidOutcome: Self::Voided | Self::Charged(_));
// A key that may charge but not refund must not keep anybody from buying.
// An old failure says nothing of today.
ending!(RefundOutcome: Self::Refunded { .. } | Self::Refused { .. } | Self::KeySpent(_), ignored: Self::NotSent(NotSent::Refused(_)));

impl ChargeOutcome {
    /// A refusal in our words.
    #[must_use]
    pub fn declined(code: &str, message: &str) -> Self {
        Self::Declined {
            code: Text::new(code),
            message: Text::new(message),
        }
    }
}

impl RefundOutcome {
    /// A refusal in our words.
    #[must_use]
    pub fn refused(code: &str, message: &str) -> Self {
        Self::Refused {
            code: Text::new(code),
            message: Text::new(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_printable_and_short_and_never_cut_within_a_letter() {
        assert_eq!(Text::new("a\r\nb\u{1b}[0m").as_str(), "ab[0m");
        let long = "ä".repeat(500);
        let kept = Text::new(&long);
        assert!(
            kept.as_str().len() <= limits::PROVIDER_TEXT_BYTES && long.starts_with(kept.as_str())
        );
    }

    #[test]
    fn only_silence_failure_and_a_key_that_is_not_accepted_count_against_a_provider() {
        let declined = ChargeOutcome::declined("card_declined", "no");
        assert_eq!(declined.signal(), Outcome::Success);
        assert_eq!(Doubt::TimedOut.signal(), Outcome::Timeout);
        assert_eq!(Doubt::ServerError(503).signal(), Outcome::Failure);
        assert_eq!(NotSent::Unreachable.signal(), Outcome::Failure);
        assert_eq!(NotSent::Throttled.signal(), Outcome::Success);
        let kept_out = || NotSent::Refused(Text::new("api_key_expired"));
        let charge = ChargeOutcome::NotSent(kept_out());
        assert_eq!(charge.signal(), Outcome::Failure);
        let refund = RefundOutcome::NotSent(kept_out());
        assert_eq!(refund.signal(), Outcome::Ignored);
    }
}
