//! The wgpu side of [`super::VideoPainter`].

use super::{Tile, take_gone};
use crate::units::Resolution;
use eframe::egui;
use eframe::egui_wgpu::{self, CallbackResources, CallbackTrait, RenderState, ScreenDescriptor, wgpu};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

const SHADER: &str = r"
struct Uniforms {
    crop: vec4<f32>,   // scale, offset of texture coordinates
    place: vec4<f32>,  // width, height, corner radius in pixels; 1.0 if the target wants linear colours
    tap: vec4<f32>,    // half the distance of the four taps; 0: one tap
}
@group(0) @binding(0) var plane_y: texture_2d<f32>;
@group(0) @binding(1) var plane_u: texture_2d<f32>;
@group(0) @binding(2) var plane_v: texture_2d<f32>;
@group(0) @binding(3) var linear: sampler;
@group(0) @binding(4) var<uniform> uniforms: Uniforms;

struct Corner { @builtin(position) position: vec4<f32>, @location(0) at: vec2<f32> }

@vertex fn vertex(@builtin(vertex_index) index: u32) -> Corner {
    let at = vec2<f32>(f32(index & 1u), f32(index >> 1u));
    return Corner(vec4<f32>(at.x * 2.0 - 1.0, 1.0 - at.y * 2.0, 0.0, 1.0), at);
}

fn yuv(at: vec2<f32>) -> vec3<f32> {
    return vec3<f32>(
        textureSampleLevel(plane_y, linear, at, 0.0).r,
        textureSampleLevel(plane_u, linear, at, 0.0).r,
        textureSampleLevel(plane_v, linear, at, 0.0).r);
}

@fragment fn fragment(corner: Corner) -> @location(0) vec4<f32> {
    let at = corner.at * uniforms.crop.xy + uniforms.crop.zw;
    let tap = uniforms.tap.xy;
    var value: vec3<f32>;
    if (tap.x > 0.0) {
        value = 0.25 * (yuv(at + tap) + yuv(at - tap)
            + yuv(at + vec2<f32>(tap.x, -tap.y)) + yuv(at + vec2<f32>(-tap.x, tap.y)));
    } else {
        value = yuv(at);
    }
    let y = (value.x - 0.0627451) * 1.1643836; // BT.601, limited range
    let cb = value.y - 0.5019608;
    let cr = value.z - 0.5019608;
    var rgb = clamp(vec3<f32>(y + 1.5960268 * cr, y - 0.3917623 * cb - 0.8129676 * cr, y + 2.0172321 * cb),
        vec3<f32>(0.0), vec3<f32>(1.0));
    if (uniforms.place.w > 0.5) {
        rgb = select(pow((rgb + 0.055) / 1.055, vec3<f32>(2.4)), rgb / 12.92, rgb < vec3<f32>(0.04045));
    }
    let middle = uniforms.place.xy * 0.5;
    let q = abs(corner.at * uniforms.place.xy - middle) - middle + uniforms.place.z;
    let distance = length(max(q, vec2<f32>(0.0))) + min(max(q.x, q.y), 0.0) - uniforms.place.z;
    let alpha = clamp(0.5 - distance, 0.0, 1.0);
    return vec4<f32>(rgb * alpha, alpha);
}
";

/// What is kept on the GPU; lives in egui's `CallbackResources`.
struct Gpu {
    pipeline: wgpu::RenderPipeline,
    layout: wgpu::BindGroupLayout,
    sampler: wgpu::Sampler,
    target_is_srgb: bool,
    pictures: HashMap<u64, Planes>,
}

struct Planes {
    resolution: Resolution,
    textures: [wgpu::Texture; 3],
    uniforms: wgpu::Buffer,
    bindings: wgpu::BindGroup,
    /// Number of the picture in the textures; 0: none yet.
    number: u64,
}

/// Once per window.
pub(super) fn install(state: &RenderState) {
    let device = &state.device;
    let shader = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("video"),
        source: wgpu::ShaderSource::Wgsl(SHADER.into()),
    });
    let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::FRAGMENT,
        ty,
        count: None,
    };
    let plane = wgpu::BindingType::Texture {
        sample_type: wgpu::TextureSampleType::Float { filterable: true },
        view_dimension: wgpu::TextureViewDimension::D2,
        multisampled: false,
    };
    let uniform = wgpu::BindingType::Buffer {
        ty: wgpu::BufferBindingType::Uniform,
        has_dynamic_offset: false,
        min_binding_size: None,
    };
    let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some("video"),
        entries: &[
            entry(0, plane),
            entry(1, plane),
            entry(2, plane),
            entry(3, wgpu::BindingType::Sampler(wgpu::SamplerBindingType::Filtering)),
            entry(4, uniform),
        ],
    });
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some("video"),
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some("video"),
        layout: Some(&pipeline_layout),
        vertex: wgpu::VertexState {
            module: &shader,
            entry_point: Some("vertex"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            buffers: &[],
        },
        primitive: wgpu::PrimitiveState {
            topology: wgpu::PrimitiveTopology::TriangleStrip,
            ..Default::default()
        },
        depth_stencil: None,
        multisample: wgpu::MultisampleState::default(),
        fragment: Some(wgpu::FragmentState {
            module: &shader,
            entry_point: Some("fragment"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            targets: &[Some(wgpu::ColorTargetState {
                format: state.target_format,
                blend: Some(wgpu::BlendState::PREMULTIPLIED_ALPHA_BLENDING),
                write_mask: wgpu::ColorWrites::ALL,
            })],
        }),
        multiview_mask: None,
        cache: None,
    });
    let sampler = device.create_sampler(&wgpu::SamplerDescriptor {
        mag_filter: wgpu::FilterMode::Linear,
        min_filter: wgpu::FilterMode::Linear,
        ..Default::default()
    });
    state.renderer.write().callback_resources.insert(Gpu {
        pipeline,
        layout,
        sampler,
        target_is_srgb: state.target_format.is_srgb(),
        pictures: HashMap::new(),
    });
}

struct Draw {
    tile: Tile,
    gone: Arc<Mutex<Vec<u64>>>,
}

pub(super) fn callback(tile: Tile, gone: Arc<Mutex<Vec<u64>>>) -> egui::epaint::PaintCallback {
    egui_wgpu::Callback::new_paint_callback(tile.place, Draw { tile, gone })
}

impl Gpu {
    fn planes(&self, device: &wgpu::Device, resolution: Resolution) -> Planes {
        let texture = |size: Resolution| {
            device.create_texture(&wgpu::TextureDescriptor {
                label: Some("plane"),
                size: wgpu::Extent3d { width: size.width, height: size.height, depth_or_array_layers: 1 },
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format: wgpu::TextureFormat::R8Unorm,
                usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
                view_formats: &[],
            })
        };
        let chroma = resolution.chroma();
        let textures = [texture(resolution), texture(chroma), texture(chroma)];
        let uniforms = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("video"),
            size: size_of::<[[f32; 4]; 3]>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let views =
            textures.each_ref().map(|texture| texture.create_view(&wgpu::TextureViewDescriptor::default()));
        let bind = |binding, resource| wgpu::BindGroupEntry { binding, resource };
        let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("video"),
            layout: &self.layout,
            entries: &[
                bind(0, wgpu::BindingResource::TextureView(&views[0])),
                bind(1, wgpu::BindingResource::TextureView(&views[1])),
                bind(2, wgpu::BindingResource::TextureView(&views[2])),
                bind(3, wgpu::BindingResource::Sampler(&self.sampler)),
                bind(4, uniforms.as_entire_binding()),
            ],
        });
        Planes { resolution, textures, uniforms, bindings, number: 0 }
    }
}

impl CallbackTrait for Draw {
    fn prepare(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        screen: &ScreenDescriptor,
        _encoder: &mut wgpu::CommandEncoder,
        resources: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        let Some(gpu) = resources.get_mut::<Gpu>() else { return Vec::new() };
        for id in take_gone(&self.gone) {
            gpu.pictures.remove(&id);
        }
        let tile = &self.tile;
        let image = &tile.frame.image;
        let resolution = image.resolution();
        if resolution.width.max(resolution.height) > device.limits().max_texture_dimension_2d {
            return Vec::new();
        }
        if gpu.pictures.get(&tile.id).is_none_or(|planes| planes.resolution != resolution) {
            let planes = gpu.planes(device, resolution);
            gpu.pictures.insert(tile.id, planes);
        }
        let uniforms = tile.uniforms(screen.pixels_per_point, gpu.target_is_srgb);
        let Some(planes) = gpu.pictures.get_mut(&tile.id) else { return Vec::new() };
        if planes.number != tile.number {
            planes.number = tile.number;
            let (y, u, v) = image.planes();
            for (texture, bytes) in planes.textures.iter().zip([y, u, v]) {
                let layout = wgpu::TexelCopyBufferLayout {
                    offset: 0,
                    bytes_per_row: Some(texture.width()),
                    rows_per_image: None,
                };
                queue.write_texture(texture.as_image_copy(), bytes, layout, texture.size());
            }
        }
        queue.write_buffer(&planes.uniforms, 0, bytemuck::cast_slice(&uniforms));
        Vec::new()
    }

    fn paint(
        &self,
        _info: egui::PaintCallbackInfo,
        pass: &mut wgpu::RenderPass<'static>,
        resources: &CallbackResources,
    ) {
        // egui has set the viewport to our place and the scissors to what is visible of it.
        let Some(gpu) = resources.get::<Gpu>() else { return };
        let Some(planes) = gpu.pictures.get(&self.tile.id) else { return };
        pass.set_pipeline(&gpu.pipeline);
        pass.set_bind_group(0, &planes.bindings, &[]);
        pass.draw(0..4, 0..1);
    }
}
