//! The states of a call and every transition between them.
//!
//! ```text
//!            Start/Join           offer made             reply pasted
//!   Idle ------------> Gathering ------------> Waiting -------------> Connecting
//!    ^                    |  answer made                                 |   ^
//!    |                    +----------------------------------------------+   |
//!    |                                                         connected |   | (other side pastes late)
//!    |  Dismiss                                                          v   |
//!  Ended <--- hang up, bye, cancelled, failed, lost ---  InCall <----> Reconnecting
//! ```
//!
//! The engine hands every happening to [`Call::handle`], the only place where the state changes, and carries out
//! the [`Action`] it gives back. A happening that does not belong to the state changes nothing.

use crate::invite::Kind;
use std::time::{Duration, Instant};

/// Where the call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallState {
    Idle,
    /// Making our own code of this kind.
    Gathering(Kind),
    /// Our invite is out; the other side's reply has to be pasted here.
    WaitingForReply,
    /// Looking for a path. Whoever answered shows the reply all this time and never gives up by himself.
    Connecting {
        own: Kind,
        since: Instant,
    },
    InCall {
        since: Instant,
    },
    /// Nothing comes through; the path may come back. `since`: start of the trouble, `started`: of the call.
    Reconnecting {
        since: Instant,
        started: Instant,
    },
    Ended(EndReason),
}

/// Why a call is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// We hung up.
    HungUp,
    /// The other side hung up.
    TheyHungUp,
    /// We went back before the call came up.
    Cancelled,
    /// Both codes were exchanged and no path was found.
    NotConnected,
    /// The call was up and the path is gone for good.
    Lost,
    /// Our side could not even make a code.
    NoCode,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    Start,
    Join,
    CodeReady,
    CodeFailed,
    ReplyAccepted,
    Connected,
    Interrupted,
    LinkFailed,
    Bye,
    HangUp,
    Dismiss,
    /// A deadline from [`Call::deadline`] has come.
    TimeOut,
}

/// What the engine has to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Nothing,
    MakeOffer,
    MakeAnswer,
    /// Say bye if there was a call, then let go of the peer connection.
    Close,
}

/// The state of one call and its rules.
#[derive(Clone, Debug)]
pub struct Call {
    state: CallState,
}

impl Default for Call {
    fn default() -> Self {
        Self { state: CallState::Idle }
    }
}

impl Call {
    /// The side that pasted the reply knows that both codes are there: no path by then means there is none.
    pub const CONNECT_LIMIT: Duration = Duration::from_secs(30);
    /// How long a call without a path is kept for its return.
    pub const RECONNECT_LIMIT: Duration = Duration::from_secs(60);

    pub fn state(&self) -> CallState {
        self.state
    }

    /// When [`Happening::TimeOut`] is due, if ever.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            CallState::Connecting { own: Kind::Invite, since } => Some(since + Self::CONNECT_LIMIT),
            CallState::Reconnecting { since, .. } => Some(since + Self::RECONNECT_LIMIT),
            CallState::Connecting { own: Kind::Reply, .. }
            | CallState::Idle
            | CallState::Gathering(_)
            | CallState::WaitingForReply
            | CallState::InCall { .. }
            | CallState::Ended(_) => None,
        }
    }

    pub fn handle(&mut self, now: Instant, happening: Happening) -> Action {
        let (state, action) = self.next(now, happening);
        self.state = state;
        action
    }

    fn next(&self, now: Instant, happening: Happening) -> (CallState, Action) {
        use {Action as A, CallState as S, EndReason as E, Happening as H};
        let ended = |reason| (S::Ended(reason), A::Close);
        let stay = (self.state, A::Nothing);
        match self.state {
            S::Idle | S::Ended(_) => match happening {
                H::Start => (S::Gathering(Kind::Invite), A::MakeOffer),
                H::Join => (S::Gathering(Kind::Reply), A::MakeAnswer),
                H::Dismiss => (S::Idle, A::Nothing),
                H::CodeReady
                | H::CodeFailed
                | H::ReplyAccepted
                | H::Connected
                | H::Interrupted
                | H::LinkFailed
                | H::Bye
                | H::HangUp
                | H::TimeOut => stay,
            },
            S::Gathering(kind) => match happening {
                H::CodeReady => match kind {
                    Kind::Invite => (S::WaitingForReply, A::Nothing),
                    Kind::Reply => (S::Connecting { own: kind, since: now }, A::Nothing),
                },
                H::CodeFailed => ended(E::NoCode),
                H::HangUp | H::Dismiss => ended(E::Cancelled),
                H::Start
                | H::Join
                | H::ReplyAccepted
                | H::Connected
                | H::Interrupted
                | H::LinkFailed
                | H::Bye
                | H::TimeOut => stay,
            },
            S::WaitingForReply => match happening {
                H::ReplyAccepted => (S::Connecting { own: Kind::Invite, since: now }, A::Nothing),
                H::Connected => (S::InCall { since: now }, A::Nothing),
                H::HangUp | H::Dismiss => ended(E::Cancelled),
                H::Start
                | H::Join
                | H::CodeReady
                | H::CodeFailed
                | H::Interrupted
                | H::LinkFailed
                | H::Bye
                | H::TimeOut => stay,
            },
            S::Connecting { .. } => match happening {
                H::Connected => (S::InCall { since: now }, A::Nothing),
                H::TimeOut => ended(E::NotConnected),
                H::Bye => ended(E::TheyHungUp),
                H::HangUp | H::Dismiss => ended(E::Cancelled),
                // Neither ends the call: whoever answered waits for a paste that may come late, whoever pasted has the
                // deadline.
                H::LinkFailed
                | H::Interrupted
                | H::Start
                | H::Join
                | H::CodeReady
                | H::CodeFailed
                | H::ReplyAccepted => stay,
            },
            S::InCall { since: started } => match happening {
                H::Interrupted | H::LinkFailed => (S::Reconnecting { since: now, started }, A::Nothing),
                H::Bye => ended(E::TheyHungUp),
                H::HangUp | H::Dismiss => ended(E::HungUp),
                H::Start
                | H::Join
                | H::CodeReady
                | H::CodeFailed
                | H::ReplyAccepted
                | H::Connected
                | H::TimeOut => stay,
            },
            S::Reconnecting { started, .. } => match happening {
                H::Connected => (S::InCall { since: started }, A::Nothing),
                H::TimeOut => ended(E::Lost),
                H::Bye => ended(E::TheyHungUp),
                H::HangUp | H::Dismiss => ended(E::HungUp),
                H::Start
                | H::Join
                | H::CodeReady
                | H::CodeFailed
                | H::ReplyAccepted
                | H::Interrupted
                | H::LinkFailed => stay,
            },
        }
    }
}

impl CallState {
    /// The word for it in the statistics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Gathering(_) => "gathering",
            Self::WaitingForReply => "waiting",
            Self::Connecting { .. } => "connecting",
            Self::InCall { .. } => "connected",
            Self::Reconnecting { .. } => "reconnecting",
            Self::Ended(_) => "ended",
        }
    }
    pub fn in_call(self) -> bool {
        matches!(self, Self::InCall { .. } | Self::Reconnecting { .. })
    }
}
