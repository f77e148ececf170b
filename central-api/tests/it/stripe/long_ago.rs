//! What was asked for so long ago that the provider has forgotten its key.

use central_api::payments::stripe::{KEYS_LAST_MS, SEARCH_KNOWS_MS};

use super::*;

/// Keys are forgotten after a day. Whoever knows since when it has been asking does not ask anew.
#[tokio::test]
async fn a_charge_is_not_begun_anew_when_its_keys_are_forgotten() {
    for knows in [true, false] {
        let scene = scene().await;
        scene.fake.misbehave(Endpoint::Confirm, Fault::Silence);
        let outcome = charge(&scene, &visa()).await;
        assert_eq!(outcome, ChargeOutcome::Unknown(Doubt::TimedOut));
        scene.clock.advance_millis(25 * 3_600_000);
        scene.fake.forget_keys();
        let mut request = visa();
        if !knows {
            request.since = Timestamp::from_millis(25 * 3_600_000);
        }
        let outcome = charge(&scene, &request).await;
        assert!(matches!(outcome, ChargeOutcome::Approved(_)), "{outcome:?}");
        // The control: who does not say since when charges twice.
        assert_eq!(scene.fake.charges(KEY), if knows { 1 } else { 2 });
    }
}

#[tokio::test]
async fn after_a_day_a_charge_is_found_or_was_never_made() {
    // Never made.
    let scene = scene().await;
    scene.clock.advance_millis(SEARCH_KNOWS_MS);
    let outcome = charge(&scene, &visa()).await;
    assert!(
        matches!(outcome, ChargeOutcome::Declined { .. }),
        "{outcome:?}"
    );
    assert_eq!(void(&scene, &visa()).await, VoidOutcome::Voided);
    assert_eq!(scene.fake.arrived(Endpoint::Create), 0);

    // Made, and not confirmed: it is not confirmed any more.
    let scene = super::scene().await;
    scene.fake.misbehave(Endpoint::Confirm, Fault::FailsBefore);
    charge(&scene, &visa()).await;
    scene.clock.advance_millis(SEARCH_KNOWS_MS);
    let outcome = charge(&scene, &visa()).await;
    assert!(
        matches!(outcome, ChargeOutcome::Declined { .. }),
        "{outcome:?}"
    );
    assert_eq!(scene.fake.states(KEY), ["canceled"]);

    // Made, and the search does not know yet: nothing is concluded from that.
    let scene = super::scene().await;
    scene.fake.misbehave(Endpoint::Confirm, Fault::Silence);
    charge(&scene, &visa()).await;
    scene.fake.blind(true);
    scene.clock.advance_millis(KEYS_LAST_MS);
    let processing = Doubt::Processing;
    assert_eq!(
        charge(&scene, &visa()).await,
        ChargeOutcome::Unknown(processing)
    );
    assert_eq!(
        void(&scene, &visa()).await,
        VoidOutcome::Unknown(processing)
    );
    scene.fake.blind(false);
    // Nor from a search that is refused.
    scene.fake.misbehave(Endpoint::Search, Fault::Unsupported);
    let refused = void(&scene, &visa()).await;
    assert!(matches!(refused, VoidOutcome::Unknown(_)), "{refused:?}");
    let outcome = void(&scene, &visa()).await;
    assert!(matches!(outcome, VoidOutcome::Charged(_)), "{outcome:?}");
    assert_eq!(scene.fake.charges(KEY), 1);
}
