//! Pictures from a y4m file or pipe (YUV4MPEG2), at the rate the file names.
//!
//! A file is played again and again; a pipe ends. Runs on a camera thread ([`super::thread`]). 4:2:0 is taken as
//! it is; 4:2:2, 4:4:4 and grey are brought to it. What is written in a file is not trusted.

use super::thread::{CameraThread, Grabber, Opened};
use crate::device::pace::Pace;
use crate::device::{DeviceError, PictureRequest, VideoSource};
use crate::frame::{FramePool, RawFrame};
use crate::units::Resolution;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

/// No header line is longer than this.
const MAX_LINE: u64 = 4096;
/// A pipe that stalls for longer starts the clock anew.
const TOLERANCE: Duration = Duration::from_millis(100);
/// The camera thread looks this often whether it should stop.
const SLICE: Duration = Duration::from_millis(100);

pub(super) fn open(path: &Path, request: PictureRequest) -> Result<Box<dyn VideoSource>, DeviceError> {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let shown = path.display().to_string();
    let fail = move |error: io::Error| DeviceError::File(shown.clone(), reason(&error));
    let metadata = std::fs::metadata(path).map_err(&fail)?;
    let (is_file, path) = (metadata.is_file(), path.to_path_buf());
    let source_name = name.clone();
    let open = move || {
        let file = File::open(&path).map_err(&fail)?;
        let input = BufReader::new(file);
        let rewind = is_file.then_some(rewind as Rewind<_>);
        let grabber = Player::new(input, rewind, request, Box::new(fail))?;
        let format = Some((grabber.header.resolution, grabber.header.fps()));
        Ok(Opened { grabber: Box::new(grabber), name, format })
    };
    Ok(Box::new(if is_file {
        CameraThread::open(open)?
    } else {
        CameraThread::open_later(&source_name, open)?
    }))
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it does not exist.".into(),
        io::ErrorKind::PermissionDenied => "it may not be read.".into(),
        io::ErrorKind::UnexpectedEof => "it ends too early.".into(),
        _ => error.to_string(),
    }
}

/// How an input goes back to a place; `None` for one that cannot.
type Rewind<R> = fn(&mut R, u64) -> io::Result<()>;

fn rewind(input: &mut BufReader<File>, to: u64) -> io::Result<()> {
    input.seek(SeekFrom::Start(to)).map(drop)
}

struct Player<R> {
    input: R,
    rewind: Option<Rewind<R>>,
    header: Header,
    header_length: u64,
    /// Pictures since the beginning of the file.
    in_this_round: u64,
    pool: FramePool,
    /// Read, but not due yet.
    waiting: Option<RawFrame>,
    pace: Pace,
    scratch: Vec<u8>,
    fail: Box<dyn Fn(io::Error) -> DeviceError>,
}

impl<R: BufRead> Player<R> {
    fn new(
        mut input: R,
        rewind: Option<Rewind<R>>,
        request: PictureRequest,
        fail: Box<dyn Fn(io::Error) -> DeviceError>,
    ) -> Result<Self, DeviceError> {
        let line = read_line(&mut input).map_err(&fail)?;
        let header = Header::parse(&line, request).map_err(|detail| fail(io::Error::other(detail)))?;
        let pace = Pace::new(Instant::now(), header.rate.0, header.rate.1, TOLERANCE);
        Ok(Self {
            input,
            rewind,
            header,
            header_length: line.len() as u64 + 1,
            in_this_round: 0,
            pool: FramePool::default(),
            waiting: None,
            pace,
            scratch: Vec::new(),
            fail,
        })
    }

    /// The next picture, from the beginning again after the last.
    fn next(&mut self) -> Result<RawFrame, DeviceError> {
        loop {
            if let Some(picture) = self.read().map_err(&self.fail)? {
                self.in_this_round += 1;
                return Ok(picture);
            }
            let Some(rewind) = self.rewind else { return Err(DeviceError::Ended) };
            if self.in_this_round == 0 {
                return Err((self.fail)(io::Error::other("there is no picture in it.")));
            }
            rewind(&mut self.input, self.header_length).map_err(&self.fail)?;
            self.in_this_round = 0;
        }
    }

    /// `None` at the end; a last picture that is cut off counts as the end.
    fn read(&mut self) -> io::Result<Option<RawFrame>> {
        if self.input.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let line = match read_line(&mut self.input) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            line => line?,
        };
        if !line.starts_with(b"FRAME") {
            return Err(io::Error::other("there is something else where a picture should begin."));
        }
        let mut image = self.pool.take(self.header.resolution);
        match self.read_planes(&mut image) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            result => result?,
        }
        Ok(Some(RawFrame { image, captured_at: Instant::now() }))
    }

    fn read_planes(&mut self, image: &mut crate::frame::I420) -> io::Result<()> {
        let Header { resolution, chroma, full_range, .. } = self.header;
        let (y, u, v) = image.planes_mut();
        self.input.read_exact(y)?;
        for plane in [&mut *u, &mut *v] {
            match chroma {
                Chroma::Grey => plane.fill(128),
                Chroma::Shared(2, 2) => self.input.read_exact(plane)?,
                Chroma::Shared(across, down) => {
                    let width = resolution.width.div_ceil(across) as usize;
                    let height = resolution.height.div_ceil(down) as usize;
                    self.scratch.resize(width * height, 0);
                    self.input.read_exact(&mut self.scratch)?;
                    let (across, down) = ((2 / across) as usize, (2 / down) as usize);
                    shrink(&self.scratch, width, plane, resolution.chroma().width as usize, across, down);
                }
            }
        }
        if full_range {
            y.iter_mut().for_each(|luma| *luma = 16 + (u32::from(*luma) * 219 / 255) as u8);
            for chroma in u.iter_mut().chain(v) {
                *chroma = (128 + (i32::from(*chroma) - 128) * 224 / 255) as u8;
            }
        }
        Ok(())
    }
}

/// Makes a plane smaller: each pixel becomes the mean of `across` by `down` pixels.
fn shrink(from: &[u8], from_width: usize, to: &mut [u8], to_width: usize, across: usize, down: usize) {
    let rows = from.len() / from_width;
    for (row, pixels) in to.chunks_exact_mut(to_width).enumerate() {
        for (column, pixel) in pixels.iter_mut().enumerate() {
            let mut sum = 0;
            for y in (0..down).map(|y| (row * down + y).min(rows - 1)) {
                for x in (0..across).map(|x| (column * across + x).min(from_width - 1)) {
                    sum += usize::from(from[y * from_width + x]);
                }
            }
            *pixel = (sum / (across * down)) as u8;
        }
    }
}

impl<R: BufRead> Grabber for Player<R> {
    fn grab(&mut self) -> Result<Option<RawFrame>, DeviceError> {
        let mut picture = match self.waiting.take() {
            Some(picture) => picture,
            None => self.next()?,
        };
        if self.pace.wait(SLICE).is_none() {
            self.waiting = Some(picture);
            return Ok(None);
        }
        picture.captured_at = Instant::now();
        Ok(Some(picture))
    }
}

/// A line without its end, which must be there.
fn read_line(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    input.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
    match line.pop() {
        Some(b'\n') => Ok(line),
        _ if line.len() as u64 + 1 >= MAX_LINE => Err(io::Error::other("it is no y4m file.")),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Chroma {
    /// One chroma pixel for this many pixels across and down, 1 or 2 each.
    Shared(u32, u32),
    Grey,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Header {
    resolution: Resolution,
    /// Pictures per second: numerator, denominator.
    rate: (u64, u64),
    chroma: Chroma,
    full_range: bool,
}

impl Header {
    fn fps(&self) -> f64 {
        self.rate.0 as f64 / self.rate.1 as f64
    }

    fn parse(line: &[u8], request: PictureRequest) -> Result<Self, String> {
        let line = std::str::from_utf8(line).map_err(|_| "it is no y4m file.")?;
        let rest = line.strip_prefix("YUV4MPEG2").ok_or("it is no y4m file.")?;
        let (mut width, mut height, mut chroma, mut full_range) = (0, 0, "420jpeg", false);
        let mut rate = (0, 0);
        for field in rest.split(' ').filter(|field| !field.is_empty()) {
            let (key, value) = field.split_at(field.chars().next().map_or(0, char::len_utf8));
            match key {
                "W" => width = value.parse().unwrap_or(0),
                "H" => height = value.parse().unwrap_or(0),
                "F" => {
                    let (num, den) = value.split_once(':').unwrap_or((value, "1"));
                    rate = (num.parse().unwrap_or(0), den.parse().unwrap_or(0));
                }
                "C" => chroma = value,
                "X" => full_range |= value == "COLORRANGE=FULL",
                // Interlacing and the shape of the pixels: shown as they are.
                _ => {}
            }
        }
        let resolution = Resolution::new(width, height);
        if !resolution.is_valid() {
            let limit = Resolution::MAX_SIDE;
            return Err(format!("its pictures are {resolution}; 2x2 to {limit}x{limit} is possible."));
        }
        // 0:0 means that the rate is unknown.
        if rate.0 == 0 || rate.1 == 0 {
            rate = (u64::from(request.fps.max(1)), 1);
        }
        let header = Self { resolution, rate, chroma: parse_chroma(chroma)?, full_range };
        if !(0.1..=240.0).contains(&header.fps()) || rate.0 > 1 << 32 || rate.1 > 1 << 32 {
            return Err(format!(
                "its rate is {}:{} pictures a second; 0.1 to 240 is possible.",
                rate.0, rate.1
            ));
        }
        Ok(header)
    }
}

fn parse_chroma(name: &str) -> Result<Chroma, String> {
    match name {
        "420" | "420jpeg" | "420mpeg2" | "420paldv" => Ok(Chroma::Shared(2, 2)),
        "422" => Ok(Chroma::Shared(2, 1)),
        "444" => Ok(Chroma::Shared(1, 1)),
        "mono" => Ok(Chroma::Grey),
        _ => {
            Err(format!("its colour format is {name:.20}; 420, 422, 444 and mono with 8 bits are possible."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn player(bytes: Vec<u8>, file: bool) -> Result<Player<Cursor<Vec<u8>>>, DeviceError> {
        let rewind: Rewind<Cursor<Vec<u8>>> = |input, to| {
            input.set_position(to);
            Ok(())
        };
        let fail = |error: io::Error| DeviceError::File("x.y4m".into(), reason(&error));
        Player::new(Cursor::new(bytes), file.then_some(rewind), PictureRequest::default(), Box::new(fail))
    }

    fn text(error: Option<DeviceError>) -> String {
        error.unwrap().to_string()
    }

    #[test]
    fn a_file_is_played_again_and_a_pipe_ends() {
        let mut bytes = b"YUV4MPEG2 W4 H2 F25:1 Ip A1:1 C420jpeg XYSCSS=420JPEG\n".to_vec();
        for luma in [10, 20] {
            bytes.extend(b"FRAME Ixyz\n");
            bytes.extend([luma; 8]);
            bytes.extend([luma + 1; 2]);
            bytes.extend([luma + 2; 2]);
        }
        bytes.extend(b"FRAME\nshort");
        let mut file = player(bytes.clone(), true).unwrap();
        let seen: Vec<_> = (0..5)
            .map(|_| file.next().unwrap().image)
            .map(|picture| (picture.y()[7], picture.u()[1], picture.v()[1]))
            .collect();
        let (first, second) = ((10, 11, 12), (20, 21, 22));
        assert_eq!(seen, [first, second, first, second, first]);
        let mut pipe = player(bytes, false).unwrap();
        assert!(pipe.next().is_ok() && pipe.next().is_ok());
        assert_eq!(pipe.next().err(), Some(DeviceError::Ended));
    }

    #[test]
    fn other_layouts_become_420() {
        for (chroma, planes, expected) in [
            ("422", vec![10, 20, 30, 40, 50, 60, 70, 80], (20, 60)),
            ("444", vec![0, 2, 4, 6, 8, 10, 12, 14, 100, 102, 104, 106, 108, 110, 112, 114], (5, 105)),
            ("mono", vec![], (128, 128)),
        ] {
            let mut bytes = format!("YUV4MPEG2 W4 H2 F1:1 C{chroma}\nFRAME\n").into_bytes();
            bytes.extend([50; 8]);
            bytes.extend(planes);
            let picture = player(bytes, false).unwrap().next().unwrap().image;
            assert_eq!((picture.u()[0], picture.v()[0]), expected, "{chroma}");
        }
    }

    #[test]
    fn full_range_becomes_limited_range() {
        let mut bytes = b"YUV4MPEG2 W2 H2 F1:1 XCOLORRANGE=FULL\nFRAME\n".to_vec();
        bytes.extend([0, 255, 128, 128, 255, 0]);
        let picture = player(bytes, false).unwrap().next().unwrap().image;
        assert_eq!(
            (picture.y(), picture.u(), picture.v()),
            (&[16, 235, 125, 125][..], &[239][..], &[16][..])
        );
    }

    #[test]
    fn odd_sizes_are_read() {
        for (chroma, bytes_of_chroma) in [("420", 2 * 3 * 2), ("422", 2 * 3 * 3), ("444", 2 * 5 * 3)] {
            let mut bytes = format!("YUV4MPEG2 W5 H3 F30:1 C{chroma}\nFRAME\n").into_bytes();
            bytes.extend(vec![77; 15 + bytes_of_chroma]);
            let picture = player(bytes, false).unwrap().next().unwrap().image;
            assert!(picture.u().iter().chain(picture.v()).all(|pixel| *pixel == 77), "{chroma}");
        }
    }

    #[test]
    fn rates_are_read() {
        let parse = |text: &str| Header::parse(text.as_bytes(), PictureRequest::default());
        assert_eq!(parse("YUV4MPEG2 W2 H2 F30000:1001").unwrap().rate, (30_000, 1001));
        assert_eq!(parse("YUV4MPEG2 W2 H2 F0:0").unwrap().rate, (30, 1));
        assert_eq!(parse("YUV4MPEG2 H720 W1280").unwrap().resolution, Resolution::HD);
    }

    #[test]
    fn hostile_files_are_refused_with_a_sentence() {
        for (file, part) in [
            (&b""[..], "ends too early"),
            (b"RIFF....WAVEfmt \n", "no y4m file"),
            (b"YUV4MPEG2 W99999 H2\n", "99999x2"),
            (b"YUV4MPEG2 W-5 H2\n", "0x2"),
            (b"YUV4MPEG2\n", "0x0"),
            (b"YUV4MPEG2 W2 H2 C420p10\n", "420p10"),
            (b"YUV4MPEG2 W2 H2 F99999999999:1\n", "99999999999"),
            (b"YUV4MPEG2 W2 H2 F1:18446744073709551615\n", "0.1 to 240"),
            (b"YUV4MPEG2 \xff\xfe\n", "no y4m file"),
            (&[b'Y'; 10_000], "no y4m file"),
        ] {
            let error = text(player(file.to_vec(), true).err());
            assert!(error.contains(part), "{error}");
        }
        let mut empty = player(b"YUV4MPEG2 W2 H2 F1:1\n".to_vec(), true).unwrap();
        assert!(text(empty.next().err()).contains("no picture"));
        let mut junk = player(b"YUV4MPEG2 W2 H2 F1:1\nJUNK\n".to_vec(), true).unwrap();
        assert!(text(junk.next().err()).contains("something else"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = open(Path::new("/nowhere/film.y4m"), PictureRequest::default()).err();
        assert_eq!(text(error), "The file /nowhere/film.y4m cannot be used: it does not exist.");
    }
}
