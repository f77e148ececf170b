//! Money that is given back, once.

use central_api::payments::RefundRequest;

use super::*;

async fn refund(scene: &Scene, request: &RefundRequest) -> RefundOutcome {
    tokio::select! {
        outcome = scene.stripe.refund(request) => outcome,
        () = scene.fake.silence() => RefundOutcome::Unknown(Doubt::TimedOut),
    }
}

pub(super) fn refund_of(key: &str, reference: &str, minor: i64) -> RefundRequest {
    RefundRequest {
        key: PaymentKey::parse(key).unwrap(),
        reference: reference.into(),
        amount: Money::from_minor(minor).unwrap(),
        currency: "USD".into(),
        since: Timestamp::default(),
        correlation: None,
    }
}

/// Every fault at a refund: it is given once for its key, and another key gives another.
#[tokio::test]
async fn one_refund_for_a_key_whatever_goes_wrong() {
    for fault in faults() {
        for looking in faults().into_iter().map(Some).chain([None]) {
            let scene = scene().await;
            charge(&scene, &visa()).await;
            scene.fake.misbehave(Endpoint::Refund, fault.clone());
            if let Some(looking) = &looking {
                scene.fake.misbehave(Endpoint::Refunds, looking.clone());
            }
            let at = format!("{fault:?}, {looking:?} when looking");
            let request = refund_of("refund-1", "pi_1", 500);
            let mut given = false;
            for _ in 0..ATTEMPTS {
                match refund(&scene, &request).await {
                    RefundOutcome::Refunded { .. } => given = true,
                    RefundOutcome::Refused { code, .. } => panic!("{at}: {code}"),
                    RefundOutcome::Unknown(_) | RefundOutcome::NotSent(_) => {}
                }
            }
            // A failure that is kept is never undone; then nothing was given.
            let expected = if given { (1, 500) } else { (0, 0) };
            assert_eq!(scene.fake.refunds(), expected, "{at}");
            assert!(given || matches!(fault, Fault::FailsBefore), "{at}");
            let second = refund_of("refund-2", "pi_1", 500);
            let outcome = refund(&scene, &second).await;
            assert!(
                matches!(outcome, RefundOutcome::Refunded { .. }),
                "{at}: {outcome:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_refund_is_refused_for_good_reasons_and_found_again_after_a_day() {
    let scene = scene().await;
    let code = |outcome| match outcome {
        RefundOutcome::Refused { code, .. } => code.as_str().to_owned(),
        other => panic!("{other:?}"),
    };
    let nowhere = refund(&scene, &refund_of("r0", "pi_9", 1)).await;
    assert_eq!(code(nowhere), "resource_missing");
    charge(&scene, &visa()).await;
    let too_much = refund(&scene, &refund_of("r1", "pi_1", 2000)).await;
    assert_eq!(code(too_much), "invalid_request_error");
    let half = refund_of("r2", "pi_1", 900);
    let given = refund(&scene, &half).await;
    assert!(matches!(given, RefundOutcome::Refunded { .. }), "{given:?}");
    scene.clock.advance_millis(25 * 3_600_000);
    scene.fake.forget_keys();
    // There would be enough left to give it a second time.
    assert_eq!(refund(&scene, &half).await, given);
    assert_eq!(scene.fake.refunds(), (1, 900));
}
