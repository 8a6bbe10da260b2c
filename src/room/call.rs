//! The states of a call and every transition between them.
//!
//! ```text
//!            Start/Join           offer made          reply pasted, guest knocks
//!   Idle ------------> Gathering ------------> Waiting -------------> Connecting
//!    ^                    |  answer made          ^   guest does not come   |   ^
//!    |                    |                       +-------------------------+   |
//!    |                    +-----------------------------------------------------+
//!    |                                                            connected |   (other side pastes late)
//!    |                                  refused > Waiting  <--- Lobby <-----+
//!    |  Dismiss                                                   | let in  |
//!    |                                                            v         v
//!  Ended <--- hang up, bye, turned away, failed, lost ---------- InCall <----> Reconnecting
//! ```
//!
//! A guest needs no reply where it can reach whoever made the invite: it knocks. Who has knocked and does not come
//! after all leaves the invite as it was. In the lobby the connection stands, but no sound and no picture: whoever
//! made the invite may wish to be asked first.
//!
//! A call without a path is not given up: it waits for the path, and after a while the people can exchange a fresh
//! pair of codes besides ([`Rescue`]). Whichever comes up first, the old path or the fresh connection, goes on with
//! the call.
//!
//! ```text
//!   whoever started:  Waiting > Gathering > WaitingForReply  > Connecting > (again if it does not come up)
//!   whoever joined:   Waiting > WaitingForInvite > Gathering > Connecting
//! ```
//!
//! The engine hands every happening to [`Call::handle`], the only place where the state changes, and carries out
//! the [`Action`] it gives back. A happening that does not belong to the state changes nothing.

use crate::invite::Kind;
use crate::invite::stun::Turned;
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
    /// The connection stands. Whoever made the invite is asked whether the guest may come in; the guest waits.
    Lobby {
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
        rescue: Rescue,
    },
    Ended(EndReason),
}

/// What is done for a call without a path besides waiting for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rescue {
    /// Nothing yet: most outages are over before a person could do anything.
    Waiting { until: Instant },
    /// A fresh code of this kind is being made.
    Gathering(Kind),
    /// Our fresh invite is out; the reply has to be pasted here.
    WaitingForReply,
    /// The other side's fresh invite has to be pasted here.
    WaitingForInvite,
    /// Our code of this kind is out and theirs is here.
    Connecting { own: Kind, since: Instant },
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
    /// Somebody else came in with the same invite.
    Busy,
    /// The other side has taken the invite back.
    Withdrawn,
    /// The other side did not let us in.
    Refused,
    /// The host of the room has put us out.
    Removed,
    /// It went through a server, which is gone or does not want it any longer.
    Server,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    Start,
    Join,
    CodeReady,
    CodeFailed,
    ReplyAccepted,
    /// A guest with our invite has come, and no reply was needed.
    Knocked,
    Connected,
    /// The other side has us wait in the lobby.
    Asked,
    /// Whoever made the invite has let the guest in, or not.
    Admitted,
    Refused,
    /// The other side is in a call with somebody else, or the invite was taken back.
    TurnedAway(Turned),
    Interrupted,
    LinkFailed,
    Bye,
    /// The host of the room has put us out.
    Removed,
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
    /// Let go of the guest, and wait for another one with the same invite.
    OfferAgain,
    /// Say bye if there was a call, then let go of the peer connection.
    Close,
}

/// The state of one call and its rules.
#[derive(Clone, Debug)]
pub struct Call {
    state: CallState,
    /// Our part in the call: whoever made the invite makes the next one too.
    own: Kind,
    /// The guest has come without a reply, so the invite is as good as before if it goes again.
    knocked: bool,
    /// Guests are let in by hand.
    asks: bool,
}

impl Default for Call {
    fn default() -> Self {
        Self { state: CallState::Idle, own: Kind::Invite, knocked: false, asks: false }
    }
}

impl Call {
    /// The side that pasted the reply knows that both codes are there: no path by then means there is none. Direct
    /// paths come up within one second, relayed ones within two; people are told within 15.
    pub const CONNECT_LIMIT: Duration = Duration::from_secs(12);
    /// How long a call without a path is kept: time enough to send two codes by mail.
    pub const RECONNECT_LIMIT: Duration = Duration::from_secs(600);
    /// A path that is away for this long may not come back: fresh codes are offered.
    pub const RESCUE_AFTER: Duration = Duration::from_secs(8);
    /// A fresh code that could not be made, for want of any network, is tried again after this.
    pub const RESCUE_AGAIN: Duration = Duration::from_secs(4);

    pub fn state(&self) -> CallState {
        self.state
    }

    /// Whether a guest waits in the lobby until it is let in.
    pub fn set_asks(&mut self, asks: bool) {
        self.asks = asks;
    }

    /// Whether a guest has to wait, if there is one now.
    pub fn keeps_waiting(&self) -> bool {
        self.asks && self.own == Kind::Invite && !self.state.in_call()
    }

    /// When [`Happening::TimeOut`] is due, if ever.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            CallState::Connecting { own: Kind::Invite, since } => Some(since + Self::CONNECT_LIMIT),
            CallState::Reconnecting { since, rescue, .. } => {
                let next = match rescue {
                    Rescue::Waiting { until } => Some(until),
                    Rescue::Connecting { own: Kind::Invite, since } => Some(since + Self::CONNECT_LIMIT),
                    Rescue::Connecting { own: Kind::Reply, .. }
                    | Rescue::Gathering(_)
                    | Rescue::WaitingForReply
                    | Rescue::WaitingForInvite => None,
                };
                let end = since + Self::RECONNECT_LIMIT;
                Some(next.map_or(end, |next| next.min(end)))
            }
            CallState::Connecting { own: Kind::Reply, .. }
            | CallState::Idle
            | CallState::Gathering(_)
            | CallState::WaitingForReply
            | CallState::Lobby { .. }
            | CallState::InCall { .. }
            | CallState::Ended(_) => None,
        }
    }

    pub fn handle(&mut self, now: Instant, happening: Happening) -> Action {
        let (state, action) = self.next(now, happening);
        match (self.state, state) {
            (CallState::Idle | CallState::Ended(_), CallState::Gathering(kind)) => self.own = kind,
            (
                CallState::Reconnecting { rescue: Rescue::Connecting { own, .. }, .. },
                CallState::InCall { .. },
            ) => {
                self.own = own;
            }
            (CallState::WaitingForReply, CallState::Connecting { .. }) => {
                self.knocked = happening == Happening::Knocked;
            }
            _ => {}
        }
        self.state = state;
        action
    }

    fn next(&self, now: Instant, happening: Happening) -> (CallState, Action) {
        use {Action as A, CallState as S, EndReason as E, Happening as H};
        let ended = |reason| (S::Ended(reason), A::Close);
        let stay = (self.state, A::Nothing);
        let up = || match self.keeps_waiting() {
            true => (S::Lobby { own: Kind::Invite, since: now }, A::Nothing),
            false => (S::InCall { since: now }, A::Nothing),
        };
        match self.state {
            S::Idle | S::Ended(_) => match happening {
                H::Start => (S::Gathering(Kind::Invite), A::MakeOffer),
                H::Join => (S::Gathering(Kind::Reply), A::MakeAnswer),
                H::Dismiss => (S::Idle, A::Nothing),
                H::CodeReady
                | H::CodeFailed
                | H::ReplyAccepted
                | H::Knocked
                | H::Connected
                | H::Asked
                | H::Admitted
                | H::Refused
                | H::Removed
                | H::TurnedAway(_)
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
                | H::Knocked
                | H::Connected
                | H::Asked
                | H::Admitted
                | H::Refused
                | H::Removed
                | H::TurnedAway(_)
                | H::Interrupted
                | H::LinkFailed
                | H::Bye
                | H::TimeOut => stay,
            },
            S::WaitingForReply => match happening {
                H::ReplyAccepted | H::Knocked => {
                    (S::Connecting { own: Kind::Invite, since: now }, A::Nothing)
                }
                H::Connected => up(),
                H::HangUp | H::Dismiss => ended(E::Cancelled),
                H::Start
                | H::Join
                | H::CodeReady
                | H::CodeFailed
                | H::Asked
                | H::Admitted
                | H::Refused
                | H::Removed
                | H::TurnedAway(_)
                | H::Interrupted
                | H::LinkFailed
                | H::Bye
                | H::TimeOut => stay,
            },
            S::Connecting { own, .. } => match happening {
                H::Connected => up(),
                H::TimeOut => match own {
                    Kind::Invite if self.knocked => (S::WaitingForReply, A::OfferAgain),
                    Kind::Invite => ended(E::NotConnected),
                    Kind::Reply => stay,
                },
                H::TurnedAway(turned) => match (own, turned) {
                    (Kind::Reply, Turned::Busy) => ended(E::Busy),
                    (Kind::Reply, Turned::Withdrawn) => ended(E::Withdrawn),
                    (Kind::Invite, _) => stay,
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
                | H::Asked
                | H::Admitted
                | H::Refused
                | H::Removed
                | H::Knocked
                | H::ReplyAccepted => stay,
            },
            S::Lobby { own, .. } => match (happening, own) {
                (H::Admitted, _) => (S::InCall { since: now }, A::Nothing),
                // Another guest may come in with the same invite.
                (H::Refused | H::Bye | H::LinkFailed, Kind::Invite) => (S::WaitingForReply, A::OfferAgain),
                (H::Refused, Kind::Reply) => ended(E::Refused),
                (H::Bye, Kind::Reply) => ended(E::TheyHungUp),
                (H::LinkFailed, Kind::Reply) => ended(E::Lost),
                (H::HangUp | H::Dismiss, _) => ended(E::Cancelled),
                (
                    H::Start
                    | H::Join
                    | H::CodeReady
                    | H::CodeFailed
                    | H::ReplyAccepted
                    | H::Knocked
                    | H::Connected
                    | H::Asked
                    | H::TurnedAway(_)
                    | H::Removed
                    | H::Interrupted
                    | H::TimeOut,
                    _,
                ) => stay,
            },
            S::InCall { since: started } => match happening {
                H::Interrupted | H::LinkFailed => {
                    let rescue = Rescue::Waiting { until: now + Self::RESCUE_AFTER };
                    (S::Reconnecting { since: now, started, rescue }, A::Nothing)
                }
                // Only the first word of the other side may say so, and only to a guest.
                H::Asked if self.own == Kind::Reply => {
                    (S::Lobby { own: Kind::Reply, since: now }, A::Nothing)
                }
                H::Bye => ended(E::TheyHungUp),
                H::Removed => ended(E::Removed),
                H::HangUp | H::Dismiss => ended(E::HungUp),
                H::Start
                | H::Join
                | H::CodeReady
                | H::CodeFailed
                | H::ReplyAccepted
                | H::Knocked
                | H::Connected
                | H::Asked
                | H::Admitted
                | H::Refused
                | H::TurnedAway(_)
                | H::TimeOut => stay,
            },
            S::Reconnecting { since, started, rescue } => match happening {
                H::Connected => (S::InCall { since: started }, A::Nothing),
                H::TimeOut if now >= since + Self::RECONNECT_LIMIT => ended(E::Lost),
                H::Bye => ended(E::TheyHungUp),
                H::Removed => ended(E::Removed),
                H::HangUp | H::Dismiss => ended(E::HungUp),
                H::Join | H::TimeOut | H::CodeReady | H::CodeFailed | H::ReplyAccepted => {
                    let (rescue, action) = self.rescue(now, rescue, happening);
                    (S::Reconnecting { since, started, rescue }, action)
                }
                H::Start
                | H::Knocked
                | H::Asked
                | H::Admitted
                | H::Refused
                | H::TurnedAway(_)
                | H::Interrupted
                | H::LinkFailed => stay,
            },
        }
    }

    fn rescue(&self, now: Instant, rescue: Rescue, happening: Happening) -> (Rescue, Action) {
        use {Action as A, Happening as H, Rescue as R};
        let stay = (rescue, A::Nothing);
        // A fresh invite is of use at any time, also to whoever made one.
        let take = (R::Gathering(Kind::Reply), A::MakeAnswer);
        match rescue {
            R::Waiting { until } => match happening {
                H::Join => take,
                H::TimeOut if now >= until => match self.own {
                    Kind::Invite => (R::Gathering(Kind::Invite), A::MakeOffer),
                    Kind::Reply => (R::WaitingForInvite, A::Nothing),
                },
                _ => stay,
            },
            R::Gathering(kind) => match (happening, kind) {
                (H::CodeReady, Kind::Invite) => (R::WaitingForReply, A::Nothing),
                (H::CodeReady, Kind::Reply) => (R::Connecting { own: kind, since: now }, A::Nothing),
                (H::CodeFailed, Kind::Invite) => (R::Waiting { until: now + Self::RESCUE_AGAIN }, A::Nothing),
                (H::CodeFailed, Kind::Reply) => (R::WaitingForInvite, A::Nothing),
                _ => stay,
            },
            R::WaitingForReply => match happening {
                H::Join => take,
                H::ReplyAccepted => (R::Connecting { own: Kind::Invite, since: now }, A::Nothing),
                _ => stay,
            },
            R::WaitingForInvite => {
                if happening == H::Join {
                    take
                } else {
                    stay
                }
            }
            R::Connecting { own, since } => match happening {
                H::Join => take,
                H::TimeOut if own == Kind::Invite && now >= since + Self::CONNECT_LIMIT => {
                    (R::Gathering(Kind::Invite), A::MakeOffer)
                }
                _ => stay,
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
            Self::Lobby { .. } => "lobby",
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

    const ALL: [Happening; 19] = [
        H::Removed,
        H::Start,
        H::Join,
        H::CodeReady,
        H::CodeFailed,
        H::ReplyAccepted,
        H::Knocked,
        H::Connected,
        H::Asked,
        H::Admitted,
        H::Refused,
        H::TurnedAway(Turned::Busy),
        H::TurnedAway(Turned::Withdrawn),
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
            S::Lobby { own: Kind::Invite, since: t0 },
            S::Lobby { own: Kind::Reply, since: t0 },
            S::InCall { since: t0 },
            reconnecting(t0, Rescue::Waiting { until: t0 + Call::RESCUE_AFTER }),
            reconnecting(t0, Rescue::Gathering(Kind::Invite)),
            reconnecting(t0, Rescue::Gathering(Kind::Reply)),
            reconnecting(t0, Rescue::WaitingForReply),
            reconnecting(t0, Rescue::WaitingForInvite),
            reconnecting(t0, Rescue::Connecting { own: Kind::Invite, since: t0 }),
            reconnecting(t0, Rescue::Connecting { own: Kind::Reply, since: t0 }),
            S::Ended(EndReason::HungUp),
        ]
    }

    fn reconnecting(t0: Instant, rescue: Rescue) -> CallState {
        S::Reconnecting { since: t0, started: t0, rescue }
    }

    fn call(state: CallState) -> Call {
        Call { state, ..Call::default() }
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
        assert_eq!(call(state).deadline(), None);
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
            (with(4, &[H::Interrupted, H::Bye]), E::TheyHungUp),
        ] {
            assert_eq!(after(&steps), (S::Ended(reason), Action::Close), "{steps:?}");
        }
    }

    #[test]
    fn a_guest_who_knocks_needs_no_reply_and_leaves_the_invite_as_it_was() {
        let steps = [H::Start, H::CodeReady, H::Knocked, H::Connected];
        assert!(matches!(after(&steps).0, S::InCall { .. }));
        // The guest went again.
        assert_eq!(after(&[&steps[..3], &[H::TimeOut]].concat()), (S::WaitingForReply, Action::OfferAgain));
        // A reply that was pasted and leads nowhere is another matter.
        let pasted = [H::Start, H::CodeReady, H::Knocked, H::TimeOut, H::ReplyAccepted, H::TimeOut];
        assert_eq!(after(&pasted).0, S::Ended(EndReason::NotConnected));
    }

    #[test]
    fn a_guest_who_comes_in_vain_is_told_why() {
        let out = [H::Join, H::CodeReady];
        for (turned, reason) in [(Turned::Busy, EndReason::Busy), (Turned::Withdrawn, EndReason::Withdrawn)] {
            let steps = [&out[..], &[H::TurnedAway(turned)]].concat();
            assert_eq!(after(&steps), (S::Ended(reason), Action::Close));
        }
        let lobby = [&out[..], &[H::Connected, H::Asked]].concat();
        assert!(matches!(after(&lobby).0, S::Lobby { own: Kind::Reply, .. }));
        assert!(matches!(after(&[&lobby[..], &[H::Admitted]].concat()).0, S::InCall { .. }));
        let refused = after(&[&lobby[..], &[H::Refused]].concat());
        assert_eq!(refused, (S::Ended(EndReason::Refused), Action::Close));
    }

    #[test]
    fn who_wants_to_be_asked_is_asked() {
        let steps = [H::Start, H::CodeReady, H::Knocked, H::Connected, H::Refused, H::Knocked, H::Connected];
        let mut asking = Call::default();
        asking.set_asks(true);
        let mut seen = Vec::new();
        for happening in steps {
            seen.push((asking.handle(at(0), happening), asking.state().word()));
        }
        assert_eq!(seen[3], (Action::Nothing, "lobby"));
        assert_eq!(seen[4], (Action::OfferAgain, "waiting"));
        assert_eq!(seen[6], (Action::Nothing, "lobby"));
        asking.handle(at(0), H::Admitted);
        assert_eq!(asking.state().word(), "connected");
        // Whoever made the invite cannot be told to wait.
        assert_eq!(asking.handle(at(0), H::Asked), Action::Nothing);
        assert_eq!(asking.state().word(), "connected");
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
                S::WaitingForReply => &[H::ReplyAccepted, H::Knocked, H::Connected, H::HangUp, H::Dismiss],
                S::Connecting { own: Kind::Invite, .. } => {
                    &[H::Connected, H::TimeOut, H::Bye, H::HangUp, H::Dismiss]
                }
                S::Connecting { own: Kind::Reply, .. } => &[
                    H::Connected,
                    H::Bye,
                    H::HangUp,
                    H::Dismiss,
                    H::TurnedAway(Turned::Busy),
                    H::TurnedAway(Turned::Withdrawn),
                ],
                S::Lobby { .. } => &[H::Admitted, H::Refused, H::Bye, H::LinkFailed, H::HangUp, H::Dismiss],
                S::InCall { .. } => {
                    &[H::Interrupted, H::LinkFailed, H::Bye, H::Removed, H::HangUp, H::Dismiss]
                }
                S::Reconnecting { rescue, .. } => match rescue {
                    Rescue::Gathering(_) => &[
                        H::Connected,
                        H::Bye,
                        H::Removed,
                        H::HangUp,
                        H::Dismiss,
                        H::CodeReady,
                        H::CodeFailed,
                    ],
                    Rescue::WaitingForReply => {
                        &[H::Connected, H::Bye, H::Removed, H::HangUp, H::Dismiss, H::Join, H::ReplyAccepted]
                    }
                    Rescue::Waiting { .. } | Rescue::WaitingForInvite | Rescue::Connecting { .. } => {
                        &[H::Connected, H::Bye, H::Removed, H::HangUp, H::Dismiss, H::Join]
                    }
                },
            };
            for happening in ALL {
                let mut call = call(state);
                let action = call.handle(now, happening);
                assert_eq!(call.state() != state, moves.contains(&happening), "{state:?} {happening:?}");
                if !moves.contains(&happening) {
                    assert_eq!(action, Action::Nothing, "{state:?} {happening:?}");
                }
            }
        }
    }

    /// A call whose path went at 0 s, as it is after these, each at its second.
    fn rescued(own: Kind, steps: &[(u64, Happening)]) -> (Rescue, Action) {
        let t0 = at(0);
        let mut call = Call { state: S::InCall { since: t0 }, own, ..Call::default() };
        let mut action = call.handle(t0, H::Interrupted);
        for (second, happening) in steps {
            action = call.handle(t0 + Duration::from_secs(*second), *happening);
        }
        match call.state() {
            S::Reconnecting { rescue, .. } => (rescue, action),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn whoever_started_makes_a_fresh_invite_when_the_path_stays_away() {
        let second = |n: u64| at(n * 1000);
        let steps =
            [(7, H::TimeOut), (8, H::TimeOut), (9, H::CodeReady), (60, H::ReplyAccepted), (91, H::TimeOut)];
        let expected = [
            (Rescue::Waiting { until: second(8) }, Action::Nothing),
            (Rescue::Gathering(Kind::Invite), Action::MakeOffer),
            (Rescue::WaitingForReply, Action::Nothing),
            (Rescue::Connecting { own: Kind::Invite, since: second(60) }, Action::Nothing),
            // Those two codes did not help: new ones.
            (Rescue::Gathering(Kind::Invite), Action::MakeOffer),
        ];
        for (n, expected) in expected.into_iter().enumerate() {
            assert_eq!(rescued(Kind::Invite, &steps[..=n]), expected, "{n}");
        }
        let failed = rescued(Kind::Invite, &[(8, H::TimeOut), (9, H::CodeFailed)]).0;
        assert_eq!(failed, Rescue::Waiting { until: second(9) + Call::RESCUE_AGAIN });
    }

    #[test]
    fn whoever_joined_waits_for_the_fresh_invite_and_may_paste_another() {
        let steps = [(8, H::TimeOut), (20, H::Join), (21, H::CodeFailed), (30, H::Join), (31, H::CodeReady)];
        let reply = Rescue::Connecting { own: Kind::Reply, since: at(31_000) };
        let expected = [
            (Rescue::WaitingForInvite, Action::Nothing),
            (Rescue::Gathering(Kind::Reply), Action::MakeAnswer),
            (Rescue::WaitingForInvite, Action::Nothing),
            (Rescue::Gathering(Kind::Reply), Action::MakeAnswer),
            (reply, Action::Nothing),
        ];
        for (n, expected) in expected.into_iter().enumerate() {
            assert_eq!(rescued(Kind::Reply, &steps[..=n]), expected, "{n}");
        }
    }

    #[test]
    fn a_call_without_a_path_is_kept_long_and_then_lost() {
        let t0 = at(0);
        let state = reconnecting(t0, Rescue::WaitingForReply);
        let (mut early, mut late) = (call(state), call(state));
        let end = t0 + Call::RECONNECT_LIMIT;
        assert_eq!(early.deadline(), Some(end));
        assert_eq!(early.handle(end - Duration::from_millis(1), H::TimeOut), Action::Nothing);
        assert_eq!(late.handle(end, H::TimeOut), Action::Close);
        assert_eq!(late.state(), S::Ended(EndReason::Lost));
    }

    #[test]
    fn deadlines_belong_to_the_states_that_can_time_out() {
        let t0 = at(0);
        for state in states(t0) {
            let timed = matches!(state, S::Connecting { own: Kind::Invite, .. } | S::Reconnecting { .. });
            assert_eq!(call(state).deadline().is_some(), timed, "{state:?}");
        }
    }
}
