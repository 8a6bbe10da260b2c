//! Opening the microphone or speaker that is wished for; where the chosen one is missing, the system's stands in for
//! it until it comes.
//!
//! A device that was lost is opened again at once, before anybody is told: the system may have another one, and a
//! sound server that restarts takes its streams along. Used by the threads `aenc` and `mix`.

use super::worker::Reporter;
use crate::device::{DeviceError, MicrophoneChoice, SpeakerChoice};
use std::time::{Duration, Instant};

/// A device that ran for less is not opened again at once: it may break each time.
const STEADY: Duration = Duration::from_secs(2);

/// A choice that another device can stand in for.
pub(super) trait Choice: Sized {
    /// The name of the chosen device, and the choice of a stand-in.
    fn stand_in(&self) -> Option<(&str, Self)>;
}

impl Choice for MicrophoneChoice {
    fn stand_in(&self) -> Option<(&str, Self)> {
        match self {
            Self::Named(name) => Some((name, Self::StandIn(name.clone()))),
            Self::Default | Self::StandIn(_) | Self::Tone | Self::File(_) | Self::None => None,
        }
    }
}

impl Choice for SpeakerChoice {
    fn stand_in(&self) -> Option<(&str, Self)> {
        match self {
            Self::Named(name) => Some((name, Self::StandIn(name.clone()))),
            Self::Default | Self::StandIn(_) | Self::File(_) | Self::None => None,
        }
    }
}

/// Opens what is wished for, or what stands in for it, which is told.
pub(super) fn open<C: Choice, D>(
    open: impl Fn(&C) -> Result<D, DeviceError>,
    choice: &C,
    reporter: &mut Reporter,
) -> Result<D, DeviceError> {
    let error = match open(choice) {
        Err(error @ DeviceError::NotFound(_)) => error,
        Ok(device) => {
            reporter.found();
            return Ok(device);
        }
        Err(error) => return Err(error),
    };
    let Some((name, stand_in)) = choice.stand_in() else { return Err(error) };
    let device = open(&stand_in).map_err(|_| error)?;
    reporter.missing(name);
    Ok(device)
}

/// Remembers the loss of a device between the two tries to open one.
#[derive(Default)]
pub(super) struct Loss {
    opened_at: Option<Instant>,
    error: Option<DeviceError>,
}

impl Loss {
    pub fn opened(&mut self, now: Instant) {
        (self.opened_at, self.error) = (Some(now), None);
    }

    /// What to tell and to wait for after this error; `None`: try again at once.
    pub fn after(&mut self, error: DeviceError, now: Instant) -> Option<DeviceError> {
        let steady = self.opened_at.take().is_some_and(|at| now.saturating_duration_since(at) >= STEADY);
        if steady && matches!(error, DeviceError::Lost(_)) {
            self.error = Some(error);
            return None;
        }
        Some(self.error.take().unwrap_or(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceKind;
    use crate::pipeline::MediaEvent;
    use crate::pipeline::worker::Events;
    use std::cell::RefCell;

    const KIND: DeviceKind = DeviceKind::Microphone;

    #[test]
    fn the_system_s_device_stands_in_for_a_missing_one() {
        let (sender, mut events) = tokio::sync::mpsc::channel(8);
        let mut reporter = Reporter::new(KIND, Events(sender));
        let asked = RefCell::new(Vec::new());
        let named = MicrophoneChoice::Named("Headset".into());
        let opened = open(
            |choice: &MicrophoneChoice| {
                asked.borrow_mut().push(choice.clone());
                if *choice == named { Err(DeviceError::NotFound(KIND)) } else { Ok("built in") }
            },
            &named,
            &mut reporter,
        );
        assert_eq!(opened, Ok("built in"));
        assert_eq!(asked.into_inner(), [named.clone(), MicrophoneChoice::StandIn("Headset".into())]);
        assert_eq!(events.try_recv(), Ok(MediaEvent::Missing { kind: KIND, name: "Headset".into() }));
        // Told once, until it was there.
        let none = |choice: &MicrophoneChoice| match choice {
            MicrophoneChoice::Named(_) => Err(DeviceError::NotFound(KIND)),
            _ => Ok(()),
        };
        assert_eq!(open(none, &named, &mut reporter), Ok(()));
        assert!(events.try_recv().is_err());
    }

    #[test]
    fn other_errors_and_a_machine_without_devices_are_told_as_they_are() {
        let (sender, mut events) = tokio::sync::mpsc::channel(8);
        let mut reporter = Reporter::new(KIND, Events(sender));
        let named = MicrophoneChoice::Named("Headset".into());
        for error in [DeviceError::Busy(KIND), DeviceError::NotFound(KIND)] {
            let refuse = |_: &MicrophoneChoice| Err::<(), _>(error.clone());
            assert_eq!(open(refuse, &named, &mut reporter), Err(error.clone()));
        }
        let gone = |_: &MicrophoneChoice| Err::<(), _>(DeviceError::NotFound(KIND));
        assert_eq!(open(gone, &MicrophoneChoice::Default, &mut reporter), Err(DeviceError::NotFound(KIND)));
        assert!(events.try_recv().is_err());
    }

    #[test]
    fn a_lost_device_is_opened_again_at_once_but_not_for_ever() {
        let (mut loss, start) = (Loss::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let lost = DeviceError::Lost(KIND);
        loss.opened(at(0));
        assert_eq!(loss.after(lost.clone(), at(5000)), None);
        // The second try fails in another way: the loss is what happened.
        let detail = "the sound system is not running.".to_owned();
        let dead = DeviceError::Unusable { kind: KIND, detail };
        assert_eq!(loss.after(dead.clone(), at(5001)), Some(lost.clone()));
        assert_eq!(loss.after(dead.clone(), at(6001)), Some(dead));
        loss.opened(at(7000));
        assert_eq!(loss.after(lost.clone(), at(7500)), Some(lost), "it breaks each time");
    }
}
