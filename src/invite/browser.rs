//! A guest who comes with a browser, and knocks (see [`Doorbell`](super::Doorbell)).
//!
//! A browser does not let a page choose its ICE user name and password, so what a guest of ours says in its own name
//! has to stand in *ours*. The page makes an offer, and an answer to it as if we had written that: from the invite, and
//! with a user name of us that tells who the browser is. Each of the browser's connectivity checks carries it here.
//!
//! ```text
//!   page     offer to itself    user name and password as the browser has drawn them
//!            answer for us      user name "b" | the invite's user name | base64(1 | what the offer says)
//!                               password, SSRCs = HKDF(secret, salt: that user name); a=setup:active
//!   browser  check              USERNAME  the name it was told for us ":" its own
//!   we       take the name apart, prove the check, and answer the offer with a connection of its own
//! ```
//!
//! What the offer says stands as in the browser's own code ([`foreign`]), without candidates: the check shows the way.
//! The name has some 111 characters (RFC 8839, section 5.4 allows 256). The browser waits for our side to begin the
//! DTLS handshake (`active`): it cannot know when somebody is there to answer.

use super::foreign::{self, Browser};
use super::{Description, Kind};
use crate::units::Redacted;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// Marks such a name. A guest of ours has another one.
const MARK: char = 'b';
const VERSION: u8 = 1;
/// Characters of the user name in an invite.
const DOOR: usize = 8;
/// RFC 8839, section 5.4.
const MAX_NAME: usize = 256;

/// Somebody with a browser and our invite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrowserGuest {
    /// What it calls us; the browser's password is in there.
    name: Redacted<String>,
    browser: Browser,
}

/// The user name of the invite that was taken by whoever calls us by this name.
pub fn door(name: &str) -> Option<&str> {
    name.strip_prefix(MARK).filter(|_| name.len() <= MAX_NAME)?.get(..DOOR)
}

impl BrowserGuest {
    /// `name` and `ufrag`: what a check calls us and its sender, proved with the password that follows from the name.
    /// `None`: it is of a newer version, or makes no sense.
    pub fn read(name: &str, ufrag: &str) -> Option<Self> {
        let told = name.get(MARK.len_utf8() + DOOR..)?;
        let bytes = STANDARD_NO_PAD.decode(told).ok()?;
        let (version, offer) = bytes.split_first()?;
        let browser = foreign::decode(Kind::Invite, offer).filter(|_| *version == VERSION)?;
        let fits = browser.ufrag() == ufrag && browser.is_open() && browser.candidates.is_empty();
        fits.then(|| Self { name: Redacted(name.to_owned()), browser })
    }

    pub fn name(&self) -> &str {
        &self.name.0
    }

    pub fn ufrag(&self) -> &str {
        self.browser.ufrag()
    }

    /// The browser's own description, rebuilt.
    pub fn offer(&self) -> Description {
        foreign::expand(&self.browser)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::invite::{Secret, sdp};

    /// What a page makes of its browser's offer and an invite with this secret: the name for the host, and the answer
    /// in the host's stead.
    pub fn page(offer: &Description, secret: Secret, host: &Description) -> (String, Description) {
        let (mut browser, bytes) = foreign::tests::distil(offer);
        let told = STANDARD_NO_PAD.encode([&[VERSION][..], &bytes].concat());
        let name = format!("{MARK}{}{told}", secret.host().ufrag);
        let identity = secret.called(&name);
        browser = foreign::tests::answer(browser, sdp::fingerprint(&host.sdp.0).unwrap(), &identity);
        browser.candidates = sdp::candidates(&host.sdp.0)
            .iter()
            .filter_map(|line| crate::invite::Candidate::parse(line))
            .collect();
        (name, foreign::expand(&browser))
    }

    #[test]
    fn a_name_tells_who_the_browser_is() {
        let (secret, offer) = (Secret([7; 16]), foreign::tests::offer());
        let bytes = foreign::tests::distil(&offer).1;
        let name = |version: u8, bytes: &[u8]| {
            format!("bUP56USHB{}", STANDARD_NO_PAD.encode([&[version][..], bytes].concat()))
        };
        let whole = name(1, &bytes);
        assert!(whole.len() <= 128, "{}", whole.len());
        assert_eq!(door(&whole), Some(secret.host().ufrag.as_str()));
        let guest = BrowserGuest::read(&whole, "Lufr").expect("it is whole");
        assert_eq!((guest.name(), guest.ufrag(), guest.offer()), (whole.as_str(), "Lufr", offer));
        assert!(!format!("{guest:?}").contains(&whole));
        // Golden: pages that are out must stay understood.
        let identity = secret.called(&whole);
        assert_eq!(identity.ufrag, whole);
        assert_eq!((identity.password.0.as_str(), identity.audio), GOLDEN);
        assert_eq!(secret.password_of(&whole), *identity.password.0.as_bytes());

        let with_candidate = [&bytes[..], &[0, 10, 0, 0, 7, 200, 1]].concat();
        let answers = [&bytes[..32], &[1], &bytes[33..]].concat();
        for (name, ufrag) in [
            (whole.as_str(), "Other"),
            (&name(2, &bytes), "Lufr"),
            (&name(1, &with_candidate), "Lufr"),
            (&name(1, &answers), "Lufr"),
            (&whole[..60], "Lufr"),
            (&whole.replace('b', "\u{e9}"), "Lufr"),
            ("b", "Lufr"),
            ("", ""),
        ] {
            assert_eq!(BrowserGuest::read(name, ufrag), None, "{name}");
        }
        assert_eq!((door("UP56USHB"), door("b"), door("bUP56\u{e9}"), door("")), (None, None, None, None));
        assert_eq!(door(&format!("b{}", "A".repeat(256))), None);
    }

    const GOLDEN: (&str, u32) = ("w6jq8FQ9s8P4XPQfheXVUVwM", 2_852_844_341);
}
