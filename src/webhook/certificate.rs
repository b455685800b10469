//! The certificate that the webhook shows, and who vouches for it.
//!
//! Decides when it is renewed, and in which steps, so that whoever serves and whoever calls need not change at
//! the same moment: first both authorities are trusted, then the new certificate is shown. Every certificate
//! has an authority of its own, whose key is forgotten at once: nobody can make another.
//!
//! Reads no clock: it is told what time it is.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{RootCertStore, ServerConfig};
use secrecy::{ExposeSecret as _, SecretString};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a certificate is valid.
const VALIDITY: Duration = DAY.saturating_mul(90);

/// It is renewed when no more than this is left.
const LEFT: Duration = DAY.saturating_mul(30);

/// How far the clocks of two machines may be apart.
const SKEW: Duration = Duration::from_secs(60 * 60);

/// How long every API server may take to learn of a new authority.
const SPREADING: Duration = Duration::from_secs(10 * 60);

/// A certificate with its key, both PEM.
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: SecretString,
}

/// All that is kept of certificates.
pub(super) struct Kept {
    /// What is shown.
    pub(super) shown: Pair,
    /// What will be shown next.
    pub(super) next: Option<Pair>,
    /// The authorities of both, and for a while that of what was shown before: PEM.
    pub(super) authorities: String,
}

impl Kept {
    /// A first certificate for these names.
    pub(super) fn new(names: &[String], now: SystemTime) -> Result<Self, rcgen::Error> {
        let (shown, authorities) = issue(names, now)?;
        Ok(Self {
            shown,
            next: None,
            authorities,
        })
    }

    /// The same with a successor of what is shown, where one is due; or all new, where what is there is no use.
    /// None where nothing is to be done.
    pub(super) fn renewed(
        &self,
        names: &[String],
        now: SystemTime,
    ) -> Result<Option<Self>, rcgen::Error> {
        if !self.shown.holds(&self.authorities, names, now) {
            return Self::new(names, now).map(Some);
        }
        if self.next.is_some() || self.shown.holds(&self.authorities, names, now + LEFT) {
            return Ok(None);
        }
        let (next, authority) = issue(names, now)?;
        let present = self.shown.authorities(&self.authorities, names, now);
        Ok(Some(Self {
            shown: self.shown.clone(),
            next: Some(next),
            authorities: present + &authority,
        }))
    }

    /// The same with the successor shown, once its authority can be known everywhere. None until then.
    pub(super) fn succeeded(&self, names: &[String], now: SystemTime) -> Option<Self> {
        let next = self.next.as_ref()?;
        // it began to be valid so long before it was made
        let made = now - SKEW - SPREADING;
        next.holds(&self.authorities, names, made).then(|| Self {
            shown: next.clone(),
            next: None,
            authorities: self.authorities.clone(),
        })
    }
}

impl Pair {
    /// What a server needs to show it.
    ///
    /// # Errors
    /// When it is none: the reason, without the key.
    pub(super) fn server_config(&self) -> Result<ServerConfig, String> {
        let chain: Vec<CertificateDer<'static>> = certificates(&self.certificate);
        let key = PrivateKeyDer::from_pem_slice(self.key.expose_secret().as_bytes())
            .map_err(|_| "its key is no PEM private key".to_owned())?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| error.to_string())?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Whether whoever trusts these authorities takes it for each of these names at that time, and its key is
    /// its own.
    fn holds(&self, authorities: &str, names: &[String], at: SystemTime) -> bool {
        self.server_config().is_ok() && self.is_vouched_for(certificates(authorities), names, at)
    }

    /// Those of these authorities by which it holds.
    fn authorities(&self, authorities: &str, names: &[String], at: SystemTime) -> String {
        let all = authorities.split_inclusive("-----END CERTIFICATE-----\n");
        all.filter(|one| self.is_vouched_for(certificates(one), names, at))
            .collect()
    }

    fn is_vouched_for(
        &self,
        authorities: impl IntoIterator<Item = CertificateDer<'static>>,
        names: &[String],
        at: SystemTime,
    ) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities);
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
        let Ok(verifier) = verifier.build() else {
            return false;
        };
        let chain = certificates(&self.certificate);
        let Some((own, others)) = chain.split_first() else {
            return false;
        };
        let at = UnixTime::since_unix_epoch(at.duration_since(UNIX_EPOCH).unwrap_or_default());
        names.iter().all(|name| {
            ServerName::try_from(name.as_str()).is_ok_and(|name| {
                let answer = verifier.verify_server_cert(own, others, &name, &[], at);
                answer.is_ok()
            })
        })
    }
}

impl Clone for Pair {
    fn clone(&self) -> Self {
        Self {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
        }
    }
}

/// A new certificate for these names, and the authority that made it and nothing else.
fn issue(names: &[String], now: SystemTime) -> Result<(Pair, String), rcgen::Error> {
    let validity = |params: &mut CertificateParams| {
        params.not_before = (now - SKEW).into();
        params.not_after = (now + VALIDITY).into();
    };
    let mut authority = CertificateParams::default();
    validity(&mut authority);
    let names_of = |params: &mut CertificateParams, name: &str| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
    };
    names_of(&mut authority, "image-cloner-webhook authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

    let mut own = CertificateParams::new(names)?;
    validity(&mut own);
    names_of(&mut own, "image-cloner-webhook");
    own.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    own.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let own = own.signed_by(&key, &authority)?;
    let pair = Pair {
        certificate: own.pem(),
        key: key.serialize_pem().into(),
    };
    Ok((pair, authority.pem()))
}

/// The certificates in a PEM text; what is none is left out.
fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .filter_map(Result::ok)
        .collect()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
