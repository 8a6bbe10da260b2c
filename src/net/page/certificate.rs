//! The page's certificate: self-signed, for the machine's own addresses, kept so that a browser that was told once to
//! trust it knows it again.
//!
//! One file holds certificate and key, readable by its owner only where the system knows such a thing. A line in front
//! tells when and for which addresses it was made; whatever does not fit any more is made anew.

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

const FILE: &str = "page.pem";
const HEAD: &str = "twocan-page 1";
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Apple's browsers refuse certificates that are valid for longer than 825 days, others than 398.
const VALID_DAYS: u32 = 397;
/// Made anew before it runs out.
const RENEWED_AFTER_DAYS: u32 = 330;
/// Clocks of phones go wrong.
const BACKDATED_DAYS: u32 = 2;

pub type Certified = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// The kept certificate if it is still good for these addresses, else a new one. Without a folder, or if that cannot be
/// written, it is good for this run only.
pub fn load_or_make(
    folder: Option<&Path>,
    addresses: &[IpAddr],
    now: SystemTime,
) -> Result<Certified, String> {
    let file = folder.map(|folder| folder.join(FILE));
    let kept = file.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
    if let Some(certified) = kept.and_then(|text| read(&text, addresses, now)) {
        return Ok(certified);
    }
    let text = make(addresses, now).map_err(|error| format!("no certificate could be made: {error}"))?;
    if let Some(file) = file
        && let Err(error) = write(&file, &text)
    {
        tracing::info!(%error, "the page's certificate is not kept");
    }
    read(&text, addresses, now).ok_or_else(|| "the new certificate cannot be read".into())
}

fn made_for(addresses: &[IpAddr]) -> String {
    let mut names: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    names.sort();
    names.join(",")
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn read(text: &str, addresses: &[IpAddr], now: SystemTime) -> Option<Certified> {
    let mut words = text.lines().next()?.strip_prefix(HEAD)?.split_whitespace();
    let made = Duration::from_secs(words.next()?.parse().ok()?);
    let age = since_epoch(now).checked_sub(made)?;
    if age > DAY * RENEWED_AFTER_DAYS || words.next()? != made_for(addresses) {
        return None;
    }
    let certificate = CertificateDer::from_pem_slice(text.as_bytes()).ok()?;
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).ok()?;
    Some((certificate, key))
}

fn make(addresses: &[IpAddr], now: SystemTime) -> Result<String, rcgen::Error> {
    let names: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let mut parameters = CertificateParams::new(names)?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "Twocan on this network");
    parameters.distinguished_name = name;
    parameters.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    let made = since_epoch(now);
    let today = rcgen::date_time_ymd(1970, 1, 1) + made;
    parameters.not_before = today - DAY * BACKDATED_DAYS;
    parameters.not_after = today + DAY * (VALID_DAYS - BACKDATED_DAYS);
    let key = KeyPair::generate()?;
    let certificate = parameters.self_signed(&key)?;
    let head = format!("{HEAD} {} {}", made.as_secs(), made_for(addresses));
    Ok(format!("{head}\n{}{}", certificate.pem(), key.serialize_pem()))
}

/// Beside the file and then renamed: a crash leaves the old or the new one whole. From its first byte on nobody else
/// can read it; on Windows the folder of the settings is the user's own.
fn write(file: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let unfinished = file.with_extension(format!("{}.part", std::process::id()));
    let _ = std::fs::remove_file(&unfinished);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&unfinished)?.write_all(text.as_bytes())?;
    std::fs::rename(unfinished, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_kept_as_long_as_it_is_good() {
        let folder = std::env::temp_dir().join(format!("twocan-page-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let home: Vec<IpAddr> = vec!["192.168.1.7".parse().unwrap(), "fd00::7".parse().unwrap()];
        let reversed: Vec<IpAddr> = home.iter().rev().copied().collect();
        let start = UNIX_EPOCH + DAY * 20_000;
        let at = |addresses: &[IpAddr], days: u32| {
            load_or_make(Some(&folder), addresses, start + DAY * days).unwrap().0
        };
        let first = at(&home, 0);
        assert_eq!(at(&home, 300), first);
        assert_eq!(at(&reversed, 300), first, "the order does not matter");
        let renewed = at(&home, 331);
        assert_ne!(renewed, first);
        let cafe = at(&["10.0.0.3".parse().unwrap()], 331);
        assert_ne!(cafe, renewed);
        std::fs::write(folder.join(FILE), "twocan-page 1 x y\ngarbage").unwrap();
        assert_ne!(at(&["10.0.0.3".parse().unwrap()], 331), cafe, "a damaged file is made anew");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(folder.join(FILE)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        std::fs::remove_dir_all(folder).unwrap();
        assert!(load_or_make(None, &home, start).is_ok());
    }
}
