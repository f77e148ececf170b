//! The bounded queue in front of the writer.
//!
//! Requests come from many tasks and leave in one sweep: the writer takes everything that waits, so
//! the next frame is whatever arrived while the last one was made. A full queue refuses at once,
//! and nothing has happened then.
//!
//! The writer comes by for every frame, so the queue also knows how long it has been away: a writer
//! that hangs, dies, or waits for a disk that does not answer is noticed here.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::writer::{Answer, Request};

/// Requests that belong together, and where their answers go.
#[derive(Debug)]
pub struct Submission {
    /// Decided one after the other, in one frame, with nothing between them.
    pub requests: Vec<Request>,
    /// Whose herald answers.
    pub lane: usize,
    /// Who asks.
    pub reply: oneshot::Sender<Reply>,
}

/// Requests and what became of each, in order.
///
/// They come back because whoever needs their origins then has them, and because memory is given
/// back several times quicker by the thread that took it.
#[derive(Debug)]
pub struct Reply {
    /// As they were submitted.
    pub requests: Vec<Request>,
    /// One a request.
    pub answers: Vec<Answer>,
}

/// Why a submission was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too many wait already.
    #[error("too many commands wait for the writer")]
    Full,
    /// What was free of the disk is kept for finishing what was begun.
    #[error("there is no room to write down anything new")]
    NoRoom,
    /// The service is stopping.
    #[error("the writer takes no more commands")]
    Closed,
}

/// The queue.
#[derive(Debug)]
pub struct Inbox {
    queue: Mutex<Queue>,
    arrived: Condvar,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Submission>,
    commands: usize,
    closed: bool,
    /// Whether the writer sleeps and must be woken.
    sleeping: bool,
    /// Somebody else wrote; there may be something to take in.
    nudged: bool,
    /// When the oldest of `waiting` came.
    waiting_since: Option<Instant>,
    /// When the writer last came by, unless it waits for work.
    working_since: Option<Instant>,
}

impl Queue {
    /// Hands everything that waits to the writer, who goes to work.
    fn hand_over(&mut self, batch: &mut Vec<Submission>) {
        std::mem::swap(&mut self.waiting, batch);
        self.commands = 0;
        self.waiting_since = None;
        self.working_since = Some(Instant::now());
    }
}

/// What the writer found.
#[derive(Debug)]
pub enum Taken {
    /// Submissions are in the caller's vector, or it is time to look for other work.
    Work,
    /// Nothing is left and nothing will come.
    Closed,
}

impl Inbox {
    /// A queue for `capacity` commands.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            queue: Mutex::default(),
            arrived: Condvar::new(),
            capacity,
        }
    }

    /// Queues a submission.
    ///
    /// # Errors
    /// [`Refused`] if the queue is full or closed; the submission was not taken.
    pub fn submit(&self, submission: Submission) -> Result<(), Refused> {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(Refused::Closed);
        }
        let commands = queue.commands + submission.requests.len();
        if commands > self.capacity {
            return Err(Refused::Full);
        }
        queue.commands = commands;
        queue.waiting_since.get_or_insert_with(Instant::now);
        queue.waiting.push(submission);
        let wake = std::mem::take(&mut queue.sleeping);
        drop(queue);
        if wake {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Lets the writer run once though nobody asked for anything.
    pub fn nudge(&self) {
        let mut queue = self.queue.lock();
        queue.nudged = true;
        if std::mem::take(&mut queue.sleeping) {
            self.arrived.notify_one();
        }
    }

    /// Takes no more submissions; what waits is still decided.
    pub fn close(&self) {
        let mut queue = self.queue.lock();
        queue.closed = true;
        queue.sleeping = false;
        self.arrived.notify_one();
    }

    /// Commands that wait.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.queue.lock().commands
    }

    /// How long the oldest command has waited for the writer, or the writer has been at one frame, if
    /// that is longer. Nothing if the writer waits for work.
    #[must_use]
    pub fn held_up(&self) -> Duration {
        let queue = self.queue.lock();
        let since = [queue.waiting_since, queue.working_since];
        let oldest = since.into_iter().flatten().min();
        oldest.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Takes everything that waits into `batch`, which must be empty, and does not wait.
    pub fn try_take(&self, batch: &mut Vec<Submission>) {
        self.queue.lock().hand_over(batch);
    }

    /// Waits until there is something to do, but not past `deadline`, and takes all of it into `batch`,
    /// which must be empty.
    pub fn take(&self, batch: &mut Vec<Submission>, deadline: Option<Instant>) -> Taken {
        let mut queue = self.queue.lock();
        let mut is_time = false;
        loop {
            if !queue.waiting.is_empty() || queue.nudged || is_time {
                queue.hand_over(batch);
                queue.nudged = false;
                queue.sleeping = false;
                return Taken::Work;
            }
            queue.working_since = None;
            if queue.closed {
                return Taken::Closed;
            }
            queue.sleeping = true;
            match deadline {
                None => self.arrived.wait(&mut queue),
                Some(deadline) => {
                    let waited = self.arrived.wait_until(&mut queue, deadline.into_std());
                    is_time = waited.timed_out();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::domain::ids::ProductId;
    use shared::domain::inventory::{Atomicity, Command, Deletion, fingerprint};
    use shared::domain::origin::Origin;

    use super::*;

    fn submit(inbox: &Inbox, commands: usize) -> Result<oneshot::Receiver<Reply>, Refused> {
        let command = Command::Delete {
            items: vec![Deletion {
                product: ProductId::parse("A").unwrap(),
                expected_version: None,
                force: false,
            }],
            atomicity: Atomicity::All,
        };
        let request = || Request {
            origin: Origin::internal("test"),
            fingerprint: fingerprint(&command, None),
            command: command.clone().into(),
        };
        let (reply, answer) = oneshot::channel();
        inbox.submit(Submission {
            requests: (0..commands).map(|_| request()).collect(),
            lane: 0,
            reply,
        })?;
        Ok(answer)
    }

    #[test]
    fn a_full_queue_takes_nothing_of_a_submission_until_the_writer_came_by() {
        let inbox = Inbox::new(2);
        let _first = submit(&inbox, 1).unwrap();
        assert_eq!(submit(&inbox, 2).unwrap_err(), Refused::Full);
        assert_eq!(inbox.depth(), 1, "nor a part of it");
        let _second = submit(&inbox, 1).unwrap();
        assert_eq!(submit(&inbox, 1).unwrap_err(), Refused::Full);
        let mut batch = Vec::new();
        assert!(matches!(inbox.take(&mut batch, None), Taken::Work));
        let sizes: Vec<_> = batch.iter().map(|one| one.requests.len()).collect();
        assert_eq!(sizes, [1, 1]);
        assert_eq!(inbox.depth(), 0);
        assert_eq!(submit(&inbox, 3).unwrap_err(), Refused::Full);
        let _both = submit(&inbox, 2).unwrap();
        inbox.close();
        assert_eq!(submit(&inbox, 1).unwrap_err(), Refused::Closed);
    }
}
