//! The OpenGL side of [`super::VideoPainter`], for machines without a GPU (llvmpipe draws OpenGL several times
//! faster than Vulkan) and for those without Vulkan, Metal or Direct3D 12.

use super::{Tile, take_gone};
use crate::units::Resolution;
use eframe::glow::{self, HasContext as _};
use eframe::{egui, egui_glow};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

const VERTEX: &str = r"
out vec2 corner;
void main() {
    corner = vec2(float(gl_VertexID & 1), float(gl_VertexID >> 1));
    gl_Position = vec4(corner.x * 2.0 - 1.0, 1.0 - corner.y * 2.0, 0.0, 1.0);
}";

const FRAGMENT: &str = r"
precision highp float;
in vec2 corner;
out vec4 colour;
uniform sampler2D plane_y;
uniform sampler2D plane_u;
uniform sampler2D plane_v;
uniform vec4 crop;
uniform vec4 place;
uniform vec4 taps;

vec3 yuv(vec2 at) {
    return vec3(texture(plane_y, at).r, texture(plane_u, at).r, texture(plane_v, at).r);
}

void main() {
    vec2 at = corner * crop.xy + crop.zw;
    vec2 tap = taps.xy;
    vec3 value;
    if (tap.x > 0.0) {
        value = 0.25 * (yuv(at + tap) + yuv(at - tap) + yuv(at + vec2(tap.x, -tap.y)) + yuv(at + vec2(-tap.x, tap.y)));
    } else {
        value = yuv(at);
    }
    float y = (value.x - 0.0627451) * 1.1643836;
    float cb = value.y - 0.5019608;
    float cr = value.z - 0.5019608;
    vec3 rgb = clamp(vec3(y + 1.5960268 * cr, y - 0.3917623 * cb - 0.8129676 * cr, y + 2.0172321 * cb), 0.0, 1.0);
    vec2 middle = place.xy * 0.5;
    vec2 q = abs(corner * place.xy - middle) - middle + place.z;
    float distance = length(max(q, vec2(0.0))) + min(max(q.x, q.y), 0.0) - place.z;
    float alpha = clamp(0.5 - distance, 0.0, 1.0);
    colour = vec4(rgb * alpha, alpha);
}";

/// What is kept on the GPU.
pub(super) struct Gpu {
    program: glow::Program,
    vertices: glow::VertexArray,
    pictures: HashMap<u64, Planes>,
}

pub(super) type Shared = Arc<Mutex<Gpu>>;

struct Planes {
    resolution: Resolution,
    textures: [glow::Texture; 3],
    /// Number of the picture in the textures; 0: none yet.
    number: u64,
}

/// Once per window. Also says whether the processor does the drawing.
pub(super) fn install(gl: &glow::Context) -> Result<(Shared, bool), String> {
    let header =
        if egui_glow::ShaderVersion::get(gl).is_embedded() { "#version 300 es" } else { "#version 140" };
    // SAFETY: called on the window's thread while its OpenGL context is current.
    unsafe {
        let renderer = gl.get_parameter_string(glow::RENDERER);
        tracing::info!(renderer, "painting with OpenGL");
        let software = ["llvmpipe", "softpipe", "swrast", "swiftshader", "software", "gdi generic"]
            .iter()
            .any(|name| renderer.to_lowercase().contains(name));
        let program = gl.create_program()?;
        for (kind, source) in [(glow::VERTEX_SHADER, VERTEX), (glow::FRAGMENT_SHADER, FRAGMENT)] {
            let shader = gl.create_shader(kind)?;
            gl.shader_source(shader, &format!("{header}\n{source}"));
            gl.compile_shader(shader);
            if !gl.get_shader_compile_status(shader) {
                return Err(gl.get_shader_info_log(shader));
            }
            gl.attach_shader(program, shader);
        }
        gl.link_program(program);
        if !gl.get_program_link_status(program) {
            return Err(gl.get_program_info_log(program));
        }
        let vertices = gl.create_vertex_array()?;
        Ok((Arc::new(Mutex::new(Gpu { program, vertices, pictures: HashMap::new() })), software))
    }
}

pub(super) fn callback(
    tile: Tile,
    shared: &Shared,
    gone: Arc<Mutex<Vec<u64>>>,
) -> egui::epaint::PaintCallback {
    let shared = Arc::clone(shared);
    let rect = tile.place;
    let draw = move |info: egui::PaintCallbackInfo, painter: &egui_glow::Painter| {
        let mut gpu = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = gpu.draw(painter.gl(), &tile, info.pixels_per_point, take_gone(&gone)) {
            tracing::error!(%error, "a picture could not be drawn");
        }
    };
    egui::epaint::PaintCallback { rect, callback: Arc::new(egui_glow::CallbackFn::new(draw)) }
}

impl Gpu {
    fn draw(
        &mut self,
        gl: &glow::Context,
        tile: &Tile,
        pixels_per_point: f32,
        gone: Vec<u64>,
    ) -> Result<(), String> {
        // SAFETY: egui calls back on the window's thread with its context current, and restores its own state after.
        unsafe {
            for planes in gone.iter().filter_map(|id| self.pictures.remove(id)) {
                planes.textures.into_iter().for_each(|texture| gl.delete_texture(texture));
            }
            let resolution = tile.frame.image.resolution();
            if self.pictures.get(&tile.id).is_none_or(|planes| planes.resolution != resolution) {
                let planes = Planes { resolution, textures: create_textures(gl, resolution)?, number: 0 };
                if let Some(old) = self.pictures.insert(tile.id, planes) {
                    old.textures.into_iter().for_each(|texture| gl.delete_texture(texture));
                }
            }
            let Some(planes) = self.pictures.get_mut(&tile.id) else { return Ok(()) };
            if planes.number != tile.number {
                planes.number = tile.number;
                upload(gl, planes, tile);
            }
            gl.use_program(Some(self.program));
            gl.bind_vertex_array(Some(self.vertices));
            for (unit, (name, texture)) in
                ["plane_y", "plane_u", "plane_v"].into_iter().zip(planes.textures).enumerate()
            {
                gl.active_texture(glow::TEXTURE0 + unit as u32);
                gl.bind_texture(glow::TEXTURE_2D, Some(texture));
                gl.uniform_1_i32(gl.get_uniform_location(self.program, name).as_ref(), unit as i32);
            }
            for (name, [x, y, z, w]) in
                ["crop", "place", "taps"].into_iter().zip(tile.uniforms(pixels_per_point, false))
            {
                gl.uniform_4_f32(gl.get_uniform_location(self.program, name).as_ref(), x, y, z, w);
            }
            gl.blend_func(glow::ONE, glow::ONE_MINUS_SRC_ALPHA);
            gl.draw_arrays(glow::TRIANGLE_STRIP, 0, 4);
            gl.active_texture(glow::TEXTURE0);
        }
        Ok(())
    }
}

/// # Safety
/// The context is current on this thread.
unsafe fn create_textures(gl: &glow::Context, resolution: Resolution) -> Result<[glow::Texture; 3], String> {
    let create = |size: Resolution| -> Result<glow::Texture, String> {
        // SAFETY: as for the whole function.
        unsafe {
            let texture = gl.create_texture()?;
            gl.bind_texture(glow::TEXTURE_2D, Some(texture));
            for (name, value) in [
                (glow::TEXTURE_MIN_FILTER, glow::LINEAR),
                (glow::TEXTURE_MAG_FILTER, glow::LINEAR),
                (glow::TEXTURE_WRAP_S, glow::CLAMP_TO_EDGE),
                (glow::TEXTURE_WRAP_T, glow::CLAMP_TO_EDGE),
            ] {
                gl.tex_parameter_i32(glow::TEXTURE_2D, name, value as i32);
            }
            gl.tex_image_2d(
                glow::TEXTURE_2D,
                0,
                glow::R8 as i32,
                size.width as i32,
                size.height as i32,
                0,
                glow::RED,
                glow::UNSIGNED_BYTE,
                glow::PixelUnpackData::Slice(None),
            );
            Ok(texture)
        }
    };
    let chroma = resolution.chroma();
    Ok([create(resolution)?, create(chroma)?, create(chroma)?])
}

/// # Safety
/// The context is current on this thread.
unsafe fn upload(gl: &glow::Context, planes: &Planes, tile: &Tile) {
    let (y, u, v) = tile.frame.image.planes();
    let chroma = planes.resolution.chroma();
    // SAFETY: as for the whole function; each plane is as long as its size says (`I420`).
    unsafe {
        gl.pixel_store_i32(glow::UNPACK_ALIGNMENT, 1);
        for ((texture, bytes), size) in
            planes.textures.into_iter().zip([y, u, v]).zip([planes.resolution, chroma, chroma])
        {
            gl.bind_texture(glow::TEXTURE_2D, Some(texture));
            gl.tex_sub_image_2d(
                glow::TEXTURE_2D,
                0,
                0,
                0,
                size.width as i32,
                size.height as i32,
                glow::RED,
                glow::UNSIGNED_BYTE,
                glow::PixelUnpackData::Slice(Some(bytes)),
            );
        }
    }
}
