//! Who a caller is by its certificate, which has been verified.

use http::HeaderValue;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};

use crate::gateway::generation::hex;
use crate::plan::Certified;
use crate::settings::ClientName;

/// What a certificate says of its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// SHA-256 of the whole certificate.
    hash: String,
    uris: Vec<String>,
    dns: Vec<String>,
    /// Common names of its subject.
    subject: Vec<String>,
}

impl Names {
    /// None: it cannot be read.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let parsed = webpki::EndEntityCert::try_from(certificate).ok()?;
        Some(Self {
            hash: hex(&Sha256::digest(certificate)),
            uris: parsed.valid_uri_names().map(str::to_owned).collect(),
            dns: parsed.valid_dns_names().map(str::to_owned).collect(),
            subject: super::material::common_names(certificate).unwrap_or_default(),
        })
    }

    /// Whether one of the names is one of those.
    pub(super) fn are_among(&self, allowed: &[ClientName]) -> bool {
        // Who has two identities may be taken for either (SPIFFE X.509-SVID, 2).
        let uri = if let [only] = self.uris.as_slice() { Some(only.as_str()) } else { None };
        allowed.iter().any(|name| match name {
            ClientName::Uri(whole) => uri == Some(whole),
            ClientName::UriBelow(start) => uri.is_some_and(|uri| is_below(uri, start)),
            ClientName::Dns(name) => self.dns.iter().any(|own| own.eq_ignore_ascii_case(name)),
        })
    }

    /// What consumers can be known by.
    pub(super) fn certified(self) -> Certified {
        let only = |mut names: Vec<String>| names.pop().filter(|_| names.is_empty());
        Certified { uri: only(self.uris), dns: only(self.dns), subject: only(self.subject) }
    }

    /// As Envoy tells it in `X-Forwarded-Client-Cert`.
    pub(super) fn forwarded(&self) -> Option<HeaderValue> {
        let mut text = format!("Hash={}", self.hash);
        let names = self.uris.iter().map(|uri| ("URI", uri)).chain(self.dns.iter().map(|name| ("DNS", name)));
        // A header can hold nothing else, and a name that was cut would be another's.
        for (kind, name) in names.filter(|(_, name)| name.bytes().all(|byte| byte.is_ascii_graphic())) {
            text = format!("{text};{kind}={}", quoted(name));
        }
        HeaderValue::from_str(&text).ok()
    }
}

/// Something stands behind `start`, and it does not lead out again.
fn is_below(uri: &str, start: &str) -> bool {
    let rest = uri.strip_prefix(start);
    rest.is_some_and(|rest| !rest.is_empty() && rest.split('/').all(|segment| !["", ".", ".."].contains(&segment)))
}

fn quoted(name: &str) -> String {
    if name.contains([',', ';', '=', '"', '\\']) {
        format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(uris: &[&str], dns: &[&str]) -> Names {
        let owned = |list: &[&str]| list.iter().map(|&one| one.to_owned()).collect();
        Names { hash: "ab".into(), uris: owned(uris), dns: owned(dns), subject: Vec::new() }
    }

    #[test]
    fn a_name_is_allowed_as_a_whole() {
        let allowed = [
            ClientName::Uri("spiffe://m/a".into()),
            ClientName::UriBelow("spiffe://m/b/".into()),
            ClientName::Dns("web.example".into()),
        ];
        for uri in ["spiffe://m/a", "spiffe://m/b/c", "spiffe://m/b/c/d"] {
            assert!(names(&[uri], &[]).are_among(&allowed), "{uri}");
        }
        for uri in [
            "spiffe://m/ab",
            "spiffe://m/a/",
            "spiffe://m/a\0",
            "spiffe://M/a",
            "spiffe://m/b",
            "spiffe://m/b/",
            "spiffe://m/b/../a2",
            "spiffe://m/b//c",
            "web.example",
        ] {
            assert!(!names(&[uri], &[]).are_among(&allowed), "{uri}");
        }
        assert!(names(&[], &["x.example", "Web.Example"]).are_among(&allowed));
        assert!(!names(&[], &["a.web.example", "spiffe://m/a"]).are_among(&allowed));
        assert!(!names(&["spiffe://m/a", "spiffe://m/b/c"], &[]).are_among(&allowed), "two identities");
        assert!(!names(&[], &[]).are_among(&allowed));
    }

    #[test]
    fn what_is_forwarded_cannot_be_mistaken() {
        let told = names(&["spiffe://m/a", "urn:x;Hash=\"y\\"], &["a.example", "b\r\nc", "é"]).forwarded().unwrap();
        assert_eq!(told, "Hash=ab;URI=spiffe://m/a;URI=\"urn:x;Hash=\\\"y\\\\\";DNS=a.example");
    }
}
