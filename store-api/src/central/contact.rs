//! Whether central answers, as far as anybody in this process knows.
//!
//! The feed, the calls and the heartbeat all note what they saw; readers are told in `X-Central`.

use parking_lot::Mutex;
use shared::clock::Timestamp;

/// What is known.
#[derive(Clone, Debug, Default)]
pub struct Contact {
    /// Whether the last attempt was answered; `None` before the first.
    pub reachable: Option<bool>,
    /// When something was last answered.
    pub answered_at: Option<Timestamp>,
    /// What the last failure was, until something is answered.
    pub fault: Option<String>,
    /// Through whom the feed comes: the `Via` of its last answer.
    pub via: Option<String>,
}

/// Shared by everybody who talks to central.
#[derive(Debug, Default)]
pub struct ContactNote(Mutex<Contact>);

impl ContactNote {
    /// Something was answered.
    pub fn answered(&self, now: Timestamp) {
        let mut contact = self.0.lock();
        contact.reachable = Some(true);
        contact.answered_at = Some(now);
        contact.fault = None;
    }

    /// The feed came through these.
    pub fn came_via(&self, via: Option<String>) {
        self.0.lock().via = via;
    }

    /// Something was not.
    pub fn failed(&self, fault: &str) {
        let mut contact = self.0.lock();
        contact.reachable = Some(false);
        contact.fault = Some(fault.to_owned());
    }

    /// What is known.
    #[must_use]
    pub fn get(&self) -> Contact {
        self.0.lock().clone()
    }

    /// Whether central is known to answer.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.0.lock().reachable == Some(true)
    }
}
