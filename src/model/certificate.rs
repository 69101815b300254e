//! From when until when a certificate is good. Whether it can be believed is decided by the TLS library, which does not
//! tell this.

use super::time::Timestamp;

/// The span for which an X.509 certificate (DER) is valid; `None` where it cannot be read.
pub fn validity(der: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut rest, _) = element(certificate, SEQUENCE)?;
    // The version, which the oldest certificates lack; then number, algorithm and issuer.
    if let Some((_, after)) = element(rest, VERSION) {
        rest = after;
    }
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, rest) = element(rest, tag)?;
    }
    let (span, _) = element(rest, SEQUENCE)?;
    let (from, after) = time(span)?;
    let (until, _) = time(after)?;
    Some((from, until))
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERAL_TIME: u8 = 0x18;

/// The content of the element that stands first, if it is of this kind, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.split_first()?;
    if first != tag {
        return None;
    }
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..0x80 => (usize::from(length), rest),
        _ => {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            if digits.len() > 4 {
                return None;
            }
            (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
        }
    };
    rest.split_at_checked(length)
}

/// A time of one of the two kinds, and what follows it.
fn time(der: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (text, rest, short) = match element(der, UTC_TIME) {
        Some((text, rest)) => (text, rest, true),
        None => element(der, GENERAL_TIME).map(|(text, rest)| (text, rest, false))?,
    };
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let digits = match short {
        // Two digits of a year are those of 1950 to 2049.
        true => format!("{}{text}", if text.get(..2)? < "50" { "20" } else { "19" }),
        false => text.to_owned(),
    };
    if digits.len() != 14 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| &digits[from..to];
    let text = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4),
        part(4, 6),
        part(6, 8),
        part(8, 10),
        part(10, 12),
        part(12, 14)
    );
    Some((Timestamp::parse(&text)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_span_of_a_certificate_is_read() {
        for (from, until) in [((2020, 1, 2), (2049, 12, 31)), ((1999, 5, 6), (2107, 3, 4))] {
            let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
            params.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
            let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
            let at = |(year, month, day): (i32, u8, u8)| {
                Timestamp::parse(&format!("{year:04}-{month:02}-{day:02}T00:00:00Z")).unwrap()
            };
            assert_eq!(validity(certificate.der()), Some((at(from), at(until))));
        }
    }

    #[test]
    fn what_is_cut_short_or_is_no_certificate_has_none() {
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let whole = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let der = whole.der();
        for length in 0..der.len() {
            assert_eq!(validity(&der[..length]), None, "{length}");
        }
        assert_eq!(validity(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(validity(b"-----BEGIN CERTIFICATE-----"), None);
    }
}
