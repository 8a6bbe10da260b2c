//! The pasted string: what two people hand each other, as text and as what it carries.

/// Which half of the exchange a description is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An SDP offer: whoever gets it joins the call.
    Invite,
    /// An SDP answer: goes back to whoever made the invite.
    Reply,
}

/// A session description: kind and SDP text with all ICE candidates inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    pub kind: Kind,
    pub sdp: crate::units::Redacted<String>,
}

/// Why a pasted text is of no use. `Display` is a whole sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    #[error("There is no code in the clipboard. Copy the whole code you were sent, then paste it here.")]
    Empty,
    // The owner of this module adds the others.
}
