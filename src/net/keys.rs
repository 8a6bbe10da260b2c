//! What one end of a connection goes by: its DTLS certificate, its ICE credentials, the numbers of its streams.
//!
//! They are made before the connection, for a guest's credentials tell its fingerprint (see `invite`). Whoever made
//! an invite keeps them: the next connection by the same invite is made with the same.

use super::NetError;
use crate::invite::{self, BrowserGuest, Guest, Identity, Maker, Secret};
use ring::rand::{SecureRandom, SystemRandom};
use rtc::crypto::SignatureScheme;
use rtc::peer_connection::certificate::{CertificateParams, RTCCertificate};

#[derive(Clone)]
pub struct Keys {
    pub(super) certificate: RTCCertificate,
    pub(super) identity: Identity,
    /// The line of the description that says what the identity follows from; `None` if from nothing the other side
    /// knows.
    pub(super) mark: Option<String>,
    /// Of our own invite.
    pub(super) secret: Option<Secret>,
}

impl Keys {
    /// For an invite.
    pub fn host() -> Result<Self, NetError> {
        let secret = Secret(random());
        let mark = Some(invite::mark(&Maker::Host(secret)));
        Ok(Self { certificate: certificate()?.0, identity: secret.host(), mark, secret: Some(secret) })
    }

    /// Whether both ends go by the secret of one invite: the other end is a program like this one.
    pub fn are_of_an_invite(&self) -> bool {
        self.mark.is_some()
    }

    /// For the reply to an invite with this secret; one without is another program's.
    pub fn guest(secret: Option<Secret>) -> Result<Self, NetError> {
        let (certificate, fingerprint) = certificate()?;
        let Some(secret) = secret else {
            return Ok(Self { certificate, identity: Secret(random()).host(), mark: None, secret: None });
        };
        let guest = Guest { fingerprint, nonce: random() };
        let mark = invite::mark(&Maker::Guest { nonce: guest.nonce, secret: None });
        Ok(Self { certificate, identity: secret.guest(&guest), mark: Some(mark), secret: None })
    }

    /// For the connection with a browser that has knocked at the invite these are of.
    pub(super) fn for_browser(&self, guest: &BrowserGuest) -> Result<Self, NetError> {
        let secret = self.secret.ok_or_else(|| NetError::Internal("the invite has no secret".into()))?;
        let (certificate, identity) = (self.certificate.clone(), secret.called(guest.name()));
        Ok(Self { certificate, identity, mark: None, secret: None })
    }
}

/// A fresh certificate of the kind every WebRTC program takes (RFC 8827, section 6.5), and its SHA-256.
fn certificate() -> Result<(RTCCertificate, [u8; 32]), NetError> {
    let failed = |error: &dyn std::fmt::Display| NetError::Internal(error.to_string());
    let provider = rtc::crypto::default_provider().map_err(|error| failed(&error))?;
    let names = CertificateParams::new(vec!["twocan".to_owned()]).map_err(|error| failed(&error))?;
    let certificate = RTCCertificate::generate(provider.crypto(), SignatureScheme::EcdsaP256Sha256, names)
        .map_err(|error| failed(&error))?;
    let fingerprints = certificate.get_fingerprints(provider.crypto()).map_err(|error| failed(&error))?;
    let fingerprint = fingerprints.first().and_then(|fingerprint| {
        let byte = |pair| u8::from_str_radix(pair, 16).ok();
        fingerprint.value.split(':').map(byte).collect::<Option<Vec<_>>>()?.try_into().ok()
    });
    let fingerprint = fingerprint.ok_or_else(|| failed(&"the certificate has no fingerprint"))?;
    Ok((certificate, fingerprint))
}

/// From the operating system's source of randomness.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the operating system gives random numbers");
    bytes
}
