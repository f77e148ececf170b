//! Faults on purpose as they cross the wire: read, written, described.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};
use shared::limits;
use shared::policy::faults::{
    Action, FaultCount, FaultRule, Preset, SEED_DEFAULT, Target, Trigger, When,
};
use shared::wire::problem::Problem;
use shared::wire::unique::object;
use utoipa::ToSchema;

use super::fields::{Fields, checked};
use crate::faults::millis;

/// The faults to be injected: rules, or a preset.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultsRequest {
    /// In the order in which they are asked; the first that fires wins. None turns all off.
    #[schema(max_items = 32)]
    rules: Option<Vec<FaultRuleBody>>,
    /// Instead of rules.
    #[schema(pattern = "^(every-third-order-late|seven-eight-nine|chaos)$")]
    preset: Option<String>,
}

/// Which calls fail, and how. Either `everyNth` or `probability`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultRuleBody {
    /// `payments` is our own calls to the provider; `all` is every call over HTTP.
    #[schema(pattern = "^(all|updates|orders|reservations|reads|feed|payments)$")]
    target: String,
    /// `before` loses the question; `after_commit` loses the answer to what was done.
    #[schema(pattern = "^(before|after_commit)$")]
    when: String,
    #[schema(pattern = "^(delay|error|drop_answer)$")]
    action: String,
    /// How long, where the action is `delay`.
    #[schema(minimum = 1, maximum = 60_000, nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u64>,
    /// One of so many calls that reach the target.
    #[schema(minimum = 1, maximum = 1_000_000, nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    every_nth: Option<u32>,
    /// Which of them, from 1; default the last.
    #[schema(minimum = 1, maximum = 1_000_000, nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u32>,
    /// Each call, with this chance.
    #[schema(minimum = 0, maximum = 1, nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    probability: Option<f64>,
    /// The same seed strikes the same calls again; default 0.
    #[schema(minimum = 0, nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
}

/// The faults that are injected.
#[derive(Debug, Serialize, ToSchema)]
pub struct FaultsBody {
    rules: Vec<FaultRuleBody>,
    /// What each rule has done since it was put in, in the same order.
    counts: Vec<FaultCountBody>,
}

/// What a rule has done.
#[derive(Debug, Serialize, ToSchema)]
pub struct FaultCountBody {
    /// Calls that it looked at.
    #[schema(minimum = 0)]
    calls: u64,
    /// Faults that it caused.
    #[schema(minimum = 0)]
    injected: u64,
}

impl FaultsBody {
    /// The rules, and what they have done.
    #[must_use]
    pub fn of(rules: &[(FaultRule, FaultCount)]) -> Self {
        let counts = rules.iter().map(|(_, count)| FaultCountBody {
            calls: count.calls,
            injected: count.injected,
        });
        Self {
            rules: rules.iter().map(|(rule, _)| shown(rule)).collect(),
            counts: counts.collect(),
        }
    }
}

fn shown(rule: &FaultRule) -> FaultRuleBody {
    let (every_nth, position, probability, seed) = match rule.trigger {
        Trigger::EveryNth { n, position } => (Some(n), Some(position), None, None),
        Trigger::Probability { probability, seed } => (None, None, Some(probability), Some(seed)),
    };
    FaultRuleBody {
        target: rule.target.as_str().to_owned(),
        when: rule.when.as_str().to_owned(),
        action: rule.action.as_str().to_owned(),
        delay_ms: match rule.action {
            Action::Delay(delay) => Some(millis(delay)),
            Action::Error | Action::DropAnswer => None,
        },
        every_nth,
        position,
        probability,
        seed,
    }
}

/// The rules that a body asks for.
///
/// # Errors
/// 400 with every fault.
pub(super) fn parse(body: &[u8]) -> Result<Vec<FaultRule>, Problem> {
    let members = object(body)?;
    let mut faults = Vec::new();
    let mut fields = Fields::new(&members, "", &mut faults);
    fields.only(&["rules", "preset"]);
    let preset = word(&mut fields, "preset", Preset::ALL, Preset::as_str);
    let objects: Vec<(usize, &Map<String, Value>)> = fields.objects("rules", limits::FAULT_RULES);
    let mut rules = Vec::with_capacity(objects.len());
    for (index, members) in objects {
        rules.extend(rule(&mut fields.within(format!("rules[{index}]"), members)));
    }
    match (fields.raw("rules"), fields.raw("preset")) {
        (Some(_), Some(_)) => fields.fault("preset", "takes the place of rules: give one of them"),
        (None, None) => fields.fault("rules", "is required, or preset"),
        (Some(_), None) | (None, Some(_)) => {}
    }
    checked(preset.map_or(rules, Preset::rules), faults)
}

fn rule(fields: &mut Fields<'_, '_>) -> Option<FaultRule> {
    fields.only(&[
        "target",
        "when",
        "action",
        "delayMs",
        "everyNth",
        "position",
        "probability",
        "seed",
    ]);
    let target = word(fields, "target", Target::ALL, Target::as_str);
    let target = fields.required("target", target);
    let when = word(fields, "when", When::ALL, When::as_str);
    let when = fields.required("when", when);
    let action = action(fields);
    let trigger = trigger(fields);
    Some(FaultRule {
        target: target?,
        trigger: trigger?,
        when: when?,
        action: action?,
    })
}

fn action(fields: &mut Fields<'_, '_>) -> Option<Action> {
    let longest = i64::try_from(millis(limits::FAULT_DELAY_MAX)).unwrap_or(i64::MAX);
    let delay = fields.integer("delayMs", 1, longest);
    let text = fields.text("action", limits::LABEL_BYTES);
    let text = fields.required("action", text)?;
    let action = match text {
        "delay" => {
            let delay = fields.required("delayMs", delay)?;
            return Some(Action::Delay(Duration::from_millis(delay.unsigned_abs())));
        }
        "error" => Action::Error,
        "drop_answer" => Action::DropAnswer,
        _ => {
            fields.fault("action", "must be delay, error or drop_answer");
            return None;
        }
    };
    if fields.raw("delayMs").is_some() {
        fields.fault("delayMs", "belongs to the action delay");
    }
    Some(action)
}

fn trigger(fields: &mut Fields<'_, '_>) -> Option<Trigger> {
    let most = i64::from(limits::FAULT_EVERY_MAX);
    let round = fields.integer("everyNth", 1, most);
    let position = fields.integer("position", 1, round.unwrap_or(most));
    let probability = fields.amount("probability");
    let seed = fields.integer("seed", 0, limits::FAULT_SEED_MAX);
    if probability.is_some_and(|chance| !(0.0..=1.0).contains(&chance)) {
        fields.fault("probability", "must be from 0 to 1");
    }
    let given = |fields: &Fields<'_, '_>, name| fields.raw(name).is_some();
    match (given(fields, "everyNth"), given(fields, "probability")) {
        (true, true) => fields.fault("probability", "contradicts everyNth: give one of them"),
        (false, false) => fields.fault("everyNth", "is required, or probability"),
        (true, false) if given(fields, "seed") => {
            fields.fault("seed", "belongs to probability");
        }
        (false, true) if given(fields, "position") => {
            fields.fault("position", "belongs to everyNth");
        }
        (true, false) | (false, true) => {}
    }
    match (round, probability) {
        (Some(round), _) => {
            let n = u32::try_from(round).ok()?;
            let position = position.map_or(Some(n), |place| u32::try_from(place).ok())?;
            Some(Trigger::EveryNth { n, position })
        }
        (None, probability) => Some(Trigger::Probability {
            probability: probability?,
            seed: seed.map_or(SEED_DEFAULT, i64::unsigned_abs),
        }),
    }
}

/// One of `all`, by its word.
fn word<T: Copy>(
    fields: &mut Fields<'_, '_>,
    name: &str,
    all: &[T],
    as_str: impl Fn(T) -> &'static str,
) -> Option<T> {
    let text = fields.text(name, usize::MAX)?;
    let found = all.iter().copied().find(|one| as_str(*one) == text);
    if found.is_none() {
        let words: Vec<_> = all.iter().map(|one| as_str(*one)).collect();
        fields.fault(name, format!("must be one of {}", words.join(", ")));
    }
    found
}

/// A plan to be put in.
pub(super) fn request_example() -> Value {
    json!({"rules": [{
        "target": "orders", "everyNth": 3, "when": "after_commit", "action": "delay",
        "delayMs": 5_000,
    }]})
}

/// The same as it is shown.
pub(super) fn example() -> Value {
    json!({
        "rules": [{
            "target": "orders", "when": "after_commit", "action": "delay", "delayMs": 5_000,
            "everyNth": 3, "position": 3,
        }],
        "counts": [{"calls": 0, "injected": 0}],
    })
}
