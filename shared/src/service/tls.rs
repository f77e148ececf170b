//! TLS at the listener: a certificate and its key from two files, exchanged while the service runs.
//!
//! `SIGHUP` reads both files again. Who connects from then on sees the new certificate, and open
//! connections stay as they are. Files that cannot be used change nothing and are an error in the log:
//! a renewal that went wrong must not close the shop.
//!
//! Offered are TLS 1.2 and 1.3, and in them HTTP/2 or HTTP/1.1, as the client prefers (ALPN).
//!
//! Left out: certificates of clients, since who calls is what API keys say, and several names with a
//! certificate each, which is a proxy's business.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::causes::chain;

/// HTTP/2 as ALPN names it.
pub(super) const HTTP_2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

/// The settings, as text.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TlsArgs {
    /// Certificate of this service and those that vouch for it (PEM); with it the port speaks TLS.
    /// Read again on SIGHUP.
    #[arg(long, env = "TLS_CERT_FILE")]
    pub tls_cert_file: Option<PathBuf>,
    /// Private key of that certificate (PEM).
    #[arg(long, env = "TLS_KEY_FILE")]
    pub tls_key_file: Option<PathBuf>,
}

impl TlsArgs {
    /// Reads the files; `None` is a service without TLS.
    ///
    /// # Errors
    /// A line that names the variable.
    pub fn check(self) -> Result<Option<Arc<Tls>>, String> {
        match (self.tls_cert_file, self.tls_key_file) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => match Tls::load(certificate, key) {
                Ok(tls) => Ok(Some(Arc::new(tls))),
                Err(fault) => Err(chain(&fault)),
            },
            (Some(_), None) => Err("TLS_KEY_FILE: is needed with TLS_CERT_FILE".to_owned()),
            (None, Some(_)) => Err("TLS_CERT_FILE: is needed with TLS_KEY_FILE".to_owned()),
        }
    }
}

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// The certificate's file.
    #[error("TLS_CERT_FILE: no certificate can be read from {path}")]
    Certificate {
        /// Which file.
        path: String,
        /// What is wrong with it.
        #[source]
        source: pem::Error,
    },
    /// The key's file.
    #[error("TLS_KEY_FILE: no private key can be read from {path}")]
    Key {
        /// Which file.
        path: String,
        /// What is wrong with it.
        #[source]
        source: pem::Error,
    },
    /// The two do not fit together, or are of no known kind.
    #[error("TLS_CERT_FILE, TLS_KEY_FILE: cannot be used together")]
    Pair(#[source] rustls::Error),
}

/// What a listener needs to speak TLS.
#[derive(Debug)]
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    current: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Reads the files for the first time. Blocking.
    ///
    /// # Errors
    /// See [`TlsFault`].
    pub fn load(certificate: PathBuf, key: PathBuf) -> Result<Self, TlsFault> {
        let current = ArcSwap::from_pointee(read(&certificate, &key)?);
        Ok(Self {
            certificate,
            key,
            current,
        })
    }

    /// Reads the files again. Blocking.
    ///
    /// # Errors
    /// See [`TlsFault`]; then what was read before goes on being served.
    pub fn reload(&self) -> Result<(), TlsFault> {
        let again = read(&self.certificate, &self.key)?;
        self.current.store(Arc::new(again));
        Ok(())
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }
}

fn read(certificate: &Path, key: &Path) -> Result<ServerConfig, TlsFault> {
    let found = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let chain: Result<Vec<_>, _> = found;
    let chain = chain
        .and_then(|chain| {
            if chain.is_empty() {
                Err(pem::Error::NoItemsFound)
            } else {
                Ok(chain)
            }
        })
        .map_err(|source| TlsFault::Certificate {
            path: certificate.display().to_string(),
            source,
        })?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|source| TlsFault::Key {
        path: key.display().to_string(),
        source,
    })?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsFault::Pair)?;
    let mut config = builder
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsFault::Pair)?;
    config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1_1.to_vec()];
    Ok(config)
}

/// Reads the files again at every `SIGHUP`, until `shutdown`. Without TLS the signal changes nothing;
/// it does not end the process, as it would if nobody listened for it.
///
/// # Errors
/// The process may not listen for signals.
pub fn reload_on_hangup(tls: Option<Arc<Tls>>, shutdown: CancellationToken) -> io::Result<()> {
    let mut hangups = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while let Some(Some(())) = shutdown.run_until_cancelled(hangups.recv()).await {
            let Some(tls) = tls.clone() else {
                tracing::info!("there is no TLS certificate to read again");
                continue;
            };
            match tokio::task::spawn_blocking(move || tls.reload()).await {
                Ok(Ok(())) => tracing::info!("the TLS certificate was read again"),
                Ok(Err(fault)) => tracing::error!(
                    error = %chain(&fault),
                    "the TLS certificate cannot be read again; the one before goes on being served"
                ),
                Err(error) => tracing::error!(%error, "the TLS certificate was not read again"),
            }
        }
    });
    Ok(())
}

#[cfg(all(test, feature = "testing"))]
mod tests;
