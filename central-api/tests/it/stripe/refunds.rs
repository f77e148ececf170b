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
        key_number: 1,
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
            let mut request = refund_of("refund-1", "pi_1", 500);
            let mut given = false;
            for _ in 0..ATTEMPTS {
                match refund(&scene, &request).await {
                    RefundOutcome::Refunded { .. } => given = true,
                    RefundOutcome::Refused { code, .. } => panic!("{at}: {code}"),
                    // What the log says after the wait.
                    RefundOutcome::KeySpent(_) => request.key_number += 1,
                    RefundOutcome::Unknown(_) | RefundOutcome::NotSent(_) => {}
                }
            }
            assert!(given, "{at}");
            assert_eq!(scene.fake.refunds(), (1, 500), "{at}");
            // Only a failure that is kept costs a key.
            let kept = matches!(fault, Fault::FailsBefore);
            assert_eq!(request.key_number, 1 + u32::from(kept), "{at}");
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

/// A failure that is kept under the key is given again for a day. Only when it is certain that the
/// answer is an old one, and that there is no refund, is the key said to be spent.
#[tokio::test]
async fn a_key_is_spent_when_a_kept_failure_is_all_that_there_is() {
    let server_error = Doubt::ServerError(500);
    let scene = scene().await;
    charge(&scene, &visa()).await;
    let mut request = refund_of("refund-1", "pi_1", 500);
    scene.fake.misbehave(Endpoint::Refund, Fault::FailsBefore);
    // The failure itself may be of a call that is still under way over there.
    let first = refund(&scene, &request).await;
    assert_eq!(first, RefundOutcome::Unknown(server_error));
    // Who cannot look does not know.
    scene.fake.misbehave(Endpoint::Refunds, Fault::Unavailable);
    let blind = refund(&scene, &request).await;
    assert_eq!(blind, RefundOutcome::Unknown(server_error));
    for _ in 0..3 {
        let spent = refund(&scene, &request).await;
        assert_eq!(spent, RefundOutcome::KeySpent(server_error));
    }
    request.key_number = 2;
    // Without a look the next key is not used.
    scene.fake.misbehave(Endpoint::Refunds, Fault::Garbage);
    let blind = refund(&scene, &request).await;
    assert!(matches!(blind, RefundOutcome::Unknown(_)), "{blind:?}");
    assert_eq!(scene.fake.arrived(Endpoint::Refund), 5);
    let given = refund(&scene, &request).await;
    assert!(matches!(given, RefundOutcome::Refunded { .. }), "{given:?}");
    // However often, and under whichever key.
    for number in [2, 1, 3] {
        request.key_number = number;
        assert_eq!(refund(&scene, &request).await, given, "key {number}");
    }
    assert_eq!(scene.fake.refunds(), (1, 500));

    // Done before it failed: found at once.
    let scene = super::scene().await;
    charge(&scene, &visa()).await;
    scene.fake.misbehave(Endpoint::Refund, Fault::FailsAfter);
    let found = refund(&scene, &refund_of("refund-1", "pi_1", 500)).await;
    assert!(matches!(found, RefundOutcome::Refunded { .. }), "{found:?}");
    assert_eq!(scene.fake.refunds(), (1, 500));
}

/// What the wait is for: the failed call is finished later. Whoever has waited finds it; the control,
/// who has not, gives the money back twice.
#[tokio::test]
async fn what_a_failed_call_does_later_is_found_before_the_next_key_is_used() {
    for waits in [true, false] {
        let scene = scene().await;
        charge(&scene, &visa()).await;
        let gate = Arc::new(Notify::new());
        let fault = Fault::FailsAndIsDoneLater(Arc::clone(&gate));
        scene.fake.misbehave(Endpoint::Refund, fault);
        let mut request = refund_of("refund-1", "pi_1", 500);
        refund(&scene, &request).await;
        let spent = refund(&scene, &request).await;
        assert!(matches!(spent, RefundOutcome::KeySpent(_)), "{spent:?}");
        let is_done = async |refunds| {
            gate.notify_one();
            eventually("it is done over there", async || {
                scene.fake.refunds().0 == refunds
            })
            .await;
        };
        if waits {
            is_done(1).await;
        }
        request.key_number = 2;
        let given = refund(&scene, &request).await;
        assert!(matches!(given, RefundOutcome::Refunded { .. }), "{given:?}");
        if !waits {
            is_done(2).await;
        }
        let expected = if waits { (1, 500) } else { (2, 1000) };
        assert_eq!(scene.fake.refunds(), expected, "waits: {waits}");
    }
}

/// The list is read to its end. The control: its first page alone does not have the refund, as whoever
/// reads no further would find out by giving it twice.
#[tokio::test]
async fn a_refund_is_found_on_a_later_page() {
    let scene = scene().await;
    charge(&scene, &visa()).await;
    let mut request = refund_of("refund-1", "pi_1", 500);
    let given = refund(&scene, &request).await;
    for number in 2..252 {
        let other = refund_of(&format!("refund-{number}"), "pi_1", 1);
        let outcome = refund(&scene, &other).await;
        assert!(matches!(outcome, RefundOutcome::Refunded { .. }));
    }
    let pages = scene.fake.arrived(Endpoint::Refunds);
    request.key_number = 2;
    assert_eq!(refund(&scene, &request).await, given);
    assert_eq!(scene.fake.arrived(Endpoint::Refunds) - pages, 3);
    assert_eq!(scene.fake.refunds(), (251, 750));

    // A page that cannot be read is not an end.
    request.key = PaymentKey::parse("refund-0").unwrap();
    for good in [0, 1, 2] {
        for _ in 0..good {
            scene.fake.misbehave(Endpoint::Refunds, Fault::None);
        }
        scene.fake.misbehave(Endpoint::Refunds, Fault::Unavailable);
        let outcome = refund(&scene, &request).await;
        assert!(matches!(outcome, RefundOutcome::Unknown(_)), "{outcome:?}");
        assert!(scene.fake.has_misbehaved(), "{good}");
    }
    assert_eq!(scene.fake.refunds(), (251, 750));
}

/// The provider gives back no more than it took, under whichever key and in how many parts.
#[tokio::test]
async fn no_more_goes_back_than_was_charged() {
    let scene = scene().await;
    charge(&scene, &visa()).await;
    let mut back = 0;
    for number in 1..=5 {
        let request = refund_of(&format!("refund-{number}"), "pi_1", 500);
        match refund(&scene, &request).await {
            RefundOutcome::Refunded { .. } => back += 500,
            RefundOutcome::Refused { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(back, 1_500, "of 1999 there are three times 500");
    assert_eq!(scene.fake.refunds(), (3, 1_500));
}

/// What was accepted is neither given nor refused until the provider says so, also when it has forgotten
/// the key; it is asked for once.
#[tokio::test]
async fn a_pending_refund_is_what_becomes_of_it() {
    let open = RefundOutcome::Unknown(Doubt::Processing);
    let cases = [
        ("succeeded", None, Ok(())),
        (
            "failed",
            Some("lost_or_stolen_card"),
            Err("lost_or_stolen_card"),
        ),
        ("canceled", None, Err("canceled")),
    ];
    for (status, reason, expected) in cases {
        for forgets in [false, true] {
            let scene = scene().await;
            charge(&scene, &charge_of("pm_card_pendingRefund")).await;
            let request = refund_of("refund-1", "pi_1", 500);
            for _ in 0..2 {
                assert_eq!(refund(&scene, &request).await, open);
            }
            scene.fake.settle_refunds("requires_action", None);
            assert_eq!(refund(&scene, &request).await, open);
            for fault in [Fault::Unavailable, Fault::Garbage, Fault::Cut] {
                scene.fake.misbehave(Endpoint::RetrieveRefund, fault);
                assert_eq!(refund(&scene, &request).await, open, "who cannot look");
            }
            assert!(scene.fake.has_misbehaved());
            if forgets {
                scene.clock.advance_millis(25 * 3_600_000);
                scene.fake.forget_keys();
                assert_eq!(refund(&scene, &request).await, open);
            }
            assert_eq!(scene.fake.refunds(), (1, 500));

            scene.fake.settle_refunds(status, reason);
            let found = match refund(&scene, &request).await {
                RefundOutcome::Refunded { reference } if &*reference == "re_1" => Ok(()),
                RefundOutcome::Refused { code, .. } => Err(code.as_str().to_owned()),
                other => panic!("{status}: {other:?}"),
            };
            assert_eq!(found, expected.map_err(str::to_owned), "{status}");
            let given = usize::from(expected.is_ok());
            assert_eq!(scene.fake.refunds().0, given, "{status}");
        }
    }
}
