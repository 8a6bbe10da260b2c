//! Why a room cannot be joined, or not any longer: sentences for people, from Janus' numbers.

use super::wire::ServerError;
use crate::server::{Refused, Remedy};

/// `Display` is a whole sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("This server has no such room. Check the address, or make the room.")]
    NoRoom,
    #[error("The room's PIN is missing or wrong.")]
    Pin,
    #[error("The room is full: it takes no more people who send. Try again later.")]
    Full,
    #[error("The server wants a token or secret, or another one.")]
    Token,
    #[error("This server lets nobody make rooms. Ask whoever runs it for one.")]
    MayNotCreate,
    #[error("This server has no rooms: its VideoRoom plugin is not loaded.")]
    NoPlugin,
    #[error("The room has ended on the server.")]
    Ended,
    #[error("Somebody who looks after the room removed you from it.")]
    Removed,
    #[error("This is not a Janus server, or not one that this program understands.")]
    NotJanus,
    /// Whole sentences already.
    #[error("{0}")]
    Unreachable(String),
    #[error("The server does not answer.")]
    Silent,
    #[error("The connection to the server is lost, and could not be made again: {0}")]
    Lost(String),
    #[error("The server refuses: {0} (error {1}).")]
    Other(String, u32),
}

impl Refusal {
    /// What an error means that was not expected. Numbers: `apierror.h` of Janus, and those of its room plugin.
    pub fn of(error: ServerError) -> Self {
        match error.code {
            403 => Self::Token,
            460 => Self::NoPlugin,
            426 => Self::NoRoom,
            432 => Self::Full,
            433 => Self::Pin,
            code if error.reason.is_empty() => Self::Other("it does not say why".into(), code),
            code => Self::Other(error.reason, code),
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let remedy = match refusal {
            Refusal::NoRoom => Some(Remedy::Create),
            Refusal::Pin => Some(Remedy::Pin),
            Refusal::Token => Some(Remedy::Token),
            Refusal::Full
            | Refusal::MayNotCreate
            | Refusal::NoPlugin
            | Refusal::Ended
            | Refusal::Removed
            | Refusal::NotJanus
            | Refusal::Unreachable(_)
            | Refusal::Silent
            | Refusal::Lost(_)
            | Refusal::Other(..) => None,
        };
        Self { sentence: refusal.to_string(), remedy }
    }
}
