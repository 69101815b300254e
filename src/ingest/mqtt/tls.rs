//! PEM files become a TLS client. Nothing here is lenient: a broker's certificate must be signed
//! by the given authority, or by one that the system trusts.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::ingest::config::{ConfigError, TlsFiles};

/// The TLS client for what was configured.
///
/// # Errors
/// The key whose file holds nothing usable.
pub(super) fn client(source: &str, files: &TlsFiles) -> Result<Arc<ClientConfig>, ConfigError> {
    let wrong =
        |key: &'static str, why: String| ConfigError::Value { source_name: source.to_owned(), key, why };
    let roots = match &files.ca {
        Some(pem) => private_roots(pem).map_err(|why| wrong("ca_file", why))?,
        None => system_roots().map_err(|why| wrong("ca_file", why))?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong("url", e.to_string()))?
        .with_root_certificates(roots);
    let Some((cert, key)) = &files.client else {
        return Ok(Arc::new(builder.with_no_client_auth()));
    };
    let chain = certificates(cert).map_err(|why| wrong("cert_file", why))?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|e| wrong("key_file", format!("it holds no private key in PEM form ({e})")))?;
    let config = builder
        .with_client_auth_cert(chain, key)
        .map_err(|e| wrong("key_file", format!("it does not go with `cert_file` ({e})")))?;
    Ok(Arc::new(config))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let list: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|e| format!("it is damaged ({e})"))?;
    if list.is_empty() {
        return Err("it holds no certificate in PEM form".to_owned());
    }
    Ok(list)
}

fn private_roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots
            .add(certificate)
            .map_err(|e| format!("it holds a certificate that cannot sign others ({e})"))?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if taken == 0 {
        return Err(
            "the system trusts no certificate at all; install `ca-certificates`, or name a file".to_owned()
        );
    }
    Ok(roots)
}
