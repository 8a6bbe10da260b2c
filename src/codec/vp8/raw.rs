//! libvpx through its C interface. Everything unsafe of VP8 is in this file.
//!
//! The bindings are of the library's version that was there when this was built; the library itself refuses a caller
//! with another layout in mind (`*_init_ver`), which is an error here and no more.
//!
//! Called by the encoder and the decoder of [`super`] alone, each on its thread.

use crate::codec::CodecError;
use crate::frame::I420;
use crate::units::{Bitrate, Resolution};
use std::ffi::{CStr, c_int, c_uint, c_ulong};
use std::mem::MaybeUninit;
use std::ptr::{null, null_mut, slice_from_raw_parts};
use vpx_sys as sys;

/// Of the encoder's clock.
pub(super) const TICKS: u32 = 90_000;
/// 0 is slowest and best, 16 fastest. As browsers have it for calls on a computer; see `tests/picture/codecs.rs` for what it costs.
const SPEED: c_int = -6;
/// Blocks that differ from the picture before by less are not coded; as browsers have it.
const STILL: c_uint = 1;
/// Quantizers of 0 to 63 that the rate control may choose.
const FINEST: c_uint = 2;
const COARSEST: c_uint = 56;
/// The rate control's model of the receiver's buffer, in milliseconds: full, at the start, aimed at.
const BUFFER: (c_uint, c_uint, c_uint) = (1000, 500, 600);

/// What an encoder is set up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setup {
    pub resolution: Resolution,
    pub target: Bitrate,
    pub fps: u32,
}

/// What the encoder made of a picture.
pub(super) struct Coded {
    /// Empty if the picture was left out.
    pub bytes: Vec<u8>,
    pub keyframe: bool,
}

/// A codec of the library, given back when it is dropped.
struct Context(Box<sys::vpx_codec_ctx_t>);

// SAFETY: a codec runs without threads of its own here and has no tie to the one that made it; the box is owned.
unsafe impl Send for Context {}

impl Context {
    fn new() -> Self {
        Self(Box::new(sys::vpx_codec_ctx_t {
            name: null(),
            iface: null_mut(),
            err: sys::vpx_codec_err_t::VPX_CODEC_OK,
            err_detail: null(),
            init_flags: 0,
            config: sys::vpx_codec_ctx__bindgen_ty_1 { raw: null() },
            priv_: null_mut(),
        }))
    }

    fn check(&mut self, what: &str, result: sys::vpx_codec_err_t) -> Result<(), CodecError> {
        if result == sys::vpx_codec_err_t::VPX_CODEC_OK {
            return Ok(());
        }
        // SAFETY: the call gives a text that lives as long as the library.
        let reason = unsafe { CStr::from_ptr(sys::vpx_codec_err_to_string(result)) };
        Err(CodecError::Fatal(format!("{what}: {}", reason.to_string_lossy())))
    }

    /// `value` must be of the type that the control takes: all of ours take an `int` or an `unsigned int`.
    fn control(&mut self, id: sys::vp8e_enc_control_id, value: c_int) -> Result<(), CodecError> {
        // SAFETY: the codec is initialised.
        let result = unsafe { sys::vpx_codec_control_(&raw mut *self.0, id as c_int, value) };
        self.check("a setting", result)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the last use; one that never was initialised is refused.
        unsafe { sys::vpx_codec_destroy(&raw mut *self.0) };
    }
}

/// The library writes its defaults here, and one that is newer than the bindings may have more of them.
#[repr(C)]
struct Defaults {
    settings: MaybeUninit<sys::vpx_codec_enc_cfg_t>,
    spare: [u64; 64],
}

/// One initialised encoder of one size.
pub(super) struct RawEncoder {
    context: Context,
    settings: Box<sys::vpx_codec_enc_cfg_t>,
    setup: Setup,
    /// In ticks, of the picture before; the library wants each later than the last.
    last: Option<i64>,
}

// SAFETY: the settings hold pointers that this encoder never sets (statistics of a first pass).
unsafe impl Send for RawEncoder {}

impl RawEncoder {
    pub fn new(setup: Setup) -> Result<Self, CodecError> {
        let mut context = Context::new();
        let mut defaults = Defaults { settings: MaybeUninit::uninit(), spare: [0; 64] };
        // SAFETY: the call fills the settings, or fails.
        let mut settings = unsafe {
            let into = defaults.settings.as_mut_ptr();
            let result = sys::vpx_codec_enc_config_default(sys::vpx_codec_vp8_cx(), into, 0);
            context.check("the encoder's defaults", result)?;
            Box::new(defaults.settings.assume_init())
        };
        settings.g_threads = 1;
        (settings.g_w, settings.g_h) = (setup.resolution.width, setup.resolution.height);
        settings.g_timebase = sys::vpx_rational { num: 1, den: TICKS as c_int };
        // Nothing is decoded that may refer to what was lost (`rtp::assembler`), so nothing is spent on that case.
        settings.g_error_resilient = 0;
        settings.g_pass = sys::vpx_enc_pass::VPX_RC_ONE_PASS;
        settings.g_lag_in_frames = 0;
        settings.rc_end_usage = sys::vpx_rc_mode::VPX_CBR;
        // What is too much is left out before it is encoded (`pipeline::budget`); the size is chosen there too.
        (settings.rc_dropframe_thresh, settings.rc_resize_allowed) = (0, 0);
        (settings.rc_min_quantizer, settings.rc_max_quantizer) = (FINEST, COARSEST);
        (settings.rc_undershoot_pct, settings.rc_overshoot_pct) = (100, 15);
        (settings.rc_buf_sz, settings.rc_buf_initial_sz, settings.rc_buf_optimal_sz) = BUFFER;
        // Keyframes only when asked for.
        settings.kf_mode = sys::vpx_kf_mode::VPX_KF_DISABLED;
        settings.rc_target_bitrate = kbps(setup.target);
        // SAFETY: the settings are complete and live as long as the codec.
        let result = unsafe {
            sys::vpx_codec_enc_init_ver(
                &raw mut *context.0,
                sys::vpx_codec_vp8_cx(),
                &raw const *settings,
                0,
                sys::VPX_ENCODER_ABI_VERSION as c_int,
            )
        };
        context.check("no encoder could be made", result)?;
        let mut encoder = Self { context, settings, setup, last: None };
        encoder.context.control(sys::vp8e_enc_control_id::VP8E_SET_CPUUSED, SPEED)?;
        encoder.context.control(sys::vp8e_enc_control_id::VP8E_SET_STATIC_THRESHOLD, STILL as c_int)?;
        encoder.context.control(sys::vp8e_enc_control_id::VP8E_SET_NOISE_SENSITIVITY, 0)?;
        encoder.limit_keyframes()?;
        Ok(encoder)
    }

    pub fn setup(&self) -> Setup {
        self.setup
    }

    /// A keyframe may have as much as the receiver's buffer takes in half its aim, in hundredths of a picture's share.
    fn limit_keyframes(&mut self) -> Result<(), CodecError> {
        const LEAST: u32 = 300;
        let pictures = BUFFER.2 * self.setup.fps / 2 / 1000;
        let percent = (pictures * 100).max(LEAST);
        self.context.control(sys::vp8e_enc_control_id::VP8E_SET_MAX_INTRA_BITRATE_PCT, percent as c_int)
    }

    /// Takes effect with the next picture.
    pub fn set_rate(&mut self, target: Bitrate, fps: u32) -> Result<(), CodecError> {
        if (self.setup.target, self.setup.fps) == (target, fps) {
            return Ok(());
        }
        let other_fps = self.setup.fps != fps;
        (self.setup.target, self.setup.fps) = (target, fps);
        self.settings.rc_target_bitrate = kbps(target);
        // SAFETY: the codec is initialised, and the settings are those it has but for the rate.
        let result =
            unsafe { sys::vpx_codec_enc_config_set(&raw mut *self.context.0, &raw const *self.settings) };
        self.context.check("a bit rate", result)?;
        if other_fps { self.limit_keyframes() } else { Ok(()) }
    }

    /// `at`: capture time in [`TICKS`]. The picture must be of the size that this was set up with.
    pub fn encode(&mut self, image: &I420, at: i64, keyframe: bool) -> Result<Coded, CodecError> {
        if image.resolution() != self.setup.resolution {
            return Err(CodecError::Fatal("a picture of another size than the encoder's".into()));
        }
        let at = self.last.map_or(at, |last| at.max(last + 1));
        self.last = Some(at);
        let picture = wrap(image)?;
        let flags = if keyframe { sys::VPX_EFLAG_FORCE_KF } else { 0 };
        let duration = c_ulong::from(TICKS / self.setup.fps);
        // SAFETY: the planes live for the call, are as large as strides and size say ([`I420`] keeps to that), and are only read.
        let result = unsafe {
            sys::vpx_codec_encode(
                &raw mut *self.context.0,
                &raw const picture,
                at,
                duration,
                flags.into(),
                c_ulong::from(sys::VPX_DL_REALTIME),
            )
        };
        self.context.check("a picture", result)?;
        Ok(self.coded())
    }

    /// What the last call has left in the encoder's own memory.
    fn coded(&mut self) -> Coded {
        let mut coded = Coded { bytes: Vec::new(), keyframe: false };
        let mut place = null();
        // SAFETY: the codec is initialised; what it gives is null or a packet that stays until its next call.
        while let Some(packet) =
            unsafe { sys::vpx_codec_get_cx_data(&raw mut *self.context.0, &raw mut place).as_ref() }
        {
            if packet.kind == sys::vpx_codec_cx_pkt_kind::VPX_CODEC_CX_FRAME_PKT {
                // SAFETY: the kind says that it is a frame, of which `buf` holds `sz` bytes.
                let (frame, bytes) = unsafe {
                    let frame = packet.data.frame;
                    (frame, &*slice_from_raw_parts(frame.buf.cast::<u8>(), frame.sz as usize))
                };
                coded.bytes.extend_from_slice(bytes);
                coded.keyframe |= frame.flags & sys::VPX_FRAME_IS_KEY != 0;
            }
        }
        coded
    }
}

/// The picture as the library sees it, where it is.
fn wrap(image: &I420) -> Result<sys::vpx_image_t, CodecError> {
    let Resolution { width, height } = image.resolution();
    let chroma = image.resolution().chroma().width as c_int;
    let (y, u, v) = image.planes();
    let mut picture = MaybeUninit::uninit();
    let format = sys::vpx_img_fmt_t::VPX_IMG_FMT_I420;
    // SAFETY: the call fills the whole of `picture`, or fails; it does not look at the pixels.
    let mut picture: sys::vpx_image_t = unsafe {
        if sys::vpx_img_wrap(picture.as_mut_ptr(), format, width, height, 1, y.as_ptr().cast_mut()).is_null()
        {
            return Err(CodecError::Fatal("a picture could not be described".into()));
        }
        picture.assume_init()
    };
    picture.planes = [y.as_ptr().cast_mut(), u.as_ptr().cast_mut(), v.as_ptr().cast_mut(), null_mut()];
    picture.stride = [width as c_int, chroma, chroma, 0];
    Ok(picture)
}

fn kbps(rate: Bitrate) -> c_uint {
    rate.kbps().min(c_uint::MAX.into()) as c_uint
}

pub(super) struct RawDecoder {
    context: Context,
}

/// A plane of a decoded picture: its bytes, and how far apart its rows begin.
pub(super) type Plane<'a> = (&'a [u8], usize);

impl RawDecoder {
    pub fn new() -> Result<Self, CodecError> {
        let mut context = Context::new();
        let settings = sys::vpx_codec_dec_cfg { threads: 1, w: 0, h: 0 };
        // SAFETY: the call copies the settings.
        let result = unsafe {
            sys::vpx_codec_dec_init_ver(
                &raw mut *context.0,
                sys::vpx_codec_vp8_dx(),
                &raw const settings,
                0,
                sys::VPX_DECODER_ABI_VERSION as c_int,
            )
        };
        context.check("no decoder could be made", result)?;
        Ok(Self { context })
    }

    /// Decodes a frame and shows its picture to `see`, if there is one: size and planes.
    pub fn decode<T>(
        &mut self,
        frame: &[u8],
        see: impl FnOnce(Resolution, [Plane<'_>; 3]) -> T,
    ) -> Result<Option<T>, CodecError> {
        let length = c_uint::try_from(frame.len()).map_err(|_| CodecError::NeedsKeyframe)?;
        // SAFETY: the codec is initialised, and the bytes live for the call.
        let result =
            unsafe { sys::vpx_codec_decode(&raw mut *self.context.0, frame.as_ptr(), length, null_mut(), 0) };
        self.context.check("a frame", result).map_err(|_| CodecError::NeedsKeyframe)?;
        let mut place = null();
        // SAFETY: what the call gives is null or a picture that stays until the codec's next call.
        let picture = unsafe { sys::vpx_codec_get_frame(&raw mut *self.context.0, &raw mut place).as_ref() };
        let Some(picture) = picture else { return Ok(None) };
        let mut corrupted: c_int = 0;
        // SAFETY: this control writes an `int`.
        let result = unsafe {
            let control = sys::vp8_dec_control_id::VP8D_GET_FRAME_CORRUPTED as c_int;
            sys::vpx_codec_control_(&raw mut *self.context.0, control, &raw mut corrupted)
        };
        let resolution = Resolution::new(picture.d_w, picture.d_h);
        let whole = result == sys::vpx_codec_err_t::VPX_CODEC_OK && corrupted == 0;
        if !whole || !resolution.is_valid() || picture.fmt != sys::vpx_img_fmt_t::VPX_IMG_FMT_I420 {
            return Err(CodecError::NeedsKeyframe);
        }
        let plane = |index: usize, size: Resolution| -> Result<Plane<'_>, CodecError> {
            let (start, stride) = (picture.planes[index], picture.stride[index]);
            let stride = usize::try_from(stride).map_err(|_| CodecError::NeedsKeyframe)?;
            if start.is_null() || stride < size.width as usize {
                return Err(CodecError::NeedsKeyframe);
            }
            let length = stride * (size.height as usize - 1) + size.width as usize;
            // SAFETY: the library's plane has `height` rows of at least `width` bytes, `stride` apart.
            Ok((unsafe { &*slice_from_raw_parts(start.cast_const(), length) }, stride))
        };
        let chroma = resolution.chroma();
        Ok(Some(see(resolution, [plane(0, resolution)?, plane(1, chroma)?, plane(2, chroma)?])))
    }
}
