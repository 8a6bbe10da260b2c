//! In what way sound and picture go in a room, as its host rules.

mod chooser;
mod gauge;
mod narrow;
#[cfg(test)]
mod tests;

pub use crate::choice::{GuestChoice, TopologyChoice as Choice};
pub use chooser::{Chooser, Wishes};
pub use gauge::{Gauge, LinkRate, Processor};
pub use narrow::Narrow;

use super::roster::MemberId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Who forwards or mixes for the others, and for whom it mixes. The default, no hub, is a mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruling {
    pub hub: Option<MemberId>,
    pub mixed: BTreeSet<MemberId>,
}

/// What a member says of its link and its processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Means {
    /// What its links carry upwards in all, in kbit/s; 0: unknown.
    pub uplink: u32,
    /// Percent of its processor in use.
    pub load: u8,
    /// It wants one picture and one sound.
    pub wants_mix: bool,
    /// It can be a hub; a browser cannot.
    pub forwards: bool,
}
