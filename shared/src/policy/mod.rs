//! Resilience as plain values: rolling window, circuit breaker, backoff, faults on purpose.
//!
//! Nothing here reads a clock, draws a random number, sleeps or locks: `now` and randomness are
//! arguments, so a test drives years through a breaker in microseconds and a failing history can
//! be run again. The shell (a store's client, a payment runner) owns the lock and the timer.
//!
//! `now` is a [`Duration`](std::time::Duration) since any fixed start the caller likes, normally
//! `tokio::time::Instant` minus the start of the process. It is expected never to go back; where
//! it does, it is read as standing still.

pub mod backoff;
pub mod breaker;
pub mod faults;
pub mod window;

pub use backoff::{Backoff, BackoffSettings};
pub use breaker::{
    Breaker, BreakerSettings, BreakerSnapshot, BreakerState, OpenUntil, Outcome, Permit,
    Transitions,
};
pub use window::{RollingWindow, WindowCounts};
