//! What the terminal says of the way in which a call of more than two is connected.

use super::Session;
use crate::engine::{Hub, RoomState};

impl Session {
    /// Said when it is another than before; a call begins without anybody who passes something on.
    pub(super) fn handle_room(&mut self, room: RoomState) {
        let before = std::mem::replace(&mut self.room, room);
        let way = |room: &RoomState| (room.hub, room.one_picture && room.hub.is_some());
        // The end of a call is told in other words.
        if way(&before) == way(&room) || room.people < 2 {
            return;
        }
        let name = match room.hub {
            Some(Hub::Person(id)) => self.people.name(id),
            Some(Hub::We | Hub::Unknown) | None => None,
        };
        let name = name.unwrap_or_else(|| "Another person".into());
        let sentence = match way(&room) {
            (None, _) => "Everybody sends to everybody now.".into(),
            (Some(Hub::We), _) => "You pass everything on for the others now.".into(),
            (Some(_), true) => format!("{name} sends you one picture and one sound of everybody now."),
            (Some(_), false) => format!("{name} passes everything on now."),
        };
        self.say(&sentence);
    }
}
