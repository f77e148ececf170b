//! How much is logged, asked and changed by an operator while a service runs.
//!
//! For the hour in which somebody looks for something; it is not kept, and a start has `LOG_LEVEL`
//! again. What both services say over HTTP is here, the log itself in [`telemetry`].

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::telemetry;
use crate::wire::problem::{Detail, Problem, ProblemCode};
use crate::wire::unique::object;

/// The levels, from the most lines to the fewest.
const LEVELS: [&str; 4] = ["debug", "info", "warn", "error"];

/// From which level on lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LogLevelBody {
    /// debug, info, warn or error.
    #[schema(value_type = String, example = "debug")]
    level: &'static str,
}

impl LogLevelBody {
    /// As it is now.
    #[must_use]
    pub fn now() -> Self {
        let now = telemetry::level();
        let named = |level: &&&str| telemetry::level_of(level) == Some(now);
        let level = LEVELS.iter().find(named);
        Self {
            level: level.copied().unwrap_or("info"),
        }
    }

    /// Changes it to what `body` says, for `who`.
    ///
    /// # Errors
    /// 400 for a body that names no level; nothing is changed then.
    pub fn change(body: &[u8], who: &str) -> Result<Self, Problem> {
        let members = object(body)?;
        let mut faults: Vec<_> = members
            .keys()
            .filter(|name| *name != "level")
            .map(|name| Detail::new(name.as_str(), "is not known here"))
            .collect();
        let word = members.get("level").and_then(Value::as_str);
        let Some(level) = word.and_then(telemetry::level_of) else {
            faults.push(Detail::new("level", "must be debug, info, warn or error"));
            return Err(refused(faults));
        };
        if !faults.is_empty() {
            return Err(refused(faults));
        }
        let before = Self::now().level;
        telemetry::set_level(level);
        let now = Self::now();
        // Written at whichever of the two levels writes more.
        tracing::error!(target: "shared", before, now = now.level, who, "the log level was changed");
        Ok(now)
    }

    /// What an answer looks like.
    #[must_use]
    pub fn example() -> Value {
        json!({"level": "debug"})
    }
}

fn refused(faults: Vec<Detail>) -> Problem {
    let mut problem = Problem::new(ProblemCode::InvalidRequest, "the body is not valid");
    problem.details = faults;
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test, since the level belongs to the process.
    #[test]
    fn a_level_is_changed_by_name_and_by_nothing_else() {
        for level in LEVELS {
            let body = format!("{{\"level\": \"{level}\"}}");
            let changed = LogLevelBody::change(body.as_bytes(), "somebody").unwrap();
            assert_eq!((changed.level, LogLevelBody::now()), (level, changed));
        }
        for (body, field) in [
            (r#"{"level": "loud"}"#, "level"),
            (r#"{"level": 7}"#, "level"),
            ("{}", "level"),
            (r#"{"level": "info", "for": "ever"}"#, "for"),
        ] {
            let refused = LogLevelBody::change(body.as_bytes(), "somebody").unwrap_err();
            let fields: Vec<_> = refused.details.iter().map(|it| it.field.as_str()).collect();
            assert_eq!(fields, [field], "{body}");
        }
        assert!(LogLevelBody::change(b"debug", "somebody").is_err());
        assert_eq!(LogLevelBody::now().level, "error", "as it was");
    }
}
