//! Why a server cannot be used, in a form that every face can show.

use std::fmt;

/// What would help, if it is something that the person can give. How it is given is for the face to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The room's PIN.
    Pin,
    /// The server's token or secret.
    Token,
    /// To make the room.
    Create,
}

/// A whole sentence, and what would help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub sentence: String,
    pub remedy: Option<Remedy>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl From<String> for Refused {
    fn from(sentence: String) -> Self {
        Self { sentence, remedy: None }
    }
}
