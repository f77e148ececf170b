//! How full the disk of a data folder is, as a check of a service's health.
//!
//! A full disk ends a write and with it the process, so it has to be seen before. The bound is in
//! bytes: what is left on a small disk says more than its share of it.

use std::path::PathBuf;

use super::health::{HealthCheck, HealthStatus};
use crate::limits;

/// Looks at the disk that `folder` is on.
pub async fn check(folder: PathBuf) -> HealthCheck {
    let asked = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&folder));
    match asked.await {
        Ok(Ok(disk)) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            of(free, disk.f_blocks.saturating_mul(disk.f_frsize))
        }
        Ok(Err(_)) | Err(_) => {
            HealthCheck::new(HealthStatus::Degraded).detail("the disk does not say how full it is")
        }
    }
}

fn of(free: u64, total: u64) -> HealthCheck {
    let check = if free < limits::DISK_FREE_LOW {
        HealthCheck::new(HealthStatus::Degraded).detail("the disk is almost full")
    } else {
        HealthCheck::new(HealthStatus::Healthy)
    };
    check.figure("freeBytes", free).figure("totalBytes", total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_disk_says_how_full_it_is_and_degrades_before_it_is_full() {
        let here = check(PathBuf::from(".")).await;
        let figure = |name| here.figures.get(name).and_then(serde_json::Value::as_u64);
        assert!(figure("freeBytes") <= figure("totalBytes"));
        assert!(figure("totalBytes") > Some(0));
        let nowhere = check(PathBuf::from("no such folder")).await;
        assert_eq!(nowhere.status, HealthStatus::Degraded);
        let low = limits::DISK_FREE_LOW;
        assert_eq!(of(low, 4 * low).status, HealthStatus::Healthy);
        assert_eq!(of(low - 1, 4 * low).status, HealthStatus::Degraded);
    }
}
