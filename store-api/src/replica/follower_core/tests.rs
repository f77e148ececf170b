use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;
use shared::policy::Backoff;
use shared::wire::event::Batch;

use super::*;
use crate::replica::answer::{Flaw, Place};

const G1: Gen = Gen(1);
const G2: Gen = Gen(2);
const G3: Gen = Gen(3);

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn settings() -> CoreSettings {
    CoreSettings {
        wait: secs(25),
        limit: 1000,
        check_every: secs(30),
        plain_timeout: secs(5),
        grace: secs(15),
        backoff: Backoff::default(),
    }
}

const fn at(of: Gen, offset: u64) -> Position {
    Position { r#gen: of, offset }
}

fn core() -> Core {
    Core::new(settings(), Some(at(G1, 10)), secs(0))
}

/// An honest page of `count` events from `offset` on, with the head `ahead` beyond it.
fn page(of: Gen, offset: u64, count: u64, ahead: u64) -> Page {
    let places = (offset..offset + count).map(|offset| Place {
        offset,
        batch: None,
    });
    Page {
        r#gen: of,
        places: places.collect(),
        next_offset: offset + count,
        count,
        head: Some(offset + count + ahead),
        up_to_date: ahead == 0,
        digest: None,
        cursor: Some(1000),
        age: secs(0),
    }
}

fn poll_of(plan: Plan) -> Poll {
    match plan {
        Plan::Poll(poll) => poll,
        Plan::LoadSnapshot(_) | Plan::Rest(_) => panic!("{plan:?}"),
    }
}

/// Lets a second pass, asks, and gives the answer, with the greatest jitter.
fn step(core: &mut Core, now: &mut Duration, answer: &Answer) -> Verdict {
    *now += secs(60);
    let poll = poll_of(core.plan(*now));
    let asked = *now;
    *now += secs(2);
    let verdict = core.judge(&poll, asked, answer, *now, u64::MAX);
    if let (Verdict::Apply, Answer::Page(page)) = (verdict, answer) {
        core.applied(page, page.digest.unwrap_or(0), *now, u64::MAX);
    }
    verdict
}

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
#[expect(clippy::too_many_lines, reason = "one table")]
fn every_flaw_is_found() {
    let batch = |id, size, index| Some(Batch { id, size, index });
    let good = page(G1, 10, 3, 0);
    let edited = |edit: fn(&mut Page)| {
        let mut page = good.clone();
        edit(&mut page);
        page
    };
    let split = |index: usize, places: &[Option<Batch>]| {
        let mut page = good.clone();
        for (place, batch) in page.places.iter_mut().skip(index).zip(places) {
            place.batch = *batch;
        }
        page
    };
    let rows = [
        ("later start", page(G1, 11, 3, 0), Flaw::WrongStart),
        ("earlier start", page(G1, 9, 3, 0), Flaw::WrongStart),
        (
            "gap",
            edited(|page| page.places[2].offset = 13),
            Flaw::NotDense,
        ),
        (
            "twice",
            edited(|page| page.places[1].offset = 10),
            Flaw::NotDense,
        ),
        ("count", edited(|page| page.count = 2), Flaw::WrongCount),
        (
            "cut off",
            edited(|page| page.places.truncate(2)),
            Flaw::WrongCount,
        ),
        (
            "next too far",
            edited(|page| page.next_offset = 14),
            Flaw::WrongNext,
        ),
        (
            "next too near",
            edited(|page| page.next_offset = 12),
            Flaw::WrongNext,
        ),
        (
            "silent jump",
            Page {
                next_offset: 99,
                head: Some(99),
                ..page(G1, 10, 0, 0)
            },
            Flaw::WrongNext,
        ),
        (
            "head behind",
            edited(|page| page.head = Some(12)),
            Flaw::HeadBehind,
        ),
        (
            "up to date short of the head",
            edited(|page| page.head = Some(14)),
            Flaw::WrongUpToDate,
        ),
        (
            "empty short of the head",
            Page {
                up_to_date: false,
                ..page(G1, 10, 0, 5)
            },
            Flaw::WrongUpToDate,
        ),
        (
            "begins in a batch",
            split(0, &[batch(9, 2, 1)]),
            Flaw::SplitBatch,
        ),
        (
            "ends in a batch",
            split(2, &[batch(12, 2, 0)]),
            Flaw::SplitBatch,
        ),
        (
            "batch out of order",
            split(0, &[batch(10, 3, 0), batch(10, 3, 2)]),
            Flaw::SplitBatch,
        ),
    ];
    for (name, page, flaw) in rows {
        let (mut core, mut now) = (core(), secs(0));
        let before = core.position();
        let verdict = step(&mut core, &mut now, &Answer::Page(page));
        assert_eq!(verdict, Verdict::Discard(flaw), "{name}");
        assert_eq!(core.position(), before, "{name}");
    }
    let mut core = core();
    let whole = split(0, &[batch(10, 2, 0), batch(10, 2, 1)]);
    assert_eq!(
        step(&mut core, &mut secs(0), &Answer::Page(whole)),
        Verdict::Apply
    );
}

#[test]
fn a_flawed_answer_is_asked_for_anew_and_the_third_leads_to_a_snapshot() {
    let (mut core, mut now) = (core(), secs(0));
    let mut cursors = HashSet::new();
    for _ in 0..2 {
        let bad = Answer::Page(page(G1, 11, 1, 0));
        assert_eq!(
            step(&mut core, &mut now, &bad),
            Verdict::Discard(Flaw::WrongStart)
        );
        assert!(
            matches!(core.plan(now), Plan::Rest(_)),
            "no pause after a bad answer"
        );
        let poll = poll_of(core.plan(now + secs(60)));
        assert!(
            cursors.insert(poll.cursor) && poll.cursor.is_some(),
            "the same URL again"
        );
    }
    step(&mut core, &mut now, &Answer::Page(page(G1, 11, 1, 0)));
    assert_eq!(core.plan(now), Plan::LoadSnapshot(Reason::BrokenAnswers));
    assert_eq!(core.phase(), Phase::Stale);
}

#[test]
fn a_good_answer_forgives_what_was_before() {
    let (mut core, mut now) = (core(), secs(0));
    for offset in 10..30 {
        step(&mut core, &mut now, &Answer::Page(page(G1, 99, 1, 0)));
        step(&mut core, &mut now, &Answer::Diverged);
        let good = Answer::Page(page(G1, offset, 1, 3));
        assert_eq!(step(&mut core, &mut now, &good), Verdict::Apply);
    }
}

#[test]
fn refusals_are_believed_when_they_are_repeated() {
    for (answer, times, reason) in [
        (Answer::Diverged, 2, Reason::Diverged),
        (Answer::Gone, 2, Reason::Gone),
        (Answer::Ahead, 3, Reason::Ahead),
    ] {
        let (mut core, mut now) = (core(), secs(0));
        for time in 1..=times {
            assert_eq!(core.wanted(), None, "{answer:?} {time}");
            assert_eq!(step(&mut core, &mut now, &answer), Verdict::Refused);
        }
        assert_eq!(core.plan(now), Plan::LoadSnapshot(reason));
        assert_eq!(core.position(), Some(at(G1, 10)), "the old copy stays");
    }
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
fn a_new_generation_is_taken_over_and_the_old_one_never_comes_back() {
    let (mut core, mut now) = (core(), secs(0));
    assert_eq!(
        step(&mut core, &mut now, &Answer::Page(page(G2, 10, 2, 0))),
        Verdict::Apply
    );
    assert_eq!(core.position(), Some(at(G2, 12)));
    // A cache that still has the answer of the time before, at the very offset that is asked for.
    let stale = Answer::Page(page(G1, 12, 2, 0));
    assert_eq!(
        step(&mut core, &mut now, &stale),
        Verdict::Discard(Flaw::OldGeneration)
    );
    assert_eq!(core.position(), Some(at(G2, 12)));
}

#[test]
fn a_snapshot_of_a_left_generation_is_turned_down_until_it_insists() {
    let (mut core, mut now) = (core(), secs(0));
    step(&mut core, &mut now, &Answer::Page(page(G2, 10, 2, 0)));
    assert!(core.takes_snapshot_of(G2));
    assert!(core.takes_snapshot_of(G3));
    assert!(!core.takes_snapshot_of(G1));
    assert!(!core.takes_snapshot_of(G1));
    assert!(core.takes_snapshot_of(G1));
    core.resynced(at(G1, 5), 5, true, now);
    // Now it is the other way round.
    let other = Answer::Page(page(G2, 5, 0, 0));
    assert_eq!(
        step(&mut core, &mut now, &other),
        Verdict::Discard(Flaw::OldGeneration)
    );
}

#[test]
fn another_digest_at_the_head_leads_to_a_snapshot() {
    let mut core = core();
    let poll = poll_of(core.plan(secs(0)));
    let page = Page {
        digest: Some(5),
        ..page(G1, 10, 1, 0)
    };
    let answer = Answer::Page(page.clone());
    assert_eq!(
        core.judge(&poll, secs(0), &answer, secs(1), 0),
        Verdict::Apply
    );
    core.applied(&page, 6, secs(1), 0);
    assert_eq!(
        core.plan(secs(1)),
        Plan::LoadSnapshot(Reason::DigestMismatch)
    );
    assert_eq!(core.proven_at(), None);
    // Should the snapshot be no better, the next one is not loaded at once.
    core.resynced(at(G1, 11), 11, false, secs(1));
    let poll = poll_of(core.plan(secs(1)));
    let page = Page {
        digest: Some(5),
        ..super::tests::page(G1, 11, 0, 0)
    };
    core.judge(&poll, secs(1), &Answer::Page(page.clone()), secs(1), 0);
    core.applied(&page, 6, secs(1), u64::MAX);
    assert!(matches!(core.plan(secs(1)), Plan::Rest(_)));
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
fn an_answer_to_an_older_question_changes_nothing() {
    let mut core = core();
    let long = poll_of(core.plan(secs(0)));
    let side = core.side_poll().unwrap();
    assert_ne!(long.cursor, side.cursor);
    let answer = Answer::Page(page(G1, 10, 2, 0));
    assert_eq!(
        core.judge(&side, secs(1), &answer, secs(1), 0),
        Verdict::Apply
    );
    assert_eq!(
        core.judge(&long, secs(0), &answer, secs(2), 0),
        Verdict::Obsolete
    );
    assert_eq!(
        core.judge(&long, secs(0), &Answer::Diverged, secs(2), 0),
        Verdict::Obsolete
    );
    assert_eq!(
        (core.position(), core.phase()),
        (Some(at(G1, 12)), Phase::Live)
    );
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

/// What the other side does with a question.
#[derive(Clone, Debug)]
enum Act {
    Honest,
    Fail(Option<u64>),
    Diverged,
    Ahead,
    Gone,
    /// An honest answer to another offset.
    Shifted(i64),
    /// An honest answer of another generation.
    Of(u64),
    /// An honest answer with one number changed.
    Next(i64),
    Count(i64),
    Head(i64),
    Drop(usize),
    Repeat(usize),
    UpToDate,
    Digest,
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => Just(Act::Honest),
        1 => proptest::option::of(0..100_u64).prop_map(Act::Fail),
        1 => Just(Act::Diverged),
        1 => Just(Act::Ahead),
        1 => Just(Act::Gone),
        1 => (-5..5_i64).prop_map(Act::Shifted),
        1 => (1..5_u64).prop_map(Act::Of),
        1 => (-5..50_i64).prop_map(Act::Next),
        1 => (-2..2_i64).prop_map(Act::Count),
        1 => (-20..20_i64).prop_map(Act::Head),
        1 => (0..5_usize).prop_map(Act::Drop),
        1 => (0..5_usize).prop_map(Act::Repeat),
        1 => Just(Act::UpToDate),
        1 => Just(Act::Digest),
    ]
}

/// A central with a log of `head` events, and a network that does as it is told.
struct World {
    r#gen: Gen,
    head: u64,
}

impl World {
    fn honest(&self, offset: u64) -> Page {
        let count = self.head.saturating_sub(offset).min(7);
        page(
            self.r#gen,
            offset,
            count,
            self.head.saturating_sub(offset + count),
        )
    }

    fn answer(&self, poll: &Poll, act: &Act) -> Answer {
        let mut page = self.honest(poll.offset);
        match *act {
            Act::Honest => {}
            Act::Fail(retry_after) => {
                return Answer::Failed {
                    retry_after: retry_after.map(secs),
                };
            }
            Act::Diverged => return Answer::Diverged,
            Act::Ahead => return Answer::Ahead,
            Act::Gone => return Answer::Gone,
            Act::Shifted(by) => page = self.honest(poll.offset.saturating_add_signed(by)),
            Act::Of(of) => page.r#gen = Gen(of),
            Act::Next(by) => page.next_offset = page.next_offset.saturating_add_signed(by),
            Act::Count(by) => page.count = page.count.saturating_add_signed(by),
            Act::Head(by) => page.head = page.head.map(|head| head.saturating_add_signed(by)),
            Act::Drop(index) if index < page.places.len() => {
                page.places.remove(index);
            }
            Act::Repeat(index) if index < page.places.len() => {
                page.places.insert(index, page.places[index]);
            }
            Act::Drop(_) | Act::Repeat(_) => {}
            Act::UpToDate => page.up_to_date = true,
            Act::Digest => page.digest = Some(7),
        }
        Answer::Page(page)
    }
}

/// A copy that notes every offset it was given, and complains.
#[derive(Default)]
struct Witness {
    next: u64,
    r#gen: Option<Gen>,
    urls: Option<(Poll, Duration)>,
}

impl Witness {
    fn sees(&mut self, poll: &Poll, page: &Page) {
        assert_eq!(
            poll.offset, self.next,
            "asked for another offset than the copy needs"
        );
        for place in &page.places {
            assert_eq!(place.offset, self.next, "a gap or a repetition");
            self.next += 1;
        }
        assert_eq!(page.next_offset, self.next, "a silent jump");
        self.r#gen = Some(page.r#gen);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_answers_whatever_make_a_gap_a_repetition_a_jump_or_a_storm(
        script in proptest::collection::vec((acts(), any::<u64>(), 0..3_u64), 1..120),
        start in 0..40_u64,
    ) {
        let mut world = World { r#gen: G1, head: 40 };
        let mut core = Core::new(settings(), Some(at(G1, start)), secs(0));
        let mut witness = Witness { next: start, r#gen: Some(G1), urls: None };
        let mut now = secs(0);
        let mut asked = Vec::new();
        for (act, random, grows) in &script {
            world.head += grows;
            // Whatever rests there are, then one action.
            let plan = loop {
                match core.plan(now) {
                    Plan::Rest(rest) => {
                        prop_assert!(rest > secs(0) && rest <= secs(71), "{:?}", rest);
                        now += rest;
                    }
                    plan => break plan,
                }
            };
            match plan {
                Plan::Rest(_) => unreachable!(),
                Plan::LoadSnapshot(_) => {
                    // The snapshot is refused or given, as the dice say.
                    if random % 3 == 0 || !core.takes_snapshot_of(world.r#gen) {
                        core.resync_failed(now, *random, None);
                    } else {
                        core.resynced(at(world.r#gen, world.head / 2), world.head, false, now);
                        witness.next = world.head / 2;
                    }
                }
                Plan::Poll(poll) => {
                    if let Some((last, _)) = witness.urls {
                        let same = Poll { give_up_after: last.give_up_after, ..poll } == last;
                        prop_assert!(!same, "the same URL twice: {:?}", poll);
                    }
                    witness.urls = Some((poll, now));
                    asked.push((now, poll.wait));
                    let answer = world.answer(&poll, act);
                    let verdict = core.judge(&poll, now, &answer, now, *random);
                    match (&answer, verdict) {
                        (Answer::Page(page), Verdict::Apply) => {
                            witness.sees(&poll, page);
                            core.applied(page, page.digest.map_or(0, |d| d ^ (random & 1)), now, *random);
                        }
                        (_, Verdict::Apply) => prop_assert!(false, "nothing to apply"),
                        (_, Verdict::Discard(_) | Verdict::Refused) => {
                            prop_assert_eq!(core.position().map(|p| p.offset), Some(witness.next));
                        }
                        (_, Verdict::Obsolete) => prop_assert!(false, "no answer is late here"),
                    }
                }
            }
        }
        // No storm: within one instant, waiting questions are few however they are answered.
        let instants: Vec<_> = asked.iter().filter(|(_, wait)| *wait > secs(0)).map(|(at, _)| *at).collect();
        for window in instants.windows(40) {
            prop_assert!(window[39] > window[0], "forty long polls within one instant");
        }
        // And as soon as the other side is honest, the copy gets there.
        world.r#gen = Gen(9);
        for round in 0.. {
            prop_assert!(round < 200, "does not recover: {:?}", core);
            match core.plan(now) {
                Plan::Rest(rest) => now += rest,
                Plan::LoadSnapshot(_) => {
                    prop_assert!(core.takes_snapshot_of(world.r#gen));
                    core.resynced(at(world.r#gen, 0), world.head, false, now);
                    witness.next = 0;
                }
                Plan::Poll(poll) => {
                    let answer = if poll.offset > world.head {
                        Answer::Diverged
                    } else {
                        Answer::Page(world.honest(poll.offset))
                    };
                    if core.judge(&poll, now, &answer, now, 0) == Verdict::Apply
                        && let Answer::Page(page) = &answer
                    {
                        witness.sees(&poll, page);
                        core.applied(page, 0, now, 0);
                    }
                    if core.phase() == Phase::Live && witness.next == world.head {
                        break;
                    }
                }
            }
        }
    }
}
