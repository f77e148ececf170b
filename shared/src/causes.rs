//! An error with all that led to it, in one line.
//!
//! `Display` of our errors says one thing and leaves the rest to `source`, so that no text stands in
//! two places; a log line and a terminal want the whole story.

use std::error::Error;

/// `error` and everything that caused it, outermost first.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the shop is closed")]
    struct Closed(#[source] std::io::Error);

    #[test]
    fn causes_follow_what_they_caused() {
        let cause = std::io::Error::other("the key is lost");
        assert_eq!(chain(&cause), "the key is lost");
        assert_eq!(chain(&Closed(cause)), "the shop is closed: the key is lost");
    }
}
