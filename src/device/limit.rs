//! Calls into drivers that may hang.

use super::{DeviceError, DeviceKind};
use std::sync::mpsc;
use std::time::Duration;

/// A driver that needs longer than this is not waited for.
pub(super) const OPEN_LIMIT: Duration = Duration::from_secs(5);
/// Listing asks every device in turn.
pub(super) const LIST_LIMIT: Duration = Duration::from_secs(20);

/// Runs something on a thread of its own and gives it up after `limit`; what it gives then is dropped there. A
/// panic in it is a device that is lost, like one that hangs.
pub(super) fn within<T: Send + 'static>(
    limit: Duration,
    kind: DeviceKind,
    work: impl FnOnce() -> Result<T, DeviceError> + Send + 'static,
) -> Result<T, DeviceError> {
    let (result, results) = mpsc::sync_channel(1);
    let spawned = std::thread::Builder::new().name("device-open".into()).spawn(move || {
        let _ = result.send(work());
    });
    match spawned {
        Ok(_) => results.recv_timeout(limit).unwrap_or(Err(DeviceError::Lost(kind))),
        Err(error) => Err(DeviceError::Unusable { kind, detail: error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_a_driver_is_a_lost_device() {
        let work = || -> Result<(), DeviceError> { panic!("the driver library panics") };
        assert_eq!(
            within(OPEN_LIMIT, DeviceKind::Speaker, work),
            Err(DeviceError::Lost(DeviceKind::Speaker))
        );
        assert_eq!(within(OPEN_LIMIT, DeviceKind::Speaker, || Ok(7)), Ok(7));
    }
}
