//! Why a pasted text is of no use.

use super::Kind;
use super::sealed::Sealed;

/// `Display` is one sentence on what happened and one on what to do. None of them repeats the pasted text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    #[error("There is nothing to read here. Copy the whole code you were sent, then paste it here.")]
    Empty,
    #[error("This is not a Twocan code. Copy the whole code you were sent, then paste it here.")]
    NotACode,
    #[error(
        "A part of this code is missing. Copy it again, from its first character to its last, or ask for it to be \
         sent in another way."
    )]
    CutOff,
    #[error(
        "This code was altered on its way. Ask for it to be sent again, in another way: by mail or as a file."
    )]
    Altered,
    #[error(
        "This code is not whole: a part is missing or was altered on its way. Copy it again, from its first character \
         to its last, or ask for it to be sent in another way."
    )]
    Damaged,
    #[error(
        "This code was made by a newer Twocan. Update Twocan on this computer, then paste the code again."
    )]
    NewerVersion,
    #[error("This code needs a passphrase. Ask the person who sent it, then enter it here.")]
    NeedsPassphrase(Sealed),
    #[error(
        "The passphrase is not the one this code was made with. Try again; small and capital letters differ."
    )]
    WrongPassphrase,
    #[error("This text is far too long to be a code. Copy only the code you were sent, then paste it here.")]
    TooLarge,
    #[error("{}", own_code(*.0))]
    OwnCode(Kind),
    #[error(
        "This is a reply, and an invite is needed here. A reply goes to whoever started the call; to join one, paste \
         the invite you were sent."
    )]
    ReplyNotInvite,
    #[error(
        "This is an invite, and a reply is needed here. Send your own invite to the other person, then paste the \
         reply that comes back."
    )]
    InviteNotReply,
    /// It cannot be opened without the secret of its invite.
    #[error(
        "This reply belongs to another invite. Send your own invite to the other person, then paste the reply that \
         comes back."
    )]
    OtherInvite,
    #[error(
        "This code does not say how to reach the other person. It was copied too early: ask for it to be copied \
         again after a few seconds."
    )]
    NoCandidates,
    #[error("This description is not from a video call: {0} is missing. Ask for the code that Twocan shows.")]
    NotWebRtc(&'static str),
    #[error(
        "This is one ICE candidate, not the whole code. Paste the code first; candidates can be added after that."
    )]
    OnlyCandidate,
    #[error("This ICE candidate is not complete. Copy the whole line again, then paste it here.")]
    BadCandidate,
    #[error("These are several ICE candidates. Paste them one at a time.")]
    SeveralCandidates,
}

fn own_code(kind: Kind) -> &'static str {
    match kind {
        Kind::Invite => {
            "This is your own invite. Send it to the other person, then paste the reply that comes back."
        }
        Kind::Reply => {
            "This is your own reply. Send it to the person who invited you; the call starts when they paste it."
        }
    }
}
