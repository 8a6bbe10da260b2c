//! What a member goes by.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Chosen at random by each member, for one run of the program. It says nothing but whether two are the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MemberId(pub [u8; 8]);

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a member's id has 16 hexadecimal digits")]
pub struct NoMemberId;

impl FromStr for MemberId {
    type Err = NoMemberId;
    fn from_str(text: &str) -> Result<Self, NoMemberId> {
        let is_hex = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let number = is_hex.then(|| u64::from_str_radix(text, 16).ok()).flatten().ok_or(NoMemberId)?;
        Ok(Self(number.to_be_bytes()))
    }
}

impl TryFrom<String> for MemberId {
    type Error = NoMemberId;
    fn try_from(text: String) -> Result<Self, NoMemberId> {
        text.parse()
    }
}

impl From<MemberId> for String {
    fn from(id: MemberId) -> Self {
        id.to_string()
    }
}
