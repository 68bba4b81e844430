//! What a certificate says of itself.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

/// From when to when a certificate is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: Moment,
    pub(super) not_after: Moment,
}

/// A moment as a certificate tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) unix_s: i64,
    /// The same for people.
    pub(super) text: String,
}

/// The validity of a certificate, or why it cannot be read.
pub(super) fn validity(certificate: &CertificateDer<'_>) -> Result<Validity, String> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    let moment =
        |time: x509_parser::time::ASN1Time| Moment { unix_s: time.timestamp(), text: time.to_string() };
    let validity = parsed.validity();
    Ok(Validity { not_before: moment(validity.not_before), not_after: moment(validity.not_after) })
}
