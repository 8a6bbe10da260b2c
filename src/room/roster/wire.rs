//! What members tell each other about the room.

use super::MemberId;
use crate::room::topology::{Means, Ruling, Wishes};
use serde::{Deserialize, Serialize};

/// What a member tells its neighbours about itself, its links and, if it is the host, its rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Counts the sender's reports: an older one says nothing.
    pub number: u64,
    /// When the sender came, counted in people.
    pub order: u32,
    /// Whom the sender follows.
    pub host: MemberId,
    #[serde(default)]
    pub locked: bool,
    #[serde(default)]
    pub removed: Vec<MemberId>,
    /// If the sender is the host: in what way sound and picture go.
    #[serde(default, skip_serializing_if = "Ruling::is_mesh")]
    pub ruling: Ruling,
    /// If the sender is the host: what it wishes for that.
    #[serde(default, skip_serializing_if = "Wishes::are_none")]
    pub wishes: Wishes,
    /// What the sender is able to.
    #[serde(default)]
    pub means: Means,
    /// The sender's neighbours.
    pub members: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub id: MemberId,
    pub name: String,
    pub order: u32,
}

/// An invite or a reply on its way from one member to another through a third.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    pub to: MemberId,
    pub from: MemberId,
    /// The inviting member's count of introductions: a reply belongs to the invite with the same.
    pub attempt: u32,
    pub payload: String,
}
