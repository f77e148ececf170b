//! Threads that serve connections, each with a runtime of its own.
//!
//! A connection stays with the worker it was given to, so a request, its timers and its answer never
//! leave one thread: no task is stolen, no idle thread is woken to look for work, and a wake-up from
//! the same thread costs no system call. Whoever answers from outside sends one message for each
//! worker, and a task there wakes the callers; [`here`] says which worker that is.
//!
//! What must stay true: nothing that runs on a worker blocks it, since nobody takes over its other
//! connections meanwhile; blocking work goes to `spawn_blocking`, as everywhere.
//!
//! Left out: moving connections between workers. Connections are given out in turn, and with many
//! more connections than workers that is even enough.

use std::cell::Cell;
use std::io;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

thread_local! {
    static HERE: Cell<usize> = const { Cell::new(0) };
}

/// The number of the worker whose thread this is, from 0 on; 0 on all other threads too.
#[must_use]
pub fn here() -> usize {
    HERE.get()
}

/// Threads that serve connections.
#[derive(Debug)]
pub struct Workers(Vec<Worker>);

#[derive(Debug)]
struct Worker {
    handle: Handle,
    /// Dropped, it ends the thread.
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Workers {
    /// Starts `count` workers, at least one.
    ///
    /// # Errors
    /// The system gives no thread or no event queue.
    pub fn start(count: usize) -> io::Result<Self> {
        (0..count.max(1))
            .map(Worker::start)
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// Starts one worker for each core that this process may use.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_one_per_core() -> io::Result<Self> {
        Self::start(std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// Their runtimes, in the order of their numbers.
    #[must_use]
    pub fn handles(&self) -> Vec<Handle> {
        self.0.iter().map(|worker| worker.handle.clone()).collect()
    }

    /// Ends the threads. What still runs on them is dropped.
    pub fn stop(self) {
        for Worker { stop, thread, .. } in self.0 {
            drop(stop);
            // A thread that panicked has ended too.
            drop(thread.join());
        }
    }
}

impl Worker {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let run = move || {
            HERE.set(number);
            // Ends when the sender is dropped.
            drop(runtime.block_on(stopped));
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name(format!("worker-{number}"));
        let thread = thread.spawn(run)?;
        Ok(Self {
            handle,
            stop,
            thread,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_runs_on_the_worker_it_was_given_to_until_the_workers_end() {
        let workers = Workers::start(3).unwrap();
        let handles = workers.handles();
        let (numbers, received) = std::sync::mpsc::channel();
        for handle in &handles {
            let numbers = numbers.clone();
            handle.spawn(async move {
                numbers.send(here()).unwrap();
                tokio::task::yield_now().await;
                numbers.send(here()).unwrap();
                std::future::pending::<()>().await;
                drop(numbers);
            });
        }
        drop(numbers);
        let mut seen: Vec<usize> = received.iter().take(6).collect();
        seen.sort_unstable();
        assert_eq!(seen, [0, 0, 1, 1, 2, 2]);
        workers.stop();
        // The tasks that would wait for ever are gone, and their senders with them.
        assert!(received.recv().is_err());
        assert_eq!(here(), 0);
    }
}
