//! An authority of a test's own, and certificates that it vouches for.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::service::tls::Tls;

/// Somebody who vouches for certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

/// The two files that a listener speaks TLS with.
#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

impl Files {
    /// Reads them.
    ///
    /// # Panics
    /// They cannot be used.
    #[must_use]
    pub fn load(&self) -> Tls {
        Tls::load(self.certificate.clone(), self.key.clone()).unwrap()
    }
}

impl Authority {
    /// A new one, whom nobody trusts yet.
    ///
    /// # Panics
    /// There are no keys to be had.
    #[must_use]
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    /// Its own certificate, for those who are to trust it, PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.certificate
    }

    /// Writes a certificate for 127.0.0.1 into `folder`, over what was there.
    ///
    /// # Panics
    /// The folder cannot be written.
    #[expect(clippy::must_use_candidate, reason = "renewing is done for its effect")]
    pub fn issue(&self, folder: &Path) -> Files {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = Files {
            certificate: folder.join("certificate.pem"),
            key: folder.join("key.pem"),
        };
        std::fs::write(&files.certificate, certificate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}
