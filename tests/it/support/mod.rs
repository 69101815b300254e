//! Real counterparts for the tests: started on loopback, stopped by their own process id.

pub(crate) mod certificates;
#[cfg(feature = "hub")]
pub(crate) mod desk;
#[cfg(feature = "hub")]
pub(crate) mod disk;
#[cfg(feature = "hub")]
pub(crate) mod gateway;
pub(crate) mod mosquitto;
#[cfg(feature = "hub")]
pub(crate) mod programs;

use std::time::Duration;

/// Nothing here takes longer on a busy machine; a test that hangs ends with this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something that must come.
#[cfg(feature = "hub")]
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} took longer than {PATIENCE:?}"),
    }
}
