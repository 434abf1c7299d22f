//! Which consumer does a request come from? Pure: reads a request head, believes what it says.

use std::fmt::Write;

use http::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};

use super::ServicePlan;
use crate::codecs::decode_base64;
use crate::rules::answer::{Admission, CertificateName, ConsumerSource};

/// Bytes of a name; what is longer names nobody.
const MAX_NAME: usize = 128;
/// Bytes of a token's payload that are looked at.
const MAX_TOKEN: usize = 16 << 10;

impl ServicePlan {
    /// The name of the consumer that a request comes from: the first source of [`ServicePlan::consumer`] that says one.
    ///
    /// `certified` is who the caller is by a certificate that has been verified.
    pub fn consumer_of(&self, headers: &HeaderMap, certified: Option<&Certified>) -> Option<String> {
        self.consumer.iter().find_map(|source| named(source, headers, certified))
    }

    /// Whether a consumer may ask for a version.
    pub fn admits(&self, asked: usize, consumer: Option<&str>) -> bool {
        self.versions.get(asked).is_none_or(|version| version.consumers.admits(consumer))
    }

    /// The version of a consumer that names none.
    pub fn pinned(&self, consumer: Option<&str>) -> Option<usize> {
        self.pins.get(consumer?).copied()
    }

    /// The headers that name consumers, where what a caller gets depends on them.
    pub(super) fn varies_by_consumer(&self) -> impl Iterator<Item = HeaderName> {
        let matters = !self.pins.is_empty() || self.versions.iter().any(|version| version.consumers != Admission::All);
        self.consumer.iter().filter(move |_| matters).filter_map(|source| source.header()?.parse().ok())
    }
}

/// Who a caller is by its certificate: the names of which it has exactly one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Certified {
    /// Its URI.
    pub uri: Option<String>,
    /// Its DNS name.
    pub dns: Option<String>,
    /// Its subject's common name.
    pub subject: Option<String>,
}

impl Certified {
    fn name(&self, which: CertificateName) -> Option<&String> {
        match which {
            CertificateName::Uri => self.uri.as_ref(),
            CertificateName::Dns => self.dns.as_ref(),
            CertificateName::Subject => self.subject.as_ref(),
        }
    }
}

fn is_name(name: &str) -> bool {
    name.chars().all(|letter| !letter.is_control()) && (1..=MAX_NAME).contains(&name.len())
}

fn named(source: &ConsumerSource, headers: &HeaderMap, certified: Option<&Certified>) -> Option<String> {
    if let ConsumerSource::Certificate(which) = source {
        return certified?.name(*which).filter(|name| is_name(name)).cloned();
    }
    let mut values = headers.get_all(source.header()?).iter();
    // Of two names nobody can say which one is meant.
    let value = values.next().filter(|_| values.next().is_none())?.to_str().ok()?.trim();
    let name = match source {
        ConsumerSource::Header(_) => value.to_owned(),
        ConsumerSource::ApiKey(_) if value.is_empty() => return None,
        ConsumerSource::ApiKey(_) => hashed(value),
        ConsumerSource::Claim { claim, .. } => claimed(value, claim)?,
        ConsumerSource::Certificate(_) => return None,
    };
    is_name(&name).then_some(name)
}

/// A name for whoever has this secret, which does not tell it.
fn hashed(secret: &str) -> String {
    let digest = Sha256::digest(secret);
    digest.iter().take(6).fold("key-".to_owned(), |mut name, byte| {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
        name
    })
}

/// A text of a token's payload (RFC 7519). Its signature is the business of whoever verified it.
fn claimed(value: &str, claim: &str) -> Option<String> {
    let token = match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        Some(_) => return None,
        None => value,
    };
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || payload.len() > MAX_TOKEN {
        return None;
    }
    let payload: serde_json::Value = serde_json::from_slice(&decode_base64(payload.as_bytes())?).ok()?;
    payload.get(claim)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(source: &ConsumerSource, lines: &[(&str, &str)]) -> Option<String> {
        let lines = lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name: HeaderName = name;
            headers.append(name, value);
        }
        named(source, &headers, None)
    }

    #[test]
    fn names() {
        let header = || ConsumerSource::Header("X-Consumer".into());
        assert_eq!(ask(&header(), &[("x-consumer", " acme ")]).as_deref(), Some("acme"));
        assert_eq!(ask(&header(), &[("x-consumer", "acme"), ("x-consumer", "b")]), None);
        assert_eq!(ask(&header(), &[("x-consumer", "")]), None);
        assert_eq!(ask(&header(), &[("x-consumer", "x".repeat(129).as_str())]), None);
        assert_eq!(ask(&header(), &[]), None);
    }

    #[test]
    fn a_certificate_names_its_owner() {
        let uri = ConsumerSource::Certificate(CertificateName::Uri);
        let certified = Certified { uri: Some("spiffe://m/a".into()), dns: Some("x".repeat(129)), subject: None };
        let ask = |source, certified| named(source, &HeaderMap::new(), certified);
        assert_eq!(ask(&uri, Some(&certified)).as_deref(), Some("spiffe://m/a"));
        assert_eq!(ask(&uri, None), None);
        assert_eq!(ask(&ConsumerSource::Certificate(CertificateName::Dns), Some(&certified)), None);
        assert_eq!(ask(&ConsumerSource::Certificate(CertificateName::Subject), Some(&certified)), None);
    }

    #[test]
    fn a_key_is_named_by_its_hash() {
        // printf %s secret | sha256sum | cut -c1-12
        let key = ConsumerSource::ApiKey("X-API-Key".into());
        assert_eq!(ask(&key, &[("x-api-key", "secret")]).as_deref(), Some("key-2bb80d537b1d"));
    }

    #[test]
    fn claims() {
        let claim = || ConsumerSource::Claim { claim: "azp".into(), header: "Authorization".into() };
        // {"azp":"acme","n":1}
        let token = "e30.eyJhenAiOiJhY21lIiwibiI6MX0.c2ln";
        assert_eq!(ask(&claim(), &[("authorization", &format!("Bearer {token}"))]).as_deref(), Some("acme"));
        assert_eq!(ask(&claim(), &[("authorization", token)]).as_deref(), Some("acme"));
        for wrong in ["Basic e30.e30.e30", "Bearer e30.e30.e30", "Bearer e30.!.e30", "Bearer a.b.c.d", "Bearer x"] {
            assert_eq!(ask(&claim(), &[("authorization", wrong)]), None, "{wrong}");
        }
        let number = ConsumerSource::Claim { claim: "n".into(), header: "Authorization".into() };
        assert_eq!(ask(&number, &[("authorization", token)]), None);
    }
}
