//! What others may ask of the follower while it works.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc, oneshot};

use crate::central::SyncFault;

/// Why a full sync that was asked for did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the full sync failed: {0}")]
pub struct ForceFault(pub SyncFault);

pub(super) type ForceReply = oneshot::Sender<Result<(), ForceFault>>;

/// What others may ask of the follower.
#[derive(Clone, Debug)]
pub struct FollowerHandle {
    wishes: mpsc::Sender<ForceReply>,
    nudge: Arc<Notify>,
}

impl FollowerHandle {
    pub(super) const fn new(wishes: mpsc::Sender<ForceReply>, nudge: Arc<Notify>) -> Self {
        Self { wishes, nudge }
    }

    /// Has a full sync done now.
    ///
    /// # Errors
    /// Why it failed; the copy is as it was.
    pub async fn force_sync(&self) -> Result<(), ForceFault> {
        let ended = || ForceFault(SyncFault::new("the store is stopping"));
        let (reply, answer) = oneshot::channel();
        self.wishes.send(reply).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// Says that central has just answered something that the copy does not show yet: a rest after
    /// failures ends, a long poll that has gone deaf is helped by a plain question.
    pub fn nudge(&self) {
        self.nudge.notify_one();
    }
}
