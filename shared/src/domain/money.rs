//! Money as integer minor units.
//!
//! On the wire an amount is a JSON number with at most two decimals; inside it is a count of
//! hundredths. The conversion is exact in both directions for every amount the limit allows,
//! because `minor / 100` rounds to the very double that the decimal text denotes.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits;

/// A non-negative amount in hundredths of the service's currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i64);

/// Why a number is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMoney {
    /// Below zero.
    #[error("must not be negative")]
    Negative,
    /// More than two decimals, infinite, or not a number.
    #[error("must be a number with at most two decimals")]
    Inexact,
    /// More than [`limits::PRICE_MINOR`].
    #[error("is too large")]
    TooLarge,
}

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount of `minor` hundredths.
    ///
    /// # Errors
    /// [`InvalidMoney`] if negative or above the limit.
    pub const fn from_minor(minor: i64) -> Result<Self, InvalidMoney> {
        if minor < 0 {
            Err(InvalidMoney::Negative)
        } else if minor > limits::PRICE_MINOR {
            Err(InvalidMoney::TooLarge)
        } else {
            Ok(Self(minor))
        }
    }

    /// Hundredths.
    #[must_use]
    pub const fn minor(self) -> i64 {
        self.0
    }

    /// The amount that the JSON number `amount` denotes.
    ///
    /// # Errors
    /// [`InvalidMoney`] if it has more than two decimals, is negative, or is too large.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::float_cmp,
        reason = "bounded by the limit before the cast; equality is the exactness test itself"
    )]
    pub fn from_number(amount: f64) -> Result<Self, InvalidMoney> {
        if !amount.is_finite() {
            return Err(InvalidMoney::Inexact);
        }
        if amount < 0.0 {
            return Err(InvalidMoney::Negative);
        }
        if amount > limits::PRICE_MINOR as f64 / 100.0 {
            return Err(InvalidMoney::TooLarge);
        }
        let minor = (amount * 100.0).round();
        if minor / 100.0 == amount {
            Ok(Self(minor as i64))
        } else {
            Err(InvalidMoney::Inexact)
        }
    }

    /// Parses decimal text such as `19.99`, as it stands in a CSV cell.
    ///
    /// # Errors
    /// [`InvalidMoney`] as for [`Money::from_number`].
    pub fn parse(text: &str) -> Result<Self, InvalidMoney> {
        let plain = |byte: u8| byte.is_ascii_digit() || byte == b'.' || byte == b'-';
        if text.is_empty() || !text.bytes().all(plain) {
            return Err(InvalidMoney::Inexact);
        }
        Self::from_number(text.parse().map_err(|_| InvalidMoney::Inexact)?)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = (self.0 / 100, self.0 % 100);
        match minor {
            0 => write!(f, "{major}"),
            tens if tens % 10 == 0 => write!(f, "{major}.{}", tens / 10),
            _ => write!(f, "{major}.{minor:02}"),
        }
    }
}

impl Serialize for Money {
    #[expect(
        clippy::cast_precision_loss,
        reason = "the limit keeps amounts below 2^53"
    )]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % 100 == 0 {
            serializer.serialize_i64(self.0 / 100)
        } else {
            serializer.serialize_f64(self.0 as f64 / 100.0)
        }
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let amount = f64::deserialize(deserializer)?;
        Self::from_number(amount).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_decimals_and_no_more() {
        for (amount, minor) in [
            (0.0, 0),
            (99.99, 9_999),
            (149.5, 14_950),
            (0.07, 7),
            (1e9, 100_000_000_000),
        ] {
            assert_eq!(
                Money::from_number(amount).unwrap().minor(),
                minor,
                "{amount}"
            );
        }
        for amount in [0.001, 99.999, 1e-9, f64::NAN, f64::INFINITY] {
            assert_eq!(
                Money::from_number(amount),
                Err(InvalidMoney::Inexact),
                "{amount}"
            );
        }
        assert_eq!(Money::from_number(-0.01), Err(InvalidMoney::Negative));
        assert_eq!(Money::from_number(1e11), Err(InvalidMoney::TooLarge));
    }

    #[test]
    fn every_amount_survives_the_wire() {
        // Dense at the start, then strides that share no factor with powers of ten or two.
        let amounts = (0..20_000).chain((0..limits::PRICE_MINOR).step_by(7_777_777_777));
        for minor in amounts {
            let money = Money::from_minor(minor).unwrap();
            let text = serde_json::to_string(&money).unwrap();
            assert_eq!(
                serde_json::from_str::<Money>(&text).unwrap(),
                money,
                "{text}"
            );
            assert_eq!(Money::parse(&money.to_string()).unwrap(), money);
            assert_eq!(text, money.to_string());
        }
    }

    #[test]
    fn text_that_is_not_plain_decimal_is_refused() {
        for text in [
            "", "1e3", "NaN", "inf", "1,50", " 1", "0x1", "1.2.3", "-", ".",
        ] {
            assert!(Money::parse(text).is_err(), "{text:?}");
        }
    }
}
