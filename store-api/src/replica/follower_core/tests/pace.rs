//! When it asks, how long it waits, and how fresh it calls itself.

use super::*;

#[test]
fn it_catches_up_and_then_waits() {
    let (mut core, mut now) = (core(), secs(0));
    assert_eq!(core.phase(), Phase::Starting);
    let first = poll_of(core.plan(now));
    assert_eq!(
        (first.offset, first.wait, first.cursor),
        (10, secs(0), None)
    );
    assert_eq!(
        step(&mut core, &mut now, &Answer::Page(page(G1, 10, 5, 7))),
        Verdict::Apply
    );
    assert_eq!(
        (core.phase(), core.position()),
        (Phase::CatchingUp, Some(at(G1, 15)))
    );
    assert_eq!(core.head(), Some(22));
    assert_eq!(core.proven_at(), None);
    assert_eq!(
        step(&mut core, &mut now, &Answer::Page(page(G1, 15, 7, 0))),
        Verdict::Apply
    );
    assert_eq!(
        (core.phase(), core.position()),
        (Phase::Live, Some(at(G1, 22)))
    );
    assert_eq!(core.proven_at(), Some(now));
    let waiting = poll_of(core.plan(now));
    assert_eq!((waiting.wait, waiting.give_up_after), (secs(25), secs(40)));
    assert!(waiting.cursor > Some(1000), "{:?}", waiting.cursor);
}

#[test]
fn without_a_copy_the_first_thing_is_a_snapshot() {
    let mut core = Core::new(settings(), None, secs(0));
    assert_eq!(core.plan(secs(0)), Plan::LoadSnapshot(Reason::FirstSync));
    core.resync_failed(secs(0), u64::MAX, None);
    assert!(matches!(core.plan(secs(0)), Plan::Rest(_)));
    assert_eq!(core.plan(secs(1)), Plan::LoadSnapshot(Reason::FirstSync));
    assert!(core.takes_snapshot_of(G1));
    core.resynced(at(G1, 7), 9, false, secs(1));
    assert_eq!(
        (core.phase(), core.position()),
        (Phase::CatchingUp, Some(at(G1, 7)))
    );
    assert_eq!(poll_of(core.plan(secs(1))).offset, 7);
}

#[test]
fn one_failure_is_not_yet_stale_and_two_are() {
    let (mut core, mut now) = (core(), secs(0));
    step(&mut core, &mut now, &Answer::Page(page(G1, 10, 0, 0)));
    let failed = Answer::Failed { retry_after: None };
    step(&mut core, &mut now, &failed);
    assert_eq!(core.phase(), Phase::Live);
    assert_eq!(
        poll_of(core.plan(now + secs(60))).wait,
        secs(0),
        "asked plainly after a failed wait"
    );
    step(&mut core, &mut now, &failed);
    assert_eq!(core.phase(), Phase::Stale);
    step(&mut core, &mut now, &Answer::Page(page(G1, 10, 0, 0)));
    assert_eq!(core.phase(), Phase::Live);
}

#[test]
fn retry_after_is_kept() {
    let mut core = core();
    let poll = poll_of(core.plan(secs(0)));
    let failed = Answer::Failed {
        retry_after: Some(secs(7)),
    };
    core.judge(&poll, secs(0), &failed, secs(1), 0);
    assert_eq!(core.plan(secs(1)), Plan::Rest(secs(7)));
    assert!(matches!(core.plan(secs(8)), Plan::Poll(_)));
}

#[test]
fn instant_empty_answers_are_slowed_down() {
    let mut core = core();
    let mut now = secs(0);
    let mut asked = 0;
    // An upstream that never waits.
    while now < secs(60) {
        match core.plan(now) {
            Plan::Poll(poll) => {
                asked += 1;
                let empty = Answer::Page(page(G1, 10, 0, 0));
                core.judge(&poll, now, &empty, now, u64::MAX);
                now += Duration::from_millis(1);
            }
            Plan::Rest(rest) => now += rest,
            Plan::LoadSnapshot(reason) => panic!("{reason:?}"),
        }
    }
    assert!((55..70).contains(&asked), "{asked} questions in a minute");
}

#[test]
fn a_proxy_that_breaks_long_polls_costs_latency_and_not_the_sync() {
    let mut core = core();
    let (mut now, mut head) = (secs(0), 10);
    let mut worst = secs(0);
    let mut plain_at = now;
    while now < secs(1200) {
        match core.plan(now) {
            Plan::Poll(poll) if poll.wait > secs(0) => {
                let asked = now;
                now += secs(10);
                head += 1;
                let failed = Answer::Failed { retry_after: None };
                core.judge(&poll, asked, &failed, now, u64::MAX);
            }
            Plan::Poll(poll) => {
                let answer = Answer::Page(page(G1, poll.offset, head - poll.offset, 0));
                core.judge(&poll, now, &answer, now, u64::MAX);
                worst = worst.max(now - plain_at);
                plain_at = now;
            }
            Plan::Rest(rest) => now += rest,
            Plan::LoadSnapshot(reason) => panic!("{reason:?}"),
        }
    }
    // The last event may have come in the very last wait.
    assert!(
        core.position().unwrap().offset + 1 >= head,
        "{:?}",
        core.position()
    );
    assert!(worst <= secs(45), "{worst:?} without a good answer");
}

#[test]
fn the_side_question_is_due_when_nothing_good_was_heard_for_a_while() {
    let mut core = core();
    assert_eq!(core.side_poll_due(secs(4)), secs(34));
    let mut now = secs(0);
    step(&mut core, &mut now, &Answer::Page(page(G1, 10, 0, 0)));
    assert_eq!(core.side_poll_due(secs(0)), now + secs(30));
}

#[test]
fn a_forced_sync_that_fails_leaves_the_copy_as_it_is() {
    let (mut core, mut now) = (core(), secs(0));
    step(&mut core, &mut now, &Answer::Page(page(G1, 10, 0, 0)));
    core.want_snapshot(Reason::Forced, now);
    assert_eq!(core.plan(now), Plan::LoadSnapshot(Reason::Forced));
    core.resync_failed(now, 0, None);
    assert_eq!(core.position(), Some(at(G1, 10)));
    assert!(matches!(core.plan(now), Plan::Poll(_)));
}

#[test]
fn an_answer_that_came_through_a_relay_proves_less() {
    let (mut core, mut now) = (core(), secs(0));
    let old = Page {
        age: secs(9),
        ..page(G1, 10, 0, 0)
    };
    step(&mut core, &mut now, &Answer::Page(old));
    assert_eq!(
        (core.proven_at(), core.phase()),
        (Some(now - secs(9)), Phase::Live)
    );
    let older = Page {
        age: secs(61),
        ..page(G1, 10, 0, 0)
    };
    step(&mut core, &mut now, &Answer::Page(older));
    assert_eq!(core.phase(), Phase::Stale);
    assert!(
        poll_of(core.plan(now)).wait > secs(0),
        "there is nothing to ask for but the next event"
    );
}
