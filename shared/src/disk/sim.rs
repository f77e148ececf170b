//! Placeholder for the simulated disk.
