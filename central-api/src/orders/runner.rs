//! Takes orders to where they come to rest.
//!
//! ```text
//!  look ─▶ next step? ─▶ call the provider ─▶ record what came of it ─▶ look again
//!            │ none                              │ nobody knows
//!            └▶ done                             └▶ wait, longer each time, or until somebody calls
//! ```
//!
//! Each order that has something to do has one task, which lives as long as that. Whoever changes an
//! order so that it has more to do calls [`Runner::start`], which makes a task or wakes the one there
//! is. At the start of the process every order with something to do gets its task back, and with it the
//! correlation id under which it was set going, which the log has.
//!
//! What must stay true: what came of a call is durable before the next step is chosen; an order has
//! one task at most, so its calls follow each other; nothing in here is needed to know what is to be
//! done, so a lost task costs a restart and no money. What comes of every call that was sent is told to the
//! ledger, which writes it down where it is news.
//!
//! Left out: when to give an order up. That is the end of its hold, which the ledger decides.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use shared::domain::ids::{CorrelationId, OrderId, RequestId};
use shared::domain::order::{Order, OrderStatus, Step, next_step};
use shared::domain::origin::Origin;
use shared::domain::{Command, order};
use shared::limits;
use shared::policy::backoff::{Backoff, BackoffSettings};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::calls::{self, Ended};
use crate::ledger::history::{self, Subject, Walk};
use crate::ledger::inbox::Refused;
use crate::ledger::{Ledger, Outcome, Request, SubmitError};
use crate::metrics::SagaMetrics;
use crate::payments::{Guarded, NotSent};

/// Waits between calls whose outcome nobody knows.
const BACKOFF: BackoffSettings = BackoffSettings {
    base: Duration::from_millis(500),
    cap: Duration::from_secs(60),
    retry_after_cap: Duration::from_secs(60),
};
/// Waits between looks at a refund that the provider has accepted.
const PATIENCE: BackoffSettings = BackoffSettings {
    base: limits::REFUND_LOOK_FIRST,
    cap: limits::REFUND_LOOK_MAX,
    retry_after_cap: limits::REFUND_LOOK_MAX,
};
/// Wait before an outcome is recorded again that the writer had no room for.
const RECORD_AGAIN: Duration = Duration::from_millis(50);
/// Records of an order that are searched for its correlation id: those that have none are the ends of
/// holds, and an order has one hold.
const LOOK_BACK: usize = 4;

/// Takes orders to where they come to rest.
#[derive(Debug)]
pub struct Runner {
    ledger: Ledger,
    payments: Arc<Guarded>,
    /// Calls to the provider that are under way.
    calls: Semaphore,
    tasks: Mutex<HashMap<OrderId, Arc<Task>>>,
    backoff: Backoff,
    patience: Backoff,
    metrics: SagaMetrics,
    shutdown: CancellationToken,
}

/// What others may do to an order's task.
#[derive(Debug)]
struct Task {
    /// Ends its wait.
    wake: Notify,
    /// Changes whenever something was recorded, or will not be.
    progress: watch::Sender<()>,
    correlation: Option<CorrelationId>,
}

/// How a step went.
enum Went {
    /// Something is known now.
    On,
    /// Ask again later, no sooner than told.
    Wait(Option<Duration>),
    /// Look again later: the provider has it in hand.
    InHand,
    /// The ledger takes no more.
    Ended,
}

impl Runner {
    /// A runner that asks `payments` and records in `ledger`, until `shutdown`.
    #[must_use]
    pub fn new(ledger: Ledger, payments: Arc<Guarded>, shutdown: CancellationToken) -> Self {
        Self {
            ledger,
            payments,
            calls: Semaphore::new(limits::PAYMENT_CALLS),
            tasks: Mutex::default(),
            backoff: Backoff::try_new(BACKOFF).unwrap_or_default(),
            patience: Backoff::try_new(PATIENCE).unwrap_or_default(),
            metrics: SagaMetrics::default(),
            shutdown,
        }
    }

    /// Takes up every order that has something to do; for the start of the process.
    pub fn resume(self: &Arc<Self>) {
        let open = self.ledger.published().books.open_orders();
        if open.is_empty() {
            return;
        }
        tracing::info!(
            orders = open.len(),
            "orders are taken up where they were left"
        );
        let runner = Arc::clone(self);
        // Their records are on a disk.
        tokio::task::spawn_blocking(move || {
            for order in open {
                if runner.shutdown.is_cancelled() {
                    return;
                }
                runner.start(&order, runner.correlation(&order));
            }
        });
    }

    /// The correlation id of the newest record about an order that has one. A log that cannot be read
    /// costs the id and nothing else.
    fn correlation(&self, id: &OrderId) -> Option<CorrelationId> {
        let mut walk = Walk::new(self.ledger.published(), Subject::Order(id), LOOK_BACK)?;
        while let Ok(history::Step::Record { record, .. }) = walk.step() {
            if record.origin.correlation.is_some() {
                return record.origin.correlation;
            }
        }
        None
    }

    /// Sees to it that what an order needs is being done.
    pub fn start(self: &Arc<Self>, order: &OrderId, correlation: Option<CorrelationId>) {
        self.task(order, correlation);
    }

    /// Orders that have a task.
    #[must_use]
    pub fn running(&self) -> usize {
        self.tasks.lock().len()
    }

    /// What was asked of the provider, counted.
    #[must_use]
    pub const fn metrics(&self) -> &SagaMetrics {
        &self.metrics
    }

    fn task(self: &Arc<Self>, id: &OrderId, correlation: Option<CorrelationId>) -> Arc<Task> {
        let mut tasks = self.tasks.lock();
        if let Some(task) = tasks.get(id) {
            task.wake.notify_one();
            return Arc::clone(task);
        }
        let task = Arc::new(Task {
            wake: Notify::new(),
            progress: watch::Sender::new(()),
            correlation,
        });
        tasks.insert(id.clone(), Arc::clone(&task));
        drop(tasks);
        let (runner, id, work) = (Arc::clone(self), id.clone(), Arc::clone(&task));
        tokio::spawn(async move { runner.drive(&id, &work).await });
        task
    }

    /// Waits until it is known what becomes of a new order, or known that nobody knows. `None` if
    /// neither comes in time, or the order is not there.
    pub async fn outcome(
        self: &Arc<Self>,
        id: &OrderId,
        correlation: Option<CorrelationId>,
    ) -> Option<Arc<Order>> {
        let settled =
            |order: &Order| order.status.is_decided() || order.status == OrderStatus::Undecided;
        let books = &self.ledger.published().books;
        let waiting = async {
            loop {
                let order = books.order(id.as_str())?;
                if settled(&order) {
                    return Some(order);
                }
                let task = self.task(id, correlation.clone());
                let mut progress = task.progress.subscribe();
                // Subscribed first, so nothing is missed between this look and the wait.
                let order = books.order(id.as_str())?;
                if settled(&order) {
                    return Some(order);
                }
                tokio::select! {
                    // An end without progress is an end of the process.
                    changed = progress.changed() => changed.ok()?,
                    () = self.shutdown.cancelled() => return None,
                }
            }
        };
        tokio::time::timeout(limits::ORDER_WAIT, waiting)
            .await
            .ok()?
    }

    async fn drive(&self, id: &OrderId, task: &Task) {
        let mut retry = 0_u32;
        let mut stopped = false;
        while let Some((order, step)) = self.next(id, stopped) {
            if retry > 0 {
                self.metrics.retried();
            }
            let went = self.take(&order, &step, task).await;
            let wait = match went {
                Went::On => None,
                Went::Wait(at_least) => Some(self.backoff.delay(retry, rand::random(), at_least)),
                Went::InHand => Some(self.patience.delay(retry, rand::random(), None)),
                Went::Ended => {
                    stopped = true;
                    continue;
                }
            };
            task.progress.send_replace(());
            let Some(wait) = wait else {
                retry = 0;
                continue;
            };
            retry = retry.saturating_add(1);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = task.wake.notified() => {}
                () = self.shutdown.cancelled() => stopped = true,
            }
        }
    }

    /// What is to be done next; if there is nothing, the task is taken off the list in the same
    /// moment, so that whoever wants more done makes a new one.
    fn next(&self, id: &OrderId, stopped: bool) -> Option<(Arc<Order>, Step)> {
        let mut tasks = self.tasks.lock();
        let order = self.ledger.published().books.order(id.as_str());
        let next = order
            .filter(|_| !stopped)
            .and_then(|order| next_step(&order).map(|step| (order, step)));
        if next.is_none() {
            tasks.remove(id);
        }
        next
    }

    async fn take(&self, order: &Order, step: &Step, task: &Task) -> Went {
        let Ok(_turn) = self.calls.acquire().await else {
            return Went::Ended;
        };
        let began = Instant::now();
        let called = calls::take(&*self.payments, order, step, task.correlation.clone()).await;
        let Some(ended) = called else {
            tracing::error!(order = %order.order_id, "a step of the order cannot be taken");
            return Went::Wait(None);
        };
        self.metrics.asked(step, ended.outcome);
        let at_least = match &ended.not_sent {
            Some(NotSent::BreakerOpen { retry_after }) => Some(*retry_after),
            Some(_) | None => None,
        };
        // That nobody was asked is not worth a record each time; that it is not known is, once.
        let may_be_news = ended.is_known
            || ended.not_sent.is_none()
            || matches!(order.status, OrderStatus::Reserved);
        if may_be_news {
            match self.record(order, task, &ended).await {
                Some(is_news) if is_news && !ended.is_known => tracing::warn!(
                    order = %order.order_id,
                    step = step.as_str(),
                    "the payment provider gave no clear answer"
                ),
                Some(_) => {}
                None => return Went::Ended,
            }
        }
        self.metrics.took(step, began.elapsed());
        if let Some(code) = ended.refused_refund() {
            self.report_refused(&order.order_id, code);
        }
        if ended.is_known {
            Went::On
        } else if ended.is_in_hand {
            Went::InHand
        } else {
            Went::Wait(at_least)
        }
    }

    /// Says that a refund was refused: an error where nothing more is done about it.
    fn report_refused(&self, order: &OrderId, code: &str) {
        let now = self.ledger.published().books.order(order.as_str());
        if now.is_some_and(|order| next_step(&order).is_some()) {
            tracing::warn!(%order, code, "a refund was refused; the rest is asked for instead");
        } else {
            tracing::error!(
                %order,
                code,
                "the payment provider refuses to give money back; somebody has to look"
            );
        }
    }

    /// Makes what came of a call durable, and says whether it was news. `None` if the ledger takes no
    /// more.
    async fn record(&self, order: &Order, task: &Task, ended: &Ended) -> Option<bool> {
        loop {
            match self
                .ledger
                .decide_what_was_begun(self.request(order, task, &ended.command))
                .await
            {
                // Refused is what is not awaited any more: somebody else recorded it.
                Ok(Outcome::Decided { decided, .. }) => {
                    return Some(decided.decision.changes_something());
                }
                Ok(Outcome::KeyReused) => return Some(false),
                Err(SubmitError::Refused(Refused::Full | Refused::NoRoom)) => {
                    tokio::time::sleep(RECORD_AGAIN).await;
                }
                Err(SubmitError::Refused(Refused::Closed) | SubmitError::Unknown) => return None,
            }
        }
    }

    fn request(&self, order: &Order, task: &Task, command: &order::Command) -> Request {
        let command = Command::from(command.clone());
        let request = task.correlation.as_ref();
        let request = request.and_then(|id| RequestId::parse(id.as_str()).ok());
        let internal = Origin::internal("payments");
        Request {
            fingerprint: command.fingerprint(None),
            command,
            origin: Origin {
                store: order.store_id.clone(),
                request: request.unwrap_or_else(|| internal.request.clone()),
                correlation: task.correlation.clone(),
                ..internal
            },
        }
    }
}
