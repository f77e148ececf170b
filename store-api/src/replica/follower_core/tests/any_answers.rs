//! Whatever a network makes of the answers: no gap, no repetition, no jump, no storm, and it recovers.

use proptest::prelude::*;

use super::*;

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
