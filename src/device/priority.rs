//! Sound before everything else: the threads that carry it get a raised priority where the system allows it to any
//! program. Where it does not, they run as all others do; that is no reason for a message.
//!
//! * **Linux**: a lower nice value. The kernel allows it to few; RealtimeKit, which desktops have for their sound
//!   servers, to all (D-Bus, with zbus, which the window needs anyway). Its real-time class is not asked for: the
//!   kernel kills a process whose real-time thread once computes for 200 ms without a pause, and ours encode.
//! * **macOS**: the quality-of-service class of what the user notices at once. The callbacks of CoreAudio are
//!   real-time threads already.
//! * **Windows**: the highest priority of normal threads.

/// For the thread that calls, which is to carry sound. Returns at once.
pub fn raise() {
    #[cfg(target_os = "linux")]
    raise_thread(this_thread());
    #[cfg(target_os = "macos")]
    // SAFETY: it only changes how the calling thread is scheduled.
    unsafe {
        libc::pthread_set_qos_class_self_np(libc::qos_class_t::QOS_CLASS_USER_INTERACTIVE, 0);
    }
    #[cfg(windows)]
    // SAFETY: the handle stands for the calling thread and need not be closed.
    unsafe {
        use windows_sys::Win32::System::Threading::{
            GetCurrentThread, SetThreadPriority, THREAD_PRIORITY_TIME_CRITICAL,
        };
        SetThreadPriority(GetCurrentThread(), THREAD_PRIORITY_TIME_CRITICAL);
    }
}

/// The number of the calling thread for [`raise_thread`]; cheap enough for a device's callback. 0 where that is not
/// needed.
pub(super) fn this_thread() -> u32 {
    #[cfg(target_os = "linux")]
    // SAFETY: it has no arguments and cannot fail.
    let thread = unsafe { libc::gettid() } as u32;
    #[cfg(not(target_os = "linux"))]
    let thread = 0;
    thread
}

/// For another thread of this program, like the callback of a device. Does not wait: a message bus may not answer.
#[cfg(target_os = "linux")]
pub(super) fn raise_thread(thread: u32) {
    // SAFETY: plain numbers; the kernel refuses what it does not allow.
    if unsafe { libc::setpriority(libc::PRIO_PROCESS, thread, NICE) } == 0 {
        tracing::debug!(thread, "a sound thread has its priority");
        return;
    }
    let ask = move || match ask_realtime_kit(thread) {
        Ok(()) => tracing::debug!(thread, "a sound thread has its priority from RealtimeKit"),
        Err(error) => tracing::debug!(thread, %error, "a sound thread keeps the common priority"),
    };
    let _ = std::thread::Builder::new().name("priority".into()).spawn(ask);
}

#[cfg(not(target_os = "linux"))]
pub(super) fn raise_thread(_: u32) {}

/// As PulseAudio's own.
#[cfg(target_os = "linux")]
const NICE: i32 = -11;

#[cfg(target_os = "linux")]
fn ask_realtime_kit(thread: u32) -> zbus::Result<()> {
    const NAME: &str = "org.freedesktop.RealtimeKit1";
    let bus = zbus::blocking::Connection::system()?;
    let who = (u64::from(std::process::id()), u64::from(thread), NICE);
    bus.call_method(
        Some(NAME),
        "/org/freedesktop/RealtimeKit1",
        Some(NAME),
        "MakeThreadHighPriorityWithPID",
        &who,
    )?;
    Ok(())
}
