//! In what way sound and picture go through a room: from everybody to everybody (a mesh), or through one member, the
//! *hub*, who passes streams on (SFU) or makes one picture and one sound of them (MCU). Links stand between each two
//! members whatever it is; that is what makes a change quick, and the loss of a hub too.
//!
//! The host rules ([`Ruling`], in its reports); each member says what it is able to ([`Means`]); each follows the ruling
//! by itself, as far as its links to the hub allow ([`way`]). [`Chooser`] makes the ruling of the means; [`Gauge`] and
//! [`Narrow`] make means of what the engine measures.

mod chooser;
#[cfg(test)]
mod chooser_tests;
mod gauge;
mod narrow;

pub use crate::choice::{GuestChoice, TopologyChoice as Choice};
pub use chooser::Chooser;
pub use gauge::{Gauge, LinkRate, Processor};
pub use narrow::Narrow;

use super::roster::{MAX_MEMBERS, MemberId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What the host rules. The default is the mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruling {
    /// Who passes on what the others send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<MemberId>,
    /// These get one picture and one sound of everybody.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub mixed: BTreeSet<MemberId>,
}

/// What the host wishes, and whoever is the host next keeps to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wishes {
    #[serde(default)]
    pub room: Choice,
    /// For these instead of what the room's wish makes of them. A mesh has no mix, so there it says nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub guests: BTreeMap<MemberId, GuestChoice>,
}

impl Wishes {
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }

    /// As somebody else said it: no more than a room has.
    pub fn limited(mut self) -> Self {
        while self.guests.len() > MAX_MEMBERS {
            self.guests.pop_last();
        }
        self
    }
}

impl Ruling {
    pub fn is_mesh(&self) -> bool {
        self.hub.is_none()
    }

    /// As somebody else said it: no more than a room has.
    pub fn limited(mut self) -> Self {
        if self.hub.is_none() {
            self.mixed.clear();
        }
        while self.mixed.len() > MAX_MEMBERS {
            self.mixed.pop_last();
        }
        self
    }
}

/// What a member is able to, as it says itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Means {
    /// What its links carry away from it in all, in kbit/s; 0: that was not seen yet.
    pub uplink: u32,
    /// How busy its processors are, in percent.
    pub load: u8,
    /// It wants one picture and one sound.
    pub wants_mix: bool,
    /// It can be a hub.
    pub forwards: bool,
}

/// How we get somebody's sound and picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From themselves.
    Direct,
    /// In streams of their own, by the hub.
    Forwarded(MemberId),
    /// In the hub's one picture and one sound.
    Mixed(MemberId),
}

/// How `of` is to come to `me`. `is_linked`: whether the link to a member is in order.
pub fn way(ruling: &Ruling, me: MemberId, of: MemberId, is_linked: impl Fn(MemberId) -> bool) -> Way {
    match ruling.hub {
        Some(hub) if hub != me && hub != of && is_linked(hub) => {
            if ruling.mixed.contains(&me) {
                Way::Mixed(hub)
            } else {
                Way::Forwarded(hub)
            }
        }
        _ => Way::Direct,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_comes_by_the_hub_while_there_is_a_link_to_it() {
        let [me, hub, bo] = [1, 2, 3].map(|n| MemberId([n; 8]));
        let mut ruling = Ruling { hub: Some(hub), mixed: BTreeSet::new() };
        assert_eq!(way(&ruling, me, bo, |_| true), Way::Forwarded(hub));
        assert_eq!(way(&ruling, me, hub, |_| true), Way::Direct);
        assert_eq!(way(&ruling, hub, bo, |_| true), Way::Direct, "the hub itself gets all as they are");
        assert_eq!(way(&ruling, me, bo, |id| id != hub), Way::Direct, "a hub that is lost is none");
        ruling.mixed.insert(me);
        assert_eq!(way(&ruling, me, bo, |_| true), Way::Mixed(hub));
        assert_eq!(way(&ruling, bo, me, |_| true), Way::Forwarded(hub), "the others go on seeing us");
        assert_eq!(way(&Ruling::default(), me, bo, |_| true), Way::Direct);
    }

    #[test]
    fn what_others_say_is_limited() {
        let many: BTreeSet<_> = (0..200).map(|n| MemberId([n; 8])).collect();
        let ruling = Ruling { hub: None, mixed: many.clone() };
        assert_eq!(ruling.limited(), Ruling::default());
        let ruling = Ruling { hub: Some(MemberId([1; 8])), mixed: many };
        assert_eq!(ruling.limited().mixed.len(), MAX_MEMBERS);
        let said: Means = serde_json::from_str(r#"{"uplink":1200,"wantsMix":true,"hat":1}"#).unwrap();
        assert_eq!(said, Means { uplink: 1200, wants_mix: true, ..Means::default() });
    }
}
