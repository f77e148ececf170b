//! Charges, voids and refunds at a provider that fails in every way it can: nobody is charged twice,
//! nothing is called declined that may be charged, and what is called final stays so.
//!
//! No test waits for a timeout: who is not answered hangs up as soon as the provider has done what
//! it will not speak about.
//!
//! Longer than most files: every test asks the same provider, with the same faults, and reads its books.

mod long_ago;
mod refunds;

use std::sync::Arc;
use std::time::Duration;

use central_api::payments::stripe::Stripe;
use central_api::payments::{
    ChargeOutcome, ChargeRequest, Doubt, Guarded, NotSent, Paid, PaymentKey, PaymentProvider,
    RefundOutcome, VoidOutcome,
};
use secrecy::SecretString;
use shared::clock::{ManualClock, Timestamp};
use shared::domain::ids::CorrelationId;
use shared::domain::money::Money;
use shared::policy::{Breaker, BreakerSettings, BreakerState};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::fake_stripe::{Endpoint, FakeStripe, Fault, SECRET};
use crate::harness::{client, eventually};
use refunds::refund_of;

const KEY: &str = "order-7";
/// Attempts after which a charge is given up and voided.
const ATTEMPTS: usize = 4;

struct Scene {
    fake: FakeStripe,
    stripe: Arc<Stripe>,
    clock: Arc<ManualClock>,
}

fn stripe(url: &str, secret: &str, clock: &Arc<ManualClock>) -> Stripe {
    drop(client()); // Installs the TLS provider.
    let clock = Arc::<ManualClock>::clone(clock);
    Stripe::new(url, &SecretString::from(secret), clock).unwrap()
}

async fn scene() -> Scene {
    let fake = FakeStripe::start().await;
    let clock = Arc::new(ManualClock::default());
    let stripe = Arc::new(stripe(&fake.url, SECRET, &clock));
    Scene {
        fake,
        stripe,
        clock,
    }
}

fn charge_of(method: &str) -> ChargeRequest {
    ChargeRequest {
        key: PaymentKey::parse(KEY).unwrap(),
        order_id: KEY.into(),
        amount: Money::from_minor(1999).unwrap(),
        currency: "USD".into(),
        method: Some(method.into()),
        since: Timestamp::default(),
        correlation: Some(CorrelationId::parse("basket-3").unwrap()),
    }
}

fn visa() -> ChargeRequest {
    charge_of("pm_card_visa")
}

/// How a charge ended; hung up on a provider that has nothing more to say.
async fn charge(scene: &Scene, request: &ChargeRequest) -> ChargeOutcome {
    tokio::select! {
        outcome = scene.stripe.charge(request) => outcome,
        () = scene.fake.silence() => ChargeOutcome::Unknown(Doubt::TimedOut),
    }
}

async fn void(scene: &Scene, request: &ChargeRequest) -> VoidOutcome {
    tokio::select! {
        outcome = scene.stripe.void(request) => outcome,
        () = scene.fake.silence() => VoidOutcome::Unknown(Doubt::TimedOut),
    }
}

/// Asks until it is certain, gives up after some attempts and voids until that is certain. Whether
/// the money is with us.
async fn settle(scene: &Scene, request: &ChargeRequest) -> bool {
    for _ in 0..ATTEMPTS {
        match charge(scene, request).await {
            ChargeOutcome::Approved(_) => return true,
            ChargeOutcome::Declined { .. } => return false,
            ChargeOutcome::Unknown(_) | ChargeOutcome::NotSent(_) => {}
        }
    }
    for _ in 0..ATTEMPTS {
        match void(scene, request).await {
            VoidOutcome::Charged(_) => return true,
            VoidOutcome::Voided => return false,
            VoidOutcome::Unknown(_) | VoidOutcome::NotSent(_) => {}
        }
    }
    panic!("nothing is certain about {request:?}");
}

fn faults() -> Vec<Fault> {
    use Fault::{Cut, FailsAfter, FailsBefore, Garbage, Locked, Silence, Throttled, Unavailable};
    vec![
        Unavailable,
        Throttled,
        Locked,
        FailsBefore,
        FailsAfter,
        Cut,
        Garbage,
        Silence,
    ]
}

#[tokio::test]
async fn every_way_to_pay_ends_as_stripe_says() {
    let declined = |code: &str| (None, Some(code.to_owned()));
    let approved = (Some("A7X3".to_owned()), None);
    for (method, expected, state, charges) in [
        ("pm_card_visa", approved, vec!["succeeded"], 1),
        (
            "pm_card_visa_chargeDeclined",
            declined("generic_decline"),
            vec!["requires_payment_method"],
            0,
        ),
        (
            "pm_card_visa_chargeDeclinedInsufficientFunds",
            declined("insufficient_funds"),
            vec!["requires_payment_method"],
            0,
        ),
        (
            "pm_card_authenticationRequired",
            declined("authentication_required"),
            vec!["canceled"],
            0,
        ),
        ("pm_missing", declined("resource_missing"), vec![], 0),
        (
            "pm_detached",
            declined("payment_method_unusable"),
            vec!["canceled"],
            0,
        ),
    ] {
        let scene = scene().await;
        let request = charge_of(method);
        // The same answer however often it is asked.
        for attempt in 0..3 {
            let at = format!("{method}, attempt {attempt}");
            match (charge(&scene, &request).await, &expected) {
                (ChargeOutcome::Approved(paid), (Some(code), _)) => {
                    assert_eq!(paid.authorization_code.as_deref(), Some(&**code), "{at}");
                    assert_eq!(&*paid.reference, "pi_1", "{at}");
                }
                // A cancelled intent says no more why.
                (ChargeOutcome::Declined { .. }, (_, Some(_))) if attempt > 0 => {}
                (ChargeOutcome::Declined { code, message }, (_, Some(expected))) => {
                    assert_eq!(code.as_str(), expected, "{at}");
                    assert!(!message.as_str().is_empty(), "{at}");
                }
                (outcome, _) => panic!("{at}: {outcome:?}"),
            }
        }
        assert_eq!(scene.fake.states(KEY), state, "{method}");
        assert_eq!(scene.fake.charges(KEY), charges, "{method}");
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_declined_without_asking() {
    let scene = scene().await;
    let mut without = visa();
    without.method = None;
    let mut fraction = visa();
    fraction.currency = "JPY".into();
    for request in [without, fraction] {
        let outcome = charge(&scene, &request).await;
        assert!(
            matches!(outcome, ChargeOutcome::Declined { .. }),
            "{outcome:?}"
        );
        assert_eq!(void(&scene, &request).await, VoidOutcome::Voided);
    }
    assert!(scene.fake.calls().is_empty());
}

/// Every fault at each step of a charge, alone and followed by a second at the same or the next one:
/// money is taken once or not at all, and we know which. Every fault happens.
#[tokio::test]
async fn one_charge_for_a_key_whatever_goes_wrong() {
    use Endpoint::{Cancel, Confirm, Create, Retrieve};
    let steps = [Create, Confirm, Retrieve, Cancel];
    let scene = scene().await;
    let (mut happened, mut number) = (0, 0);
    for first in [Create, Confirm] {
        for fault in faults() {
            for second in steps {
                for next in faults().into_iter().map(Some).chain([None]) {
                    number += 1;
                    let key = format!("order-{number}");
                    let mut request = visa();
                    request.key = PaymentKey::parse(&key).unwrap();
                    scene.fake.misbehave(first, fault.clone());
                    if let Some(next) = &next {
                        scene.fake.misbehave(second, next.clone());
                    }
                    let charged = settle(&scene, &request).await;
                    happened += usize::from(scene.fake.has_misbehaved());
                    scene.fake.behave();
                    let at = format!("{fault:?} at {first:?}, {next:?} at {second:?}");
                    let states = scene.fake.states(&key);
                    assert_eq!(
                        scene.fake.charges(&key),
                        u32::from(charged),
                        "{at}: {states:?}"
                    );
                    // And it stays so, whatever is asked after that.
                    let again = charge(&scene, &request).await;
                    let voided = void(&scene, &request).await;
                    assert_eq!(
                        scene.fake.charges(&key),
                        u32::from(charged),
                        "{at}: {states:?}"
                    );
                    let approved = matches!(again, ChargeOutcome::Approved(_));
                    assert!(!approved || charged, "{at}: {again:?}");
                    assert!(
                        !charged || voided != VoidOutcome::Voided,
                        "{at}: {voided:?}"
                    );
                }
            }
        }
    }
    assert!(
        happened > 200,
        "only {happened} of the faults came into play"
    );
}

/// The control: what the keys are for. The same calls at a provider that takes no notice of them.
#[tokio::test]
async fn without_keys_the_same_charges_twice() {
    for (ignore, expected) in [(false, 1), (true, 2)] {
        let scene = scene().await;
        if ignore {
            scene.fake.ignore_keys();
        }
        scene.fake.misbehave(Endpoint::Confirm, Fault::Silence);
        assert!(settle(&scene, &visa()).await);
        assert_eq!(scene.fake.charges(KEY), expected, "keys ignored: {ignore}");
    }
}

#[tokio::test]
async fn no_fault_is_taken_for_a_decline() {
    for endpoint in [Endpoint::Create, Endpoint::Confirm] {
        for fault in faults() {
            let scene = scene().await;
            scene.fake.misbehave(endpoint, fault.clone());
            // Nor does looking help.
            scene.fake.misbehave(Endpoint::Retrieve, Fault::Garbage);
            let outcome = charge(&scene, &visa()).await;
            let at = format!("{fault:?} at {endpoint:?}: {outcome:?}");
            match fault {
                Fault::Throttled => {
                    assert_eq!(outcome, ChargeOutcome::NotSent(NotSent::Throttled), "{at}");
                }
                _ => assert!(matches!(outcome, ChargeOutcome::Unknown(_)), "{at}"),
            }
        }
    }
}

/// A failure that is kept under the key is given again for ever; the intent says what happened.
#[tokio::test]
async fn a_kept_failure_is_settled_by_looking() {
    let scene = scene().await;
    scene.fake.misbehave(Endpoint::Confirm, Fault::FailsAfter);
    let outcome = charge(&scene, &visa()).await;
    assert!(matches!(outcome, ChargeOutcome::Approved(_)), "{outcome:?}");
    assert_eq!(scene.fake.charges(KEY), 1);

    let scene = self::scene().await;
    scene.fake.misbehave(Endpoint::Confirm, Fault::FailsBefore);
    for _ in 0..3 {
        let outcome = charge(&scene, &visa()).await;
        assert_eq!(outcome, ChargeOutcome::Unknown(Doubt::ServerError(500)));
    }
    assert_eq!(void(&scene, &visa()).await, VoidOutcome::Voided);

    // No id was ever handed out, so there is nothing to cancel and nothing that could be confirmed.
    let scene = self::scene().await;
    scene.fake.misbehave(Endpoint::Create, Fault::FailsAfter);
    let outcome = charge(&scene, &visa()).await;
    assert_eq!(outcome, ChargeOutcome::Unknown(Doubt::ServerError(500)));
    assert_eq!(void(&scene, &visa()).await, VoidOutcome::Voided);
    assert_eq!(scene.fake.charges(KEY), 0);
}

#[tokio::test]
async fn a_confirm_that_arrives_after_the_void_charges_nothing() {
    for is_voided in [true, false] {
        let scene = scene().await;
        let gate = Arc::new(Notify::new());
        let fault = Fault::Late(Arc::clone(&gate));
        scene.fake.misbehave(Endpoint::Confirm, fault);
        let stripe = Arc::clone(&scene.stripe);
        let given_up = tokio::spawn(async move { stripe.charge(&visa()).await });
        eventually("it is confirmed", async || scene.fake.has_misbehaved()).await;
        given_up.abort();
        if is_voided {
            assert_eq!(void(&scene, &visa()).await, VoidOutcome::Voided);
        }
        gate.notify_one();
        eventually("it arrives", async || {
            scene.fake.finished(Endpoint::Confirm) == 1
        })
        .await;
        // The control: without the void it charges, and the void comes too late.
        let (charges, last) = if is_voided {
            (0, VoidOutcome::Voided)
        } else {
            let paid = Paid {
                reference: "pi_1".into(),
                authorization_code: Some("A7X3".into()),
            };
            (1, VoidOutcome::Charged(paid))
        };
        assert_eq!(void(&scene, &visa()).await, last);
        assert_eq!(scene.fake.charges(KEY), charges);
        let outcome = charge(&scene, &visa()).await;
        assert_eq!(matches!(outcome, ChargeOutcome::Declined { .. }), is_voided);
        assert_eq!(scene.fake.charges(KEY), charges);
    }
}

#[tokio::test]
async fn a_void_of_what_was_never_asked_closes_the_key() {
    let scene = scene().await;
    assert_eq!(void(&scene, &visa()).await, VoidOutcome::Voided);
    let outcome = charge(&scene, &visa()).await;
    assert!(
        matches!(outcome, ChargeOutcome::Declined { .. }),
        "{outcome:?}"
    );
    assert_eq!(scene.fake.charges(KEY), 0);
}

#[tokio::test]
async fn a_second_call_beside_the_first_is_told_so_and_charges_nothing() {
    let scene = scene().await;
    let gate = Arc::new(Notify::new());
    scene
        .fake
        .misbehave(Endpoint::Confirm, Fault::Held(Arc::clone(&gate)));
    let stripe = Arc::clone(&scene.stripe);
    let first = tokio::spawn(async move { stripe.charge(&visa()).await });
    eventually("the first is under way", async || {
        scene.fake.arrived(Endpoint::Confirm) == 1
    })
    .await;
    let second = charge(&scene, &visa()).await;
    assert_eq!(second, ChargeOutcome::Unknown(Doubt::InProgress));
    gate.notify_one();
    let first = first.await.unwrap();
    assert!(matches!(first, ChargeOutcome::Approved(_)), "{first:?}");
    assert_eq!(charge(&scene, &visa()).await, first);
    assert_eq!(scene.fake.charges(KEY), 1);
}

#[tokio::test]
async fn a_key_that_stands_for_something_else_is_no_decline() {
    let scene = scene().await;
    charge(&scene, &visa()).await;
    let mut other = visa();
    other.amount = Money::from_minor(1).unwrap();
    let outcome = charge(&scene, &other).await;
    assert_eq!(outcome, ChargeOutcome::Unknown(Doubt::KeyReused));
    assert_eq!(scene.fake.charges(KEY), 1);
}

#[tokio::test]
async fn what_the_bank_still_has_in_hand_is_unknown_until_it_decides() {
    let scene = scene().await;
    let request = charge_of("pm_slow_bank");
    let processing = Doubt::Processing;
    assert_eq!(
        charge(&scene, &request).await,
        ChargeOutcome::Unknown(processing)
    );
    assert_eq!(
        void(&scene, &request).await,
        VoidOutcome::Unknown(processing)
    );
    scene.fake.settle_processing();
    // The confirm's answer is replayed as it was; a void looks, and so finds it.
    let outcome = charge(&scene, &request).await;
    assert!(matches!(outcome, ChargeOutcome::Approved(_)), "{outcome:?}");
    let outcome = void(&scene, &request).await;
    assert!(matches!(outcome, VoidOutcome::Charged(_)), "{outcome:?}");
    assert_eq!(scene.fake.charges(KEY), 1);
}

#[tokio::test]
async fn a_key_that_is_not_accepted_says_nothing_about_the_money_and_is_not_shown() {
    let mut scene = scene().await;
    scene.fake.misbehave(Endpoint::Confirm, Fault::Silence);
    charge(&scene, &visa()).await;
    // The key is changed while a charge is unknown.
    let secret = "sk_test_other";
    scene.stripe = Arc::new(stripe(&scene.fake.url, secret, &scene.clock));
    let outcome = charge(&scene, &visa()).await;
    let ChargeOutcome::NotSent(NotSent::Refused(code)) = &outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(code.as_str(), "api_key_expired");
    let voided = void(&scene, &visa()).await;
    assert!(matches!(voided, VoidOutcome::NotSent(_)), "{voided:?}");
    let shown = format!("{:?} {outcome:?} {voided:?}", scene.stripe);
    assert!(!shown.contains("sk_test"), "{shown}");
    scene.stripe = Arc::new(stripe(&scene.fake.url, SECRET, &scene.clock));
    assert!(settle(&scene, &visa()).await);
    assert_eq!(scene.fake.charges(KEY), 1);
}

#[tokio::test]
async fn a_charge_is_asked_for_in_stripes_words() {
    let scene = scene().await;
    charge(&scene, &visa()).await;
    let calls = scene.fake.calls();
    let [create, confirm] = calls.as_slice() else {
        panic!("{calls:?}");
    };
    let header = |call: &crate::fake_stripe::Call, name: &str| {
        call.headers[name].to_str().unwrap().to_owned()
    };
    assert_eq!(header(create, "idempotency-key"), "order-7-create");
    assert_eq!(header(confirm, "idempotency-key"), "order-7-confirm");
    for call in [create, confirm] {
        assert_eq!(header(call, "x-correlation-id"), "basket-3");
        assert!(!header(call, "stripe-version").is_empty());
    }
    assert_ne!(
        header(create, "x-request-id"),
        header(confirm, "x-request-id")
    );
    for (name, value) in [
        ("amount", "1999"),
        ("currency", "usd"),
        ("payment_method", "pm_card_visa"),
        ("metadata[order_id]", "order-7"),
        ("metadata[payment_key]", "order-7"),
    ] {
        assert_eq!(create.form[name], value);
    }
}

#[tokio::test]
async fn five_failures_and_no_further_call_reaches_the_provider() {
    let scene = scene().await;
    let breaker = Breaker::try_new(BreakerSettings::default()).unwrap();
    let provider: Arc<dyn PaymentProvider> = Arc::<Stripe>::clone(&scene.stripe);
    let guarded = Guarded::new(provider, breaker, Duration::from_secs(20));
    for _ in 0..5 {
        scene.fake.misbehave(Endpoint::Create, Fault::Unavailable);
        let outcome = guarded.charge(&visa()).await;
        assert_eq!(outcome, ChargeOutcome::Unknown(Doubt::ServerError(503)));
    }
    assert_eq!(guarded.guard().state(), BreakerState::Open);
    let calls = scene.fake.calls().len();
    for _ in 0..20 {
        let outcome = guarded.charge(&visa()).await;
        let open = matches!(outcome, ChargeOutcome::NotSent(NotSent::BreakerOpen { .. }));
        assert!(open, "{outcome:?}");
    }
    assert_eq!(scene.fake.calls().len(), calls);
    guarded.guard().reset();
    let outcome = guarded.charge(&visa()).await;
    assert!(matches!(outcome, ChargeOutcome::Approved(_)), "{outcome:?}");
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let stripe = stripe(&url, SECRET, &Arc::default());
    let unreachable = NotSent::Unreachable;
    let outcome = stripe.charge(&visa()).await;
    assert_eq!(outcome, ChargeOutcome::NotSent(unreachable.clone()));
    let outcome = stripe.void(&visa()).await;
    assert_eq!(outcome, VoidOutcome::NotSent(unreachable.clone()));
    let outcome = stripe.refund(&refund_of("r", "pi_1", 1)).await;
    assert_eq!(outcome, RefundOutcome::NotSent(unreachable));
}
