//! Opus' encoder through its C interface: the safe wrapper of the crate `opus` cannot copy one. Everything unsafe of the
//! encoder is in this file.
//!
//! A copy goes on exactly where the original is (`opus.h`: the state is one piece of memory that may be copied as it is),
//! so a listener who is given a stream of its own does not hear the change.

use crate::codec::{CodecError, SAMPLE_RATE};
use crate::units::Bitrate;
use opusic_sys as sys;
use std::os::raw::c_int;

const MONO: c_int = 1;

/// One initialised encoder: mono, 48 kHz, for voices.
pub(super) struct RawEncoder {
    state: *mut sys::OpusEncoder,
}

// SAFETY: the state has no tie to a thread, and it is owned: nobody else has the pointer.
unsafe impl Send for RawEncoder {}

impl RawEncoder {
    pub fn new() -> Result<Self, CodecError> {
        let mut error = sys::OPUS_OK;
        // SAFETY: the call allocates and initialises the state, or fails.
        let state = unsafe {
            sys::opus_encoder_create(SAMPLE_RATE as i32, MONO, sys::OPUS_APPLICATION_VOIP, &raw mut error)
        };
        checked(error)?;
        if state.is_null() {
            return Err(CodecError::Fatal("no voice encoder could be made".into()));
        }
        Ok(Self { state })
    }

    pub fn copy(&self) -> Result<Self, CodecError> {
        let copy = Self::new()?;
        // SAFETY: both states were made with the same parameters, so both are of this size, and they are two.
        unsafe {
            let size = sys::opus_encoder_get_size(MONO) as usize;
            std::ptr::copy_nonoverlapping(self.state.cast::<u8>(), copy.state.cast::<u8>(), size);
        }
        Ok(copy)
    }

    /// Encodes one frame of a length Opus knows; gives the bytes written.
    pub fn encode(&mut self, pcm: &[f32], packet: &mut [u8]) -> Result<usize, CodecError> {
        // SAFETY: both lengths are those of the slices; Opus refuses lengths of sound that it does not know.
        let written = unsafe {
            sys::opus_encode_float(
                self.state,
                pcm.as_ptr(),
                pcm.len() as c_int,
                packet.as_mut_ptr(),
                packet.len() as i32,
            )
        };
        checked(written)?;
        Ok(written as usize)
    }

    pub fn set_complexity(&mut self, complexity: i32) -> Result<(), CodecError> {
        self.set(sys::OPUS_SET_COMPLEXITY_REQUEST, complexity)
    }
    pub fn set_inband_fec(&mut self, on: bool) -> Result<(), CodecError> {
        self.set(sys::OPUS_SET_INBAND_FEC_REQUEST, i32::from(on))
    }
    pub fn set_dtx(&mut self, on: bool) -> Result<(), CodecError> {
        self.set(sys::OPUS_SET_DTX_REQUEST, i32::from(on))
    }
    pub fn set_bitrate(&mut self, target: Bitrate) -> Result<(), CodecError> {
        self.set(sys::OPUS_SET_BITRATE_REQUEST, target.bps().clamp(6_000, 510_000) as i32)
    }
    pub fn set_packet_loss(&mut self, percent: i32) -> Result<(), CodecError> {
        self.set(sys::OPUS_SET_PACKET_LOSS_PERC_REQUEST, percent)
    }

    fn set(&mut self, request: c_int, value: i32) -> Result<(), CodecError> {
        // SAFETY: all the requests above take one integer of 32 bits.
        checked(unsafe { sys::opus_encoder_ctl(self.state, request, value) })
    }
}

impl Drop for RawEncoder {
    fn drop(&mut self) {
        // SAFETY: the state came from `opus_encoder_create` and is given back once.
        unsafe { sys::opus_encoder_destroy(self.state) }
    }
}

/// Opus returns negative numbers for errors.
fn checked(result: c_int) -> Result<(), CodecError> {
    if result >= 0 { Ok(()) } else { Err(CodecError::Fatal(format!("Opus refused a call ({result})"))) }
}
