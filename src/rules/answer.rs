//! Who asks and who answers: shares, consumers, pins, lists, and a version's end, as written and as checked.

use std::collections::BTreeSet;

use super::ast::Spanned;
use crate::diagnostic::Span;

/// Whose services answer callers of a version.
#[derive(Debug, Clone)]
pub enum AnsweredBy {
    /// One.
    One(Spanned<String>),
    /// Several, with their weights.
    Shares {
        /// In written order.
        weights: Vec<(Spanned<String>, u32)>,
        /// Where the whole is written.
        span: Span,
    },
}

/// `assign:`
#[derive(Debug, Clone)]
pub struct AssignDecl {
    /// Tried in this order.
    pub by: Vec<Spanned<Key>>,
    /// Mixed into the hash of every key.
    pub salt: Option<Spanned<String>>,
}

/// `{acme: v1}`
#[derive(Debug, Clone)]
pub struct PinDecl {
    /// The consumer's name.
    pub consumer: Spanned<String>,
    /// Its version.
    pub version: Spanned<String>,
}

/// A version's `consumers:`
#[derive(Debug, Clone)]
pub struct ListDecl {
    /// Those who may ask; nobody else may.
    pub allow: Option<Vec<Spanned<String>>>,
    /// Those who may not.
    pub deny: Option<Vec<Spanned<String>>>,
    /// Where the whole is written.
    pub span: Span,
}

/// `deprecated:`
#[derive(Debug, Clone)]
pub struct DeprecatedDecl {
    /// Since when.
    pub at: Spanned<String>,
    /// When it ends.
    pub sunset: Option<Spanned<String>>,
    /// Where people read more.
    pub link: Option<Spanned<String>>,
    /// Whether it is refused after its end; where that is written.
    pub gone: Option<Span>,
}

/// What a caller is assigned by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// The consumer that the request comes from.
    Consumer,
    /// The value of a header.
    Header(String),
    /// The value of a cookie.
    Cookie(String),
    /// A parameter of the caller's route: the entity that the request is about.
    Path(String),
    /// Nothing of the request: every one is assigned anew.
    Request,
}

/// What names the consumer that a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsumerSource {
    /// A header, whose value is the name.
    Header(String),
    /// A header that holds a secret: the name is made of its hash.
    ApiKey(String),
    /// A claim of the JSON Web Token in a header. Something in front of the gateway has verified the token.
    Claim {
        /// Its name.
        claim: String,
        /// The header.
        header: String,
    },
    /// The certificate that the caller has shown, and that the gateway has verified.
    Certificate(CertificateName),
}

/// Which name of a certificate is meant. One that has several of a kind names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateName {
    /// Its URI, as SPIFFE has it.
    Uri,
    /// Its DNS name.
    Dns,
    /// Its subject's common name.
    Subject,
}

impl CertificateName {
    /// As rules write them.
    pub const ALL: [(&'static str, Self); 3] = [("uri", Self::Uri), ("dns", Self::Dns), ("subject", Self::Subject)];
}

impl ConsumerSource {
    /// The header that it reads, if it reads one.
    pub fn header(&self) -> Option<&str> {
        match self {
            Self::Header(header) | Self::ApiKey(header) | Self::Claim { header, .. } => Some(header),
            Self::Certificate(_) => None,
        }
    }
}

/// Which callers shares fall to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assign {
    /// Tried in this order.
    pub by: Vec<Key>,
    /// Mixed into the hash of every key.
    pub salt: String,
}

/// Which consumers may ask for a version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Admission {
    /// Everybody.
    #[default]
    All,
    /// These alone.
    Allow(BTreeSet<String>),
    /// Everybody else, those without a name included.
    Deny(BTreeSet<String>),
}

impl Admission {
    /// Whether a consumer may ask.
    pub fn admits(&self, consumer: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Allow(names) => consumer.is_some_and(|name| names.contains(name)),
            Self::Deny(names) => consumer.is_none_or(|name| !names.contains(name)),
        }
    }
}

/// Since when a version is deprecated, and when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deprecation {
    /// Seconds since 1970.
    pub at: u64,
    /// Seconds since 1970.
    pub sunset: Option<u64>,
    /// Where people read more.
    pub link: Option<String>,
    /// Whether it is refused after its end.
    pub gone: bool,
}
