//! OpenH264's encoder through its C interface: the safe wrapper of the crate `openh264` fixes what we have to
//! choose (temporal layers, the range of quality). Everything unsafe of the encoder is in this file.
//!
//! Called by the encoder of [`super`] alone, on its thread.

use crate::codec::CodecError;
use crate::frame::I420;
use crate::units::{Bitrate, Resolution};
use openh264::OpenH264API;
use openh264_sys2::{self as sys, API};
use std::os::raw::{c_int, c_longlong};
use std::ptr::{null_mut, slice_from_raw_parts};

/// BT.601 of 525 lines as H.264 numbers it (table E-3 to E-5): what [`crate::codec::convert`] makes.
const BT601: u8 = 6;

/// What an encoder is set up with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub resolution: Resolution,
    pub target: Bitrate,
    /// The rate must not go over this within the encoder's own window.
    pub peak: Bitrate,
    pub fps: u32,
    pub layers: u32,
}

/// What the encoder made of a picture.
pub(super) struct Coded {
    /// Annex B; empty if the picture was left out.
    pub bytes: Vec<u8>,
    pub keyframe: bool,
    /// No other picture is predicted from it.
    pub disposable: bool,
}

/// One initialised encoder of one size.
pub(super) struct RawEncoder {
    api: OpenH264API,
    handle: *mut sys::ISVCEncoder,
    resolution: Resolution,
    output: Box<sys::SFrameBSInfo>,
}

// SAFETY: the encoder has no tie to a thread (it runs without threads of its own, `iMultipleThreadIdc` = 1), and
// the handle is owned: nobody else has it.
unsafe impl Send for RawEncoder {}

impl RawEncoder {
    pub fn new(setup: &Setup) -> Result<Self, CodecError> {
        let api = OpenH264API::from_source();
        let mut handle: *mut sys::ISVCEncoder = null_mut();
        // SAFETY: the call writes the handle, or fails.
        let result = unsafe { api.WelsCreateSVCEncoder(&raw mut handle) };
        if result != 0 || handle.is_null() {
            return Err(CodecError::Fatal(format!("no encoder could be made ({result})")));
        }
        // From here on the handle is given back by `drop`.
        let output = Box::new(sys::SFrameBSInfo::default());
        let encoder = Self { api, handle, resolution: setup.resolution, output };
        encoder.initialise(setup)?;
        Ok(encoder)
    }

    fn initialise(&self, setup: &Setup) -> Result<(), CodecError> {
        let table = self.table();
        let (Some(defaults), Some(initialise)) = (table.GetDefaultParams, table.InitializeExt) else {
            return Err(incomplete());
        };
        // Before anything else: it complains on stderr of settings that are meant.
        let mut level = sys::WELS_LOG_QUIET;
        self.set_option(sys::ENCODER_OPTION_TRACE_LEVEL, &mut level)?;
        let mut params = sys::SEncParamExt::default();
        // SAFETY: the handle is valid and `params` is what the call fills.
        check("default parameters", unsafe { defaults(self.handle, &raw mut params) })?;
        let (width, height) = (setup.resolution.width as c_int, setup.resolution.height as c_int);
        params.iUsageType = sys::CAMERA_VIDEO_REAL_TIME;
        (params.iPicWidth, params.iPicHeight) = (width, height);
        params.iRCMode = sys::RC_BITRATE_MODE;
        params.iTargetBitrate = bps(setup.target);
        params.iMaxBitrate = bps(setup.peak);
        params.fMaxFrameRate = setup.fps as f32;
        params.iTemporalLayerNum = setup.layers as c_int;
        params.iSpatialLayerNum = 1;
        params.iComplexityMode = sys::MEDIUM_COMPLEXITY;
        params.uiIntraPeriod = 0;
        params.eSpsPpsIdStrategy = sys::CONSTANT_ID;
        params.bEnableFrameSkip = false;
        params.bEnableSceneChangeDetect = false;
        params.iMultipleThreadIdc = 1;
        let layer = &mut params.sSpatialLayers[0];
        (layer.iVideoWidth, layer.iVideoHeight) = (width, height);
        layer.fFrameRate = setup.fps as f32;
        layer.iSpatialBitrate = bps(setup.target);
        layer.iMaxSpatialBitrate = bps(setup.peak);
        layer.sSliceArgument.uiSliceMode = sys::SM_SINGLE_SLICE;
        layer.sSliceArgument.uiSliceNum = 1;
        layer.bVideoSignalTypePresent = true;
        layer.bColorDescriptionPresent = true;
        layer.bFullRange = false;
        layer.uiColorPrimaries = BT601;
        layer.uiTransferCharacteristics = BT601;
        layer.uiColorMatrix = BT601;
        // SAFETY: the handle is valid, the parameters are complete, and the call copies them.
        check("parameters", unsafe { initialise(self.handle, &raw const params) })?;
        let mut format: c_int = sys::videoFormatI420;
        self.set_option(sys::ENCODER_OPTION_DATAFORMAT, &mut format)
    }

    pub fn resolution(&self) -> Resolution {
        self.resolution
    }

    /// `at_ms`: capture time. The picture must be of [`Self::resolution`].
    pub fn encode(&mut self, image: &I420, at_ms: u64) -> Result<Coded, CodecError> {
        if image.resolution() != self.resolution {
            return Err(CodecError::Fatal("a picture of another size than the encoder's".into()));
        }
        let Some(encode) = self.table().EncodeFrame else { return Err(incomplete()) };
        let (y, u, v) = image.planes();
        let chroma = self.resolution.chroma().width as c_int;
        let source = sys::SSourcePicture {
            iColorFormat: sys::videoFormatI420,
            iStride: [self.resolution.width as c_int, chroma, chroma, 0],
            // The encoder only reads them: it copies each picture before it works on it.
            pData: [y.as_ptr().cast_mut(), u.as_ptr().cast_mut(), v.as_ptr().cast_mut(), null_mut()],
            iPicWidth: self.resolution.width as c_int,
            iPicHeight: self.resolution.height as c_int,
            uiTimeStamp: at_ms as c_longlong,
            bPsnrY: false,
            bPsnrU: false,
            bPsnrV: false,
        };
        // SAFETY: the planes live for the call and are as large as strides and size say ([`I420`] keeps to that).
        check("a picture", unsafe { encode(self.handle, &raw const source, &raw mut *self.output) })?;
        Ok(self.coded())
    }

    /// What the last call has left in the encoder's own memory.
    fn coded(&self) -> Coded {
        let keyframe = self.output.eFrameType == sys::videoFrameTypeIDR;
        let mut coded = Coded { bytes: Vec::new(), keyframe, disposable: !keyframe };
        if self.output.eFrameType == sys::videoFrameTypeSkip {
            return coded;
        }
        coded.bytes.reserve(self.output.iFrameSizeInBytes.max(0) as usize);
        let layers = self.output.sLayerInfo.iter().take(self.output.iLayerNum.max(0) as usize);
        for layer in layers {
            // SAFETY: the encoder filled `iNalCount` lengths and as many bytes as they add up to; both stay until
            // its next call, which needs `&mut self`.
            let bytes = unsafe {
                let lengths = &*slice_from_raw_parts(layer.pNalLengthInByte, layer.iNalCount.max(0) as usize);
                let total: usize = lengths.iter().map(|length| (*length).max(0) as usize).sum();
                &*slice_from_raw_parts(layer.pBsBuf, total)
            };
            coded.bytes.extend_from_slice(bytes);
            let is_video = layer.uiLayerType == sys::VIDEO_CODING_LAYER as u8;
            // The pictures of the lowest layer refer to each other; nothing refers to those above.
            coded.disposable &= !is_video || layer.uiTemporalId > 0;
        }
        coded
    }

    pub fn force_keyframe(&mut self) {
        if let Some(force) = self.table().ForceIntraFrame {
            // SAFETY: the handle is valid and initialised.
            unsafe { force(self.handle, true) };
        }
    }

    pub fn set_fps(&mut self, fps: u32) -> Result<(), CodecError> {
        self.set_option(sys::ENCODER_OPTION_FRAME_RATE, &mut (fps as f32))
    }

    pub fn set_target(&mut self, target: Bitrate) -> Result<(), CodecError> {
        let mut info = sys::SBitrateInfo { iLayer: sys::SPATIAL_LAYER_ALL, iBitrate: bps(target) };
        self.set_option(sys::ENCODER_OPTION_BITRATE, &mut info)
    }

    pub fn set_peak(&mut self, peak: Bitrate) -> Result<(), CodecError> {
        let mut info = sys::SBitrateInfo { iLayer: sys::SPATIAL_LAYER_0, iBitrate: bps(peak) };
        self.set_option(sys::ENCODER_OPTION_MAX_BITRATE, &mut info)
    }

    /// `value` must be of the type that the option takes.
    fn set_option<T>(&self, option: sys::ENCODER_OPTION, value: &mut T) -> Result<(), CodecError> {
        let Some(set) = self.table().SetOption else { return Err(incomplete()) };
        // SAFETY: the handle is valid; every caller in this file passes the type that the option is read as.
        check("an option", unsafe { set(self.handle, option, std::ptr::from_mut(value).cast()) })
    }

    fn table(&self) -> &sys::ISVCEncoderVtbl {
        // SAFETY: the handle came from `WelsCreateSVCEncoder` and points to its table until it is given back.
        unsafe { &**self.handle }
    }
}

impl Drop for RawEncoder {
    fn drop(&mut self) {
        if let Some(uninitialise) = self.table().Uninitialize {
            // SAFETY: the handle is valid; the call does nothing if it never was initialised.
            unsafe { uninitialise(self.handle) };
        }
        // SAFETY: the last use of the handle.
        unsafe { self.api.WelsDestroySVCEncoder(self.handle) };
    }
}

fn bps(rate: Bitrate) -> c_int {
    rate.bps().min(c_int::MAX as u64) as c_int
}

fn check(what: &str, result: c_int) -> Result<(), CodecError> {
    if result == 0 { Ok(()) } else { Err(CodecError::Fatal(format!("{what} was refused ({result})"))) }
}

fn incomplete() -> CodecError {
    CodecError::Fatal("the library has no such function".into())
}
