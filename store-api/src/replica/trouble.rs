//! What the log is told of faults of the sync: their beginning and their end, not every attempt.
//!
//! A store that is cut off for a night tries thousands of times; whoever reads its log wants one
//! line when it began, one for each new kind of fault, and one when it was over. A fault that comes
//! and goes (a proxy that breaks every long poll) is named once in [`QUIET`]. Nothing is decided here.
//!
//! Times are durations since any fixed start, as in `shared::policy`.

use std::time::Duration;

/// For how long a fault that was named is not named again, though it ended in between.
const QUIET: Duration = Duration::from_secs(60);
/// Kinds of faults that are told apart. Some texts come from the other side, which must not be able
/// to fill the log by thinking of new ones.
const KINDS: usize = 8;

/// The faults since the last good answer.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    current: Option<Current>,
    /// What was named in the log, and when.
    named: Vec<(String, Duration)>,
}

#[derive(Debug)]
struct Current {
    what: String,
    since: Duration,
    attempts: u64,
    was_named: bool,
}

/// A trouble that is over.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Over {
    /// The last fault.
    pub(super) what: String,
    /// How long it lasted.
    pub(super) lasted: Duration,
    /// Attempts that failed.
    pub(super) attempts: u64,
}

impl Trouble {
    /// An attempt failed; whether the log is to say so.
    pub(super) fn failed(&mut self, what: &str, now: Duration) -> bool {
        let repeated = self.current.as_ref().is_some_and(|old| old.what == what);
        let names = !repeated && self.name(what, now);
        let current = self.current.get_or_insert_with(|| Current {
            what: String::new(),
            since: now,
            attempts: 0,
            was_named: false,
        });
        current.attempts += 1;
        current.was_named |= names;
        if !repeated {
            what.clone_into(&mut current.what);
        }
        names
    }

    fn name(&mut self, what: &str, now: Duration) -> bool {
        self.named.retain(|(_, at)| now.saturating_sub(*at) < QUIET);
        let is_new = self.named.iter().all(|(named, _)| named != what);
        let names = is_new && self.named.len() < KINDS;
        if names {
            self.named.push((what.to_owned(), now));
        }
        names
    }

    /// All is well again; what was over, if the log was told of it.
    pub(super) fn ended(&mut self, now: Duration) -> Option<Over> {
        let current = self.current.take()?;
        current.was_named.then(|| Over {
            what: current.what,
            lasted: now.saturating_sub(current.since),
            attempts: current.attempts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_fault_is_named_when_it_begins_and_when_it_changes() {
        let mut trouble = Trouble::default();
        let said: Vec<_> = ["away", "away", "garbage", "garbage", "diverged"]
            .iter()
            .zip(0..)
            .map(|(what, at)| trouble.failed(what, secs(at)))
            .collect();
        assert_eq!(said, [true, false, true, false, true]);
        let over = trouble.ended(secs(7)).unwrap();
        assert_eq!(
            (over.what.as_str(), over.lasted, over.attempts),
            ("diverged", secs(7), 5)
        );
        assert_eq!(trouble.ended(secs(8)), None, "over once");
    }

    #[test]
    fn a_night_of_the_same_fault_is_one_line() {
        let mut trouble = Trouble::default();
        let lines = (0..30_000)
            .filter(|at| trouble.failed("away", secs(*at)))
            .count();
        assert_eq!(lines, 1);
    }

    #[test]
    fn faults_that_take_turns_are_named_once_a_minute_each() {
        let mut trouble = Trouble::default();
        let lines = (0..600)
            .filter(|at| trouble.failed(["away", "garbage"][usize::from(at % 2 == 1)], secs(*at)))
            .count();
        assert_eq!(lines, 2 * 10);
    }

    #[test]
    fn a_fault_that_comes_and_goes_is_told_once_a_minute_with_its_end() {
        let mut trouble = Trouble::default();
        let (mut begun, mut ended) = (0, 0);
        for at in (0..600).step_by(2) {
            begun += u32::from(trouble.failed("504", secs(at)));
            ended += u32::from(trouble.ended(secs(at + 1)).is_some());
        }
        assert_eq!((begun, ended), (10, 10));
    }

    #[test]
    fn texts_from_the_other_side_cannot_fill_the_log() {
        let mut trouble = Trouble::default();
        let lines = (0..600)
            .filter(|at| trouble.failed(&format!("central answered 500 {at}"), secs(*at)))
            .count();
        assert!(lines <= KINDS * 11, "{lines}");
        assert!(trouble.named.len() <= KINDS);
    }
}
