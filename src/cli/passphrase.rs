//! The passphrase of the codes, from a file or the environment. Never from an argument: every user of the machine sees
//! those in the list of processes.

use crate::invite::{self, InviteError};
use crate::units::Redacted;
use std::ffi::OsString;
use std::io::Read;
use std::path::Path;

/// The variable of the environment.
pub const VARIABLE: &str = "TWOCAN_PASSPHRASE";
/// No passphrase is longer.
const MAX_FILE: u64 = 64 * 1024;

/// The file wins over the environment. `Err`: a sentence.
pub fn read(file: Option<&Path>, variable: Option<OsString>) -> Result<Option<Redacted<String>>, String> {
    let (text, place) = match (file, variable) {
        (Some(path), _) => {
            let mut bytes = Vec::new();
            let opened =
                std::fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes));
            if let Err(error) = opened {
                return Err(format!(
                    "The file {} with the passphrase cannot be read: {error}.",
                    path.display()
                ));
            }
            (String::from_utf8(bytes).ok(), format!("The file {}", path.display()))
        }
        (None, Some(value)) => (value.into_string().ok(), format!("The variable {VARIABLE}")),
        (None, None) => return Ok(None),
    };
    match text.as_deref().and_then(invite::passphrase) {
        Some(passphrase) => Ok(Some(Redacted(passphrase.to_owned()))),
        None => Err(format!("{place} has no passphrase in it.")),
    }
}

/// What is wrong with a code, and how a passphrase is given if that is what it is.
pub fn sentence(error: &InviteError) -> String {
    match error {
        InviteError::NeedsPassphrase(_) => {
            format!("{error} It is read from --passphrase-file or the variable {VARIABLE}.")
        }
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_gives_a_passphrase_or_a_sentence() {
        let read = |value: &str| read(None, Some(value.into()));
        assert_eq!(read(" rosebud\n"), Ok(Some(Redacted("rosebud".into()))));
        let error = read(" ").unwrap_err();
        assert_eq!(error, "The variable TWOCAN_PASSPHRASE has no passphrase in it.");
        assert_eq!(super::read(None, None), Ok(None));
    }
}
