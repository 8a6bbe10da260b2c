use super::*;
use crate::codec::scale::Scaler;
use crate::frame::FramePool;
use crate::mix::{Arrangement, places};
use crate::ports::PeerId;
use crate::rtp::test_time::at;

const fn guest(id: u64) -> Member {
    Member::Guest(PeerId(id))
}

/// A picture with structure everywhere, different for each seed.
fn scene(size: Resolution, seed: u32) -> I420 {
    let mut image = I420::black(size);
    let wave = |x: u32, y: u32, step: f32| {
        ((x as f32 * 0.11 * step + seed as f32).sin() + (y as f32 * 0.07 * step).cos()) * 45.0 + 125.0
    };
    let (width, chroma) = (size.width, size.chroma().width);
    let (y, u, v) = image.planes_mut();
    y.iter_mut().enumerate().for_each(|(n, p)| *p = wave(n as u32 % width, n as u32 / width, 1.0) as u8);
    u.iter_mut().enumerate().for_each(|(n, p)| *p = wave(n as u32 % chroma, n as u32 / chroma, 1.7) as u8);
    v.iter_mut().enumerate().for_each(|(n, p)| *p = wave(n as u32 / chroma, n as u32 % chroma, 1.3) as u8);
    image
}

fn flat(size: Resolution, colour: Colour) -> I420 {
    let mut image = I420::black(size);
    paint::fill(&mut image, &Place { left: 0, top: 0, size }, colour);
    image
}

fn tile<'a>(id: u64, place: Place, picture: Option<(&'a I420, u64)>) -> Tile<'a> {
    Tile { member: guest(id), place, picture, name: "", muted: false, speaking: false }
}

/// The part of a picture that a place covers.
fn cut(picture: &I420, place: &Place) -> I420 {
    let mut part = I420::black(place.size);
    let whole = picture.resolution();
    let copy = |from: &[u8], stride: u32, to: &mut [u8], width: u32, left: u32, top: u32| {
        for (row, to) in to.chunks_exact_mut(width as usize).enumerate() {
            let at = (top as usize + row) * stride as usize + left as usize;
            to.copy_from_slice(&from[at..at + width as usize]);
        }
    };
    let (y, u, v) = part.planes_mut();
    let (half_left, half_top, half) = (place.left / 2, place.top / 2, place.size.width / 2);
    copy(picture.y(), whole.width, y, place.size.width, place.left, place.top);
    copy(picture.u(), whole.width / 2, u, half, half_left, half_top);
    copy(picture.v(), whole.width / 2, v, half, half_left, half_top);
    part
}

fn is_flat(picture: &I420, (y, u, v): Colour) -> bool {
    picture.y().iter().all(|p| *p == y)
        && picture.u().iter().all(|p| *p == u)
        && picture.v().iter().all(|p| *p == v)
}

fn psnr(a: &[u8], b: &[u8]) -> f64 {
    let squares: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    10.0 * (255.0_f64.powi(2) * a.len() as f64 / squares.max(1) as f64).log10()
}

#[test]
fn each_tile_is_its_source_scaled_and_nothing_else() {
    let (pool, mut scaler) = (FramePool::default(), Scaler::default());
    let sizes = [(640, 360), (320, 240), (361, 641), (5, 3), (1280, 720), (422, 236), (2048, 90)];
    let sources: Vec<I420> =
        sizes.iter().zip(1..).map(|((w, h), n)| scene(Resolution::new(*w, *h), n)).collect();
    for (width, height) in [(1280, 720), (640, 480), (362, 642)] {
        let whole = Resolution::new(width, height);
        for arrangement in [Arrangement::Grid, Arrangement::Speaker] {
            let mut compositor = Compositor::new(whole, at(0));
            let found = places(whole, sources.len(), arrangement);
            let tiles: Vec<Tile> = found
                .iter()
                .zip(&sources)
                .zip(1..)
                .map(|((place, s), id)| tile(id, *place, Some((s, 1))))
                .collect();
            assert_eq!(compositor.compose(at(0), &tiles), found.len());
            for (place, source) in found.iter().zip(&sources) {
                let inner = place.letterbox(source.resolution()).unwrap();
                let (got, wanted) =
                    (cut(&compositor.frame().image, &inner), scaler.scale(source, inner.size, &pool));
                for (got, wanted) in [(got.y(), wanted.y()), (got.u(), wanted.u()), (got.v(), wanted.v())] {
                    // Another filter than the scaler's: as good as the same, and nowhere else. The more pixels one stands
                    // for, the more the filters differ.
                    let psnr = psnr(got, wanted);
                    let limit = if inner.size.width * 8 < source.resolution().width { 22.0 } else { 28.0 };
                    assert!(psnr > limit, "{psnr:.1} dB: {place:?} of {}", source.resolution());
                }
            }
        }
    }
}

#[test]
fn nothing_bleeds_out_of_a_tile() {
    let whole = Resolution::new(1280, 720);
    let found = places(whole, 5, Arrangement::Grid);
    let bright =
        [colour(0xFF_0000), colour(0x00_FF00), colour(0x00_00FF), colour(0xFF_FFFF), colour(0xFF_00FF)];
    let sources = bright.map(|colour| flat(Resolution::new(320, 240), colour));
    let mut compositor = Compositor::new(whole, at(0));
    let tiles: Vec<Tile> = (0..5).map(|n| tile(n as u64, found[n], Some((&sources[n], 1)))).collect();
    compositor.compose(at(0), &tiles);
    let mut rest = compositor.frame.image;
    for (place, colour) in found.iter().zip(bright) {
        let inner = place.letterbox(Resolution::new(320, 240)).unwrap();
        assert!(inner.left > place.left && inner.size.height == place.size.height, "bars at the sides");
        assert!(is_flat(&cut(&rest, &inner), colour), "its own up to its edges");
        paint::fill(&mut rest, &inner, GROUND);
    }
    assert!(is_flat(&rest, GROUND), "and the ground everywhere else");
}

#[test]
fn only_what_has_changed_is_drawn_again() {
    let whole = Resolution::new(640, 360);
    let found = places(whole, 3, Arrangement::Grid);
    let sources: Vec<I420> = (0..3).map(|n| scene(Resolution::new(320, 180), n)).collect();
    let mut compositor = Compositor::new(whole, at(0));
    let tiles = |numbers: [u64; 3]| -> Vec<Tile> {
        (0..3).map(|n| tile(n as u64, found[n], Some((&sources[n], numbers[n])))).collect()
    };
    assert_eq!(compositor.compose(at(0), &tiles([1, 1, 1])), 3);
    assert_eq!(compositor.compose(at(0), &tiles([1, 1, 1])), 0);
    assert_eq!(compositor.compose(at(0), &tiles([1, 2, 1])), 1);
    let mut changed = tiles([1, 2, 1]);
    (changed[0].name, changed[1].muted, changed[2].speaking) = ("Ann", true, true);
    assert_eq!(compositor.compose(at(0), &changed), 3);
    changed[2].picture = None;
    assert_eq!(compositor.compose(at(0), &changed), 1);
    changed[0].member = guest(9);
    assert_eq!(compositor.compose(at(0), &changed), 1, "another one with the same number");
    // Other places: all anew, and the same as if it had always been so.
    let other = places(whole, 2, Arrangement::Speaker);
    let pair = [tile(0, other[0], Some((&sources[0], 1))), tile(1, other[1], None)];
    assert_eq!(compositor.compose(at(0), &pair), 2);
    let mut fresh = Compositor::new(whole, at(0));
    fresh.compose(at(0), &pair);
    assert!(fresh.frame().image.planes() == compositor.frame().image.planes());
}

#[test]
fn what_was_drawn_over_a_picture_goes_away_with_it() {
    let whole = Resolution::new(640, 360);
    let place = places(whole, 1, Arrangement::Grid)[0];
    let source = scene(Resolution::new(320, 240), 1);
    let mut plain = Compositor::new(whole, at(0));
    plain.compose(at(0), &[tile(1, place, Some((&source, 1)))]);
    let mut compositor = Compositor::new(whole, at(0));
    let shown = Tile { name: "Ann", muted: true, speaking: true, ..tile(1, place, Some((&source, 1))) };
    compositor.compose(at(0), &[shown]);
    assert!(compositor.frame().image.planes() != plain.frame().image.planes());
    let first = compositor.frame().image.planes().0.to_vec();
    // Drawn again it does not get darker.
    compositor.compose(at(0), &[Tile { picture: Some((&source, 2)), ..shown }]);
    assert!(compositor.frame().image.planes().0 == first);
    compositor.compose(at(0), &[tile(1, place, Some((&source, 3)))]);
    assert!(compositor.frame().image.planes() == plain.frame().image.planes());
}

#[test]
fn a_name_is_white_on_dark_and_a_missing_picture_is_a_letter() {
    let whole = Resolution::new(640, 360);
    let place = places(whole, 1, Arrangement::Grid)[0];
    let white = flat(Resolution::new(640, 360), LETTERS);
    let mut compositor = Compositor::new(whole, at(0));
    compositor.compose(at(0), &[Tile { name: "Ann", ..tile(1, place, Some((&white, 1))) }]);
    let corner = |left, top, width, height| Place { left, top, size: Resolution::new(width, height) };
    let plate = cut(&compositor.frame().image, &corner(12, 316, 40, 32));
    let darkest = *plate.y().iter().min().unwrap();
    assert!(darkest < 100 && plate.y().contains(&235), "{darkest}");
    assert!(
        is_flat(&cut(&compositor.frame().image, &corner(320, 0, 320, 360)), LETTERS),
        "the rest is untouched"
    );

    compositor.compose(at(0), &[Tile { name: "ann", ..tile(1, place, None) }]);
    let middle = cut(&compositor.frame().image, &corner(240, 100, 160, 160));
    assert!(middle.y().contains(&ACCENT.0) && middle.y().contains(&DISC.0), "a letter on a disc");
    assert!(is_flat(&cut(&compositor.frame().image, &corner(0, 0, 640, 80)), PANEL));
}

/// Small pictures as text, one character for each block of 8x8: what a person would see.
fn sketch(picture: &I420) -> String {
    let size = picture.resolution();
    let mut text = String::new();
    for top in (0..size.height).step_by(8) {
        for left in (0..size.width).step_by(8) {
            let block = cut(picture, &Place { left, top, size: Resolution::new(8, 8) });
            let mean = block.y().iter().map(|y| u32::from(*y)).sum::<u32>() / 64;
            // Ground, panel, disc, letter or edge, grey, white.
            text.push(match mean {
                0..30 => ' ',
                30..45 => '.',
                45..60 => 'o',
                60..110 => '+',
                110..180 => '=',
                _ => '@',
            });
        }
        text.push('\n');
    }
    text
}

#[test]
fn a_small_composition_looks_as_drawn_here() {
    let whole = Resolution::new(192, 112);
    let grey = flat(Resolution::new(64, 36), (128, 128, 128));
    let white = flat(Resolution::new(30, 40), (235, 128, 128));
    let found = places(whole, 3, Arrangement::Grid);
    let mut compositor = Compositor::new(whole, at(0));
    let sources = [Some((&grey, 1)), Some((&white, 1)), None];
    let tiles: Vec<Tile> = (0..3).map(|n| tile(n as u64, found[n], sources[n])).collect();
    compositor.compose(at(0), &tiles);
    let wanted = [
        "++++++++++++   =@@@@+   ",
        "===========+   @@@@@+   ",
        "===========+   @@@@@+   ",
        "===========+   @@@@@+   ",
        "===========+   @@@@@+   ",
        "===========+   @@@@@+   ",
        "++++++++++++   =@@@@+   ",
        "      ............      ",
        "      ............      ",
        "      .....oo.....      ",
        "      .....oo.....      ",
        "      ............      ",
        "      ............      ",
        "      ............      ",
    ];
    assert_eq!(sketch(&compositor.frame().image).lines().collect::<Vec<_>>(), wanted);
}

/// `TWOCAN_LOOK=folder`: compositions to look at.
#[test]
#[ignore = "draws pictures to look at"]
fn look() {
    let folder = std::env::var("TWOCAN_LOOK").expect("TWOCAN_LOOK names a folder");
    std::fs::create_dir_all(&folder).unwrap();
    let names =
        ["Ann", "Bartholomew Featherstonehaugh the Third", "Жанна Ивановна", "Dora", "Émile", "Fatima Ü."];
    let shapes = [(640, 360), (640, 480), (360, 640), (640, 360), (640, 360), (640, 360)];
    let sources: Vec<I420> =
        shapes.iter().zip(0..).map(|((w, h), n)| scene(Resolution::new(*w, *h), n)).collect();
    for (arrangement, count) in
        [(Arrangement::Grid, 6), (Arrangement::Speaker, 6), (Arrangement::Grid, 1), (Arrangement::Grid, 3)]
    {
        let mut compositor = Compositor::new(Resolution::HD, at(0));
        let tiles: Vec<Tile> = places(Resolution::HD, count, arrangement)
            .into_iter()
            .enumerate()
            .map(|(n, place)| Tile {
                name: names[n],
                muted: n % 2 == 1,
                speaking: n == 2,
                ..tile(n as u64, place, (n != 3).then_some((&sources[n], 1)))
            })
            .collect();
        compositor.compose(at(0), &tiles);
        let image = &compositor.frame().image;
        let rgb = image::RgbImage::from_fn(1280, 720, |x, y| {
            let (at, half) = ((y * 1280 + x) as usize, (y / 2 * 640 + x / 2) as usize);
            let luma = 1.164 * (f32::from(image.y()[at]) - 16.0);
            let (u, v) = (f32::from(image.u()[half]) - 128.0, f32::from(image.v()[half]) - 128.0);
            let red = luma + 1.596 * v;
            let green = luma - 0.392 * u - 0.813 * v;
            image::Rgb([red as u8, green as u8, (luma + 2.017 * u) as u8])
        });
        rgb.save(format!("{folder}/mix-{arrangement:?}-{count}.png").to_lowercase()).unwrap();
    }
}

#[test]
fn hostile_sizes_and_places_do_no_harm() {
    let source = scene(Resolution::new(64, 48), 1);
    for size in [(0, 0), (1, 1), (2, 2), (3, 5), (17, 4096), (5000, 9)] {
        let mut compositor = Compositor::new(Resolution::new(size.0, size.1), at(0));
        let whole = compositor.frame().image.resolution();
        for count in [0, 1, 2, 60] {
            let tiles: Vec<Tile> = places(whole, count, Arrangement::Grid)
                .into_iter()
                .zip(0..)
                .map(|(place, id)| Tile {
                    name: "Ann",
                    muted: true,
                    speaking: true,
                    ..tile(id, place, Some((&source, 1)))
                })
                .collect();
            compositor.compose(at(0), &tiles);
        }
        for (left, top, width, height) in
            [(0, 0, 0, 0), (1, 0, 2, 2), (0, 0, 9000, 2), (u32::MAX - 1, 0, 4, 4), (0, 4096, 2, 2)]
        {
            let place = Place { left, top, size: Resolution::new(width, height) };
            assert_eq!(compositor.compose(at(0), &[tile(1, place, Some((&source, 1)))]), 0);
        }
    }
    let mut compositor = Compositor::new(Resolution::HD, at(0));
    for (width, height) in [(1, 1), (2, 4096), (4096, 2), (3, 3)] {
        let odd = I420::black(Resolution::new(width, height));
        for count in [1, 7, 40] {
            let tiles: Vec<Tile> = places(Resolution::HD, count, Arrangement::Speaker)
                .into_iter()
                .zip(0..)
                .map(|(place, id)| tile(id, place, Some((&odd, 1))))
                .collect();
            compositor.compose(at(0), &tiles);
        }
    }
}
