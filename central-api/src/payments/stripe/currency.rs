//! Our hundredths in Stripe's smallest units, which depend on the currency.

use shared::domain::money::Money;

/// Currencies whose smallest unit is the unit itself.
const WHOLE: [&str; 15] = [
    "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF",
    "XOF", "XPF",
];
/// Currencies with thousandths.
const THOUSANDTHS: [&str; 5] = ["BHD", "JOD", "KWD", "OMR", "TND"];

/// What Stripe calls `amount` of `currency`; `None` where the currency has no such amount.
pub(super) fn amount(amount: Money, currency: &str) -> Option<i64> {
    let hundredths = amount.minor();
    if WHOLE.contains(&currency) {
        (hundredths % 100 == 0).then_some(hundredths / 100)
    } else if THOUSANDTHS.contains(&currency) {
        hundredths.checked_mul(10)
    } else {
        Some(hundredths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_yen_is_not_a_hundredth() {
        for (hundredths, currency, expected) in [
            (1999, "USD", Some(1999)),
            (1999, "EUR", Some(1999)),
            (150_000, "JPY", Some(1500)),
            (150_050, "JPY", None),
            (1999, "KWD", Some(19_990)),
            // Whole in life, hundredths at Stripe.
            (50_000, "UGX", Some(50_000)),
        ] {
            let money = Money::from_minor(hundredths).unwrap();
            assert_eq!(amount(money, currency), expected, "{hundredths} {currency}");
        }
    }
}
