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
                H::CodeFailed => match kind {
                    Kind::Invite => ended(E::NoCode),
                    // The pasted invite was of no use; nothing has changed but the sentence on the screen.
                    Kind::Reply => (S::Idle, A::Nothing),
                },
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
            S::Connecting { own, .. } => match happening {
                H::Connected => (S::InCall { since: now }, A::Nothing),
                H::TimeOut => match own {
                    Kind::Invite => ended(E::NotConnected),
                    Kind::Reply => stay,
                },
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::test_time::at;
    use CallState as S;
    use Happening as H;

    const ALL: [Happening; 12] = [
        H::Start,
        H::Join,
        H::CodeReady,
        H::CodeFailed,
        H::ReplyAccepted,
        H::Connected,
        H::Interrupted,
        H::LinkFailed,
        H::Bye,
        H::HangUp,
        H::Dismiss,
        H::TimeOut,
    ];

    fn states(t0: Instant) -> Vec<CallState> {
        vec![
            S::Idle,
            S::Gathering(Kind::Invite),
            S::Gathering(Kind::Reply),
            S::WaitingForReply,
            S::Connecting { own: Kind::Invite, since: t0 },
            S::Connecting { own: Kind::Reply, since: t0 },
            S::InCall { since: t0 },
            S::Reconnecting { since: t0, started: t0 },
            S::Ended(EndReason::HungUp),
        ]
    }

    /// Runs the happenings, one a second.
    fn after(happenings: &[Happening]) -> (CallState, Action) {
        let t0 = at(0);
        let (mut call, mut action) = (Call::default(), Action::Nothing);
        for (second, happening) in happenings.iter().enumerate() {
            action = call.handle(t0 + Duration::from_secs(second as u64), *happening);
        }
        (call.state(), action)
    }

    #[test]
    fn whoever_starts_goes_through_every_step() {
        let steps = [H::Start, H::CodeReady, H::ReplyAccepted, H::Connected];
        let words: Vec<_> = (0..=steps.len()).map(|n| after(&steps[..n]).0.word()).collect();
        assert_eq!(words, ["idle", "gathering", "waiting", "connecting", "connected"]);
        assert_eq!(after(&steps[..1]).1, Action::MakeOffer);
    }

    #[test]
    fn whoever_joins_waits_for_the_other_paste_without_a_limit() {
        let steps = [H::Join, H::CodeReady, H::LinkFailed, H::TimeOut];
        let (state, _) = after(&steps);
        assert!(matches!(state, S::Connecting { own: Kind::Reply, .. }));
        let call = Call { state };
        assert_eq!(call.deadline(), None);
    }

    #[test]
    fn an_interrupted_call_comes_back_with_its_timer() {
        let steps = [H::Join, H::CodeReady, H::Connected, H::Interrupted, H::LinkFailed, H::Connected];
        let started = match after(&steps[..3]).0 {
            S::InCall { since } => since,
            other => panic!("{other:?}"),
        };
        match after(&steps).0 {
            S::InCall { since } => assert!(since.duration_since(started) < Duration::from_secs(1)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_way_to_end_is_told_apart() {
        use EndReason as E;
        let up = [H::Start, H::CodeReady, H::ReplyAccepted, H::Connected];
        let with = |n: usize, more: &[Happening]| [&up[..n], more].concat();
        for (steps, reason) in [
            (with(1, &[H::CodeFailed]), E::NoCode),
            (with(1, &[H::HangUp]), E::Cancelled),
            (with(2, &[H::HangUp]), E::Cancelled),
            (with(3, &[H::Dismiss]), E::Cancelled),
            (with(3, &[H::TimeOut]), E::NotConnected),
            (with(4, &[H::HangUp]), E::HungUp),
            (with(4, &[H::Bye]), E::TheyHungUp),
            (with(4, &[H::Interrupted, H::TimeOut]), E::Lost),
            (with(4, &[H::Interrupted, H::Bye]), E::TheyHungUp),
        ] {
            assert_eq!(after(&steps), (S::Ended(reason), Action::Close), "{steps:?}");
        }
    }

    #[test]
    fn a_useless_invite_leads_back_to_the_lobby() {
        assert_eq!(after(&[H::Join, H::CodeFailed]).0, S::Idle);
    }

    #[test]
    fn a_call_can_follow_a_call() {
        let steps = [H::Start, H::HangUp, H::Join];
        assert_eq!(after(&steps), (S::Gathering(Kind::Reply), Action::MakeAnswer));
        assert_eq!(after(&[H::Start, H::HangUp, H::Dismiss]).0, S::Idle);
    }

    /// The whole table: a pair changes the state only if it is listed here.
    #[test]
    fn nothing_else_changes_the_state() {
        let t0 = at(0);
        let now = t0 + Duration::from_secs(1);
        for state in states(t0) {
            let moves: &[Happening] = match state {
                S::Idle => &[H::Start, H::Join],
                S::Ended(_) => &[H::Start, H::Join, H::Dismiss],
                S::Gathering(_) => &[H::CodeReady, H::CodeFailed, H::HangUp, H::Dismiss],
                S::WaitingForReply => &[H::ReplyAccepted, H::Connected, H::HangUp, H::Dismiss],
                S::Connecting { own: Kind::Invite, .. } => {
                    &[H::Connected, H::TimeOut, H::Bye, H::HangUp, H::Dismiss]
                }
                S::Connecting { own: Kind::Reply, .. } => &[H::Connected, H::Bye, H::HangUp, H::Dismiss],
                S::InCall { .. } => &[H::Interrupted, H::LinkFailed, H::Bye, H::HangUp, H::Dismiss],
                S::Reconnecting { .. } => &[H::Connected, H::TimeOut, H::Bye, H::HangUp, H::Dismiss],
            };
            for happening in ALL {
                let mut call = Call { state };
                let action = call.handle(now, happening);
                assert_eq!(call.state() != state, moves.contains(&happening), "{state:?} {happening:?}");
                if !moves.contains(&happening) {
                    assert_eq!(action, Action::Nothing, "{state:?} {happening:?}");
                }
            }
        }
    }

    #[test]
    fn deadlines_belong_to_the_states_that_can_time_out() {
        let t0 = at(0);
        for state in states(t0) {
            let timed = matches!(state, S::Connecting { own: Kind::Invite, .. } | S::Reconnecting { .. });
            assert_eq!(Call { state }.deadline().is_some(), timed, "{state:?}");
        }
    }
}
