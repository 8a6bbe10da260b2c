//! A QR code on its white card.

use crate::ui::qr::Modules;
use eframe::egui::{self, Color32, Mesh, Rect, Response, Role, Sense, Ui, WidgetInfo, pos2, vec2};
use std::sync::Arc;

/// Light modules round the code; ISO/IEC 18004 wants no fewer.
const QUIET_ZONE: usize = 4;

/// Draws `text` into a square of at most `side` points: black on white in both themes, each module a whole number of
/// the screen's pixels. `None` if it is too long for a QR code.
pub fn qr_code(ui: &mut Ui, name: &str, text: &str, side: f32) -> Option<Response> {
    let modules = remembered(ui, text)?;
    let across = modules.side + 2 * QUIET_ZONE;
    let scale = ui.ctx().pixels_per_point();
    let module = ((side * scale) / across as f32).floor().max(1.0) / scale;
    let (rect, response) = ui.allocate_exact_size(vec2(side, side), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, name));
    ui.painter().rect_filled(rect, 12.0, Color32::WHITE);
    let whole = module * across as f32;
    let snapped = |at: f32| (at * scale).round() / scale;
    let left = snapped(rect.center().x - whole / 2.0) + module * QUIET_ZONE as f32;
    let top = snapped(rect.center().y - whole / 2.0) + module * QUIET_ZONE as f32;
    // One mesh: shapes of their own would be feathered, with seams between them.
    let mut mesh = Mesh::default();
    for y in 0..modules.side {
        let mut x = 0;
        while x < modules.side {
            let run = (x..modules.side).take_while(|x| modules.is_dark(*x, y)).count();
            if run > 0 {
                let min = pos2(left + module * x as f32, top + module * y as f32);
                mesh.add_colored_rect(
                    Rect::from_min_size(min, vec2(module * run as f32, module)),
                    Color32::BLACK,
                );
            }
            x += run.max(1);
        }
    }
    ui.painter().add(egui::Shape::mesh(mesh));
    Some(response)
}

/// The modules of the text that was drawn last: working them out takes longer than drawing them.
fn remembered(ui: &Ui, text: &str) -> Option<Arc<Modules>> {
    type Last = Option<(Arc<str>, Option<Arc<Modules>>)>;
    let id = egui::Id::unique("the last QR code");
    let last: Last = ui.data(|data| data.get_temp(id)).flatten();
    if let Some((_, modules)) = last.filter(|(known, _)| **known == *text) {
        return modules;
    }
    let modules = Modules::of(text).map(Arc::new);
    let now: Last = Some((text.into(), modules.clone()));
    ui.data_mut(|data| data.insert_temp(id, now));
    modules
}
