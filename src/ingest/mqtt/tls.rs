//! PEM files become a TLS client. Nothing here is lenient: a broker's certificate must be signed
//! by the given authority, or by one that the system trusts.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use crate::ingest::config::{ConfigError, TlsFiles};
use crate::reach;

/// The TLS client for what was configured.
///
/// # Errors
/// The key whose file holds nothing usable.
pub(super) fn client(source: &str, files: &TlsFiles) -> Result<Arc<ClientConfig>, ConfigError> {
    let wrong =
        |key: &'static str, why: String| ConfigError::Value { source_name: source.to_owned(), key, why };
    let roots = match &files.ca {
        Some(pem) => reach::authorities(pem).map_err(|why| wrong("ca_file", why))?,
        None => reach::public_authorities(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong("url", e.to_string()))?
        .with_root_certificates(roots);
    let Some((cert, key)) = &files.client else {
        return Ok(Arc::new(builder.with_no_client_auth()));
    };
    let chain = reach::certificates(cert).map_err(|why| wrong("cert_file", why))?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|e| wrong("key_file", format!("it holds no private key in PEM form ({e})")))?;
    let config = builder
        .with_client_auth_cert(chain, key)
        .map_err(|e| wrong("key_file", format!("it does not go with `cert_file` ({e})")))?;
    Ok(Arc::new(config))
}
