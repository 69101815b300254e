//! A private authority with a server's and a client's certificate.

use std::fs;
use std::path::Path;

/// Until when the server's certificate is valid.
#[derive(Clone, Copy)]
pub(crate) enum Validity {
    /// For long.
    Long,
    /// Until the midnight before so many days from now.
    #[cfg(feature = "hub")]
    DaysLeft(i64),
    /// It was until yesterday.
    #[cfg(feature = "hub")]
    Over,
}

/// An authority, and a certificate each for the broker and a client.
pub(crate) fn certificates(at: &Path) {
    certificates_valid(at, Validity::Long);
}

/// The same with a server's certificate that ends.
pub(crate) fn certificates_valid(at: &Path, validity: Validity) {
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
        KeyUsagePurpose,
    };
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    ca.distinguished_name.push(DnType::CommonName, "weir test authority");
    let ca_cert = ca.self_signed(&ca_key).unwrap();
    fs::write(at.join("ca.pem"), ca_cert.pem()).unwrap();
    let issuer = Issuer::new(ca, ca_key);
    for (name, usage) in
        [("server", ExtendedKeyUsagePurpose::ServerAuth), ("client", ExtendedKeyUsagePurpose::ClientAuth)]
    {
        let key = KeyPair::generate().unwrap();
        let mut params =
            CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        params.distinguished_name.push(DnType::CommonName, name);
        let days = match validity {
            Validity::Long => None,
            #[cfg(feature = "hub")]
            Validity::DaysLeft(days) => Some(days),
            #[cfg(feature = "hub")]
            Validity::Over => Some(-1),
        };
        if let Some(days) = days.filter(|_| name == "server") {
            let now = jiff::Timestamp::from_microsecond(weir::clock::wall().micros()).unwrap();
            let end = now.to_zoned(jiff::tz::TimeZone::UTC).date() + jiff::Span::new().days(days);
            let part = |number: i8| u8::try_from(number).unwrap();
            params.not_after = rcgen::date_time_ymd(end.year().into(), part(end.month()), part(end.day()));
        }
        let cert = params.signed_by(&key, &issuer).unwrap();
        fs::write(at.join(format!("{name}.pem")), cert.pem()).unwrap();
        fs::write(at.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}
