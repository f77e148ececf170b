//! Every method against every order of calls, with what was really charged.

use proptest::prelude::*;
use shared::clock::{ManualClock, Timestamp};
use shared::domain::money::Money;

use super::*;
use crate::payments::{Doubt, Guarded, Paid};
use shared::policy::{Breaker, BreakerSettings};

const LATE: Duration = Duration::from_secs(10);
const METHODS: [Option<&str>; 8] = [
    None,
    Some("card_visa"),
    Some("card_declined"),
    Some("card_timeout"),
    Some("card_lost_answer"),
    Some("card_late"),
    Some("card_error"),
    Some("constructor"),
];

fn key(text: &str) -> PaymentKey {
    PaymentKey::parse(text).unwrap()
}

fn charge_of(method: Option<&str>) -> ChargeRequest {
    ChargeRequest {
        key: key("order-1"),
        order_id: "order-1".into(),
        amount: Money::from_minor(1999).unwrap(),
        currency: "USD".into(),
        method: method.map(Into::into),
        since: Timestamp::default(),
        correlation: None,
    }
}

fn refund_of(name: &str, minor: i64) -> RefundRequest {
    RefundRequest {
        key: key(name),
        key_number: 1,
        reference: "sim-order-1".into(),
        amount: Money::from_minor(minor).unwrap(),
        currency: "USD".into(),
        since: Timestamp::default(),
        correlation: None,
    }
}

/// A method, and what is done one after the other: `charge:`, `void:` and `refund:` with how they
/// end, `wait:` with seconds, `holds:` with the charges and refunds of the statement, and `restart`.
const ROWS: [(Option<&str>, &str); 28] = [
    (None, "charge:approved holds:1,0 charge:approved holds:1,0"),
    (
        Some(""),
        "charge:approved holds:1,0 charge:approved holds:1,0",
    ),
    (
        Some("constructor"),
        "charge:approved holds:1,0 charge:approved holds:1,0",
    ),
    (Some("card_visa"), "charge:approved void:charged holds:1,0"),
    (
        Some("card_visa"),
        "void:voided charge:voided void:voided holds:0,0",
    ),
    (
        Some("card_visa"),
        "charge:approved refund:refunded refund:refunded holds:1,1",
    ),
    (
        Some("card_visa"),
        "charge:approved refund:refunded void:charged charge:approved holds:1,1",
    ),
    (
        Some("card_declined"),
        "charge:card_declined charge:card_declined holds:0,0",
    ),
    (
        Some("card_declined"),
        "charge:card_declined void:voided refund:not_charged holds:0,0",
    ),
    (Some("card_declined"), "void:voided charge:voided holds:0,0"),
    (
        Some("card_timeout"),
        "charge:silence wait:3600 charge:silence holds:0,0",
    ),
    (
        Some("card_timeout"),
        "charge:silence void:voided charge:voided wait:3600 holds:0,0",
    ),
    (
        Some("card_lost_answer"),
        "charge:ConnectionLost holds:1,0 charge:approved holds:1,0",
    ),
    (
        Some("card_lost_answer"),
        "charge:ConnectionLost void:charged refund:refunded holds:1,1",
    ),
    (
        Some("card_lost_answer"),
        "void:voided charge:voided holds:0,0",
    ),
    (
        Some("card_late"),
        "charge:silence wait:9 charge:InProgress holds:0,0 wait:1 holds:1,0",
    ),
    (
        Some("card_late"),
        "charge:silence wait:10 charge:approved wait:3600 charge:approved holds:1,0",
    ),
    (
        Some("card_late"),
        "charge:silence wait:9 void:voided wait:3600 charge:voided holds:0,0",
    ),
    (
        Some("card_late"),
        "charge:silence wait:10 void:charged refund:refunded holds:1,1",
    ),
    // It lands although nobody looks before the refund.
    (
        Some("card_late"),
        "charge:silence refund:not_charged wait:10 refund:refunded holds:1,1",
    ),
    (
        Some("card_error"),
        "charge:503 charge:503 charge:503 holds:0,0 charge:approved holds:1,0",
    ),
    (
        Some("card_error"),
        "charge:503 charge:503 void:voided charge:voided holds:0,0",
    ),
    (
        Some("card_error"),
        "charge:503 charge:503 charge:503 charge:approved void:charged holds:1,0",
    ),
    // After a restart whoever asks again gets what he would have got, and refunds are given.
    (
        None,
        "charge:approved restart charge:approved restart refund:refunded refund:refunded holds:0,1",
    ),
    (
        None,
        "charge:approved restart refund:refunded charge:approved void:charged holds:0,1",
    ),
    (
        Some("card_lost_answer"),
        "charge:ConnectionLost restart charge:ConnectionLost charge:approved",
    ),
    (
        Some("card_late"),
        "charge:silence wait:60 restart charge:silence wait:10 charge:approved",
    ),
    (
        Some("card_declined"),
        "charge:card_declined restart charge:card_declined holds:0,0",
    ),
];

fn word(outcome: Option<ChargeOutcome>) -> String {
    match outcome {
        None => "silence".to_owned(),
        Some(ChargeOutcome::Approved(paid)) => {
            assert_eq!(&*paid.reference, "sim-order-1");
            "approved".to_owned()
        }
        Some(ChargeOutcome::Declined { code, .. }) => code.as_str().to_owned(),
        Some(ChargeOutcome::Unknown(Doubt::ServerError(status))) => status.to_string(),
        Some(ChargeOutcome::Unknown(doubt)) => format!("{doubt:?}"),
        Some(ChargeOutcome::NotSent(reason)) => panic!("{reason}"),
    }
}

/// How one thing ended, in a word.
fn ending(bank: &mut Bank, what: &str, request: &ChargeRequest, now: Timestamp) -> String {
    match what {
        "charge" => word(bank.charge(request, now)),
        "void" => match bank.void(request, now) {
            VoidOutcome::Voided => "voided".to_owned(),
            VoidOutcome::Charged(_) => "charged".to_owned(),
            other => panic!("{other:?}"),
        },
        "refund" => match bank.refund(&refund_of("refund-1", 1999), now) {
            RefundOutcome::Refunded { .. } => "refunded".to_owned(),
            RefundOutcome::Refused { code, .. } => code.as_str().to_owned(),
            other => panic!("{other:?}"),
        },
        "holds" => {
            let statement = bank.statement(&request.key, now);
            let (charges, refunds) = (statement.charges, statement.refunds);
            let minor = |times: u32| 1999 * i64::from(times);
            assert_eq!(statement.charged_minor, minor(charges));
            assert_eq!(statement.refunded_minor, minor(refunds));
            assert_eq!(bank.total(now), statement);
            format!("{charges},{refunds}")
        }
        other => panic!("{other}?"),
    }
}

#[test]
fn every_method_does_what_its_row_says() {
    for (method, steps) in ROWS {
        let (mut bank, mut now) = (Bank::new(LATE), Timestamp::default());
        let request = charge_of(method);
        for step in steps.split(' ') {
            let (what, expected) = step.split_once(':').unwrap_or((step, ""));
            match what {
                "wait" => now = now.plus_millis(1000 * expected.parse::<i64>().unwrap()),
                "restart" => bank = Bank::new(LATE),
                _ => {
                    let ending = ending(&mut bank, what, &request, now);
                    assert_eq!(ending, expected, "{step} of {steps} with {method:?}");
                }
            }
        }
    }
}

#[test]
fn references_and_codes_are_the_same_in_every_life() {
    let answers: Vec<_> = (0..2)
        .map(|_| {
            let mut bank = Bank::new(LATE);
            let charged = bank.charge(&charge_of(None), Timestamp::default());
            (
                charged,
                bank.refund(&refund_of("r", 5), Timestamp::default()),
            )
        })
        .collect();
    assert_eq!(answers[0], answers[1]);
    let Some(ChargeOutcome::Approved(Paid {
        authorization_code, ..
    })) = &answers[0].0
    else {
        panic!("{answers:?}");
    };
    let code = authorization_code.as_deref().unwrap();
    assert!(code.len() == 13 && code.starts_with("AUTH-"), "{code}");
}

#[test]
fn what_is_too_much_is_declined_and_given_back_at_most_once_in_full() {
    let now = Timestamp::default();
    let mut bank = Bank::new(LATE);
    let mut large = charge_of(None);
    large.key = key("large");
    large.amount = Money::from_minor(shared::limits::SIMULATED_CHARGE_MINOR).unwrap();
    assert_eq!(
        bank.charge(&large, now)
            .map(|outcome| matches!(outcome, ChargeOutcome::Approved(_))),
        Some(true)
    );
    large.key = key("larger");
    large.amount = Money::from_minor(large.amount.minor() + 1).unwrap();
    assert_eq!(word(bank.charge(&large, now)), "amount_too_large");

    assert_eq!(word(bank.charge(&charge_of(None), now)), "approved");
    let given = |outcome| matches!(outcome, RefundOutcome::Refunded { .. });
    assert!(given(bank.refund(&refund_of("a", 1000), now)));
    assert!(!given(bank.refund(&refund_of("b", 1000), now)));
    assert!(given(bank.refund(&refund_of("c", 999), now)));
    assert!(!given(bank.refund(&refund_of("d", 1), now)));
    assert!(given(bank.refund(&refund_of("a", 1000), now)), "a repeat");
    let reused = bank.refund(&refund_of("a", 999), now);
    assert_eq!(reused, RefundOutcome::Unknown(Doubt::KeyReused));
    let mut elsewhere = refund_of("e", 1);
    elsewhere.reference = "pi_123".into();
    assert!(!given(bank.refund(&elsewhere, now)));
    let statement = bank.statement(&key("order-1"), now);
    assert_eq!((statement.refunds, statement.refunded_minor), (2, 1999));
}

#[test]
fn a_key_stands_for_one_request() {
    let now = Timestamp::default();
    let mut bank = Bank::new(LATE);
    bank.charge(&charge_of(None), now);
    let mut other = charge_of(None);
    other.amount = Money::from_minor(1).unwrap();
    let reused = Some(ChargeOutcome::Unknown(Doubt::KeyReused));
    assert_eq!(bank.charge(&other, now), reused);
    assert_eq!(
        bank.void(&other, now),
        VoidOutcome::Unknown(Doubt::KeyReused)
    );
    assert_eq!(bank.statement(&key("order-1"), now).charges, 1);
}

#[test]
fn what_is_remembered_is_bounded_and_looking_remembers_nothing() {
    let now = Timestamp::default();
    let mut bank = Bank::holding(LATE, 3);
    for number in 0..5 {
        let mut request = charge_of(None);
        request.key = key(&format!("k{number}"));
        bank.charge(&request, now);
        bank.statement(&key("nobody"), now);
    }
    let kept = |bank: &mut Bank, number| bank.statement(&key(&format!("k{number}")), now).charges;
    let kept: Vec<_> = (0..5).map(|number| kept(&mut bank, number)).collect();
    assert_eq!(kept, [0, 0, 1, 1, 1]);
}

/// The same through the trait: silence is ended by the guard, hours pass by moving the clock.
#[tokio::test(start_paused = true)]
async fn silence_becomes_unknown_by_the_callers_timeout_and_hours_cost_nothing() {
    let clock = Arc::new(ManualClock::default());
    let simulated = Arc::new(Simulated::new(Arc::<ManualClock>::clone(&clock), LATE));
    let breaker = Breaker::try_new(BreakerSettings::default()).unwrap();
    let provider: Arc<dyn PaymentProvider> = Arc::<Simulated>::clone(&simulated);
    let guarded = Guarded::new(provider, breaker, Duration::from_secs(5));
    let late = charge_of(Some("card_late"));
    let timed_out = ChargeOutcome::Unknown(Doubt::TimedOut);
    assert_eq!(guarded.charge(&late).await, timed_out);
    clock.advance_millis(5_000);
    let under_way = ChargeOutcome::Unknown(Doubt::InProgress);
    assert_eq!(guarded.charge(&late).await, under_way);
    assert_eq!(simulated.statement(&late.key).charges, 0);
    clock.advance_millis(5 * 3_600_000);
    assert!(matches!(
        guarded.charge(&late).await,
        ChargeOutcome::Approved(_)
    ));
    assert!(matches!(guarded.void(&late).await, VoidOutcome::Charged(_)));
    let refunded = guarded.refund(&refund_of("r", 1999)).await;
    assert!(matches!(refunded, RefundOutcome::Refunded { .. }));
    assert_eq!(simulated.total().charges, 1);
}

proptest! {
    /// Whatever is done in whatever order: at most one charge, never more back than taken, and what
    /// was once final stays so.
    #[test]
    fn no_order_of_calls_charges_twice_or_takes_back_its_word(
        method in 0..METHODS.len(),
        steps in prop::collection::vec((0..4_u8, 0..15_i64), 0..40),
    ) {
        let request = charge_of(METHODS[method]);
        let mut bank = Bank::new(LATE);
        let mut now = Timestamp::default();
        let (mut charged_for_good, mut never_charged) = (false, false);
        for (what, number) in steps {
            match what {
                0 => match bank.charge(&request, now) {
                    Some(ChargeOutcome::Approved(_)) => charged_for_good = true,
                    Some(ChargeOutcome::Declined { .. }) => never_charged = true,
                    _ => {}
                },
                1 => match bank.void(&request, now) {
                    VoidOutcome::Charged(_) => charged_for_good = true,
                    VoidOutcome::Voided => never_charged = true,
                    other => prop_assert!(false, "{other:?}"),
                },
                2 => now = now.plus_millis(number * 1000),
                // The charge is known before a refund is asked for, as it always is.
                _ if charged_for_good => {
                    bank.refund(&refund_of(&format!("r{number}"), 100 * number), now);
                }
                _ => {}
            }
            let statement = bank.statement(&request.key, now);
            prop_assert!(statement.charges <= 1);
            prop_assert!(statement.refunded_minor <= statement.charged_minor);
            prop_assert!(!(charged_for_good && never_charged));
            prop_assert!(!charged_for_good || statement.charges == 1);
            prop_assert!(!never_charged || statement.charges == 0);
        }
    }
}
