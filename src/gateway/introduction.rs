//! What services are told of a caller's connection: the same for all of its requests, so it is written once.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use http::HeaderValue;

use super::tls::Secured;

/// One connection, as services and the log name it.
pub(super) struct Introduction {
    /// Its other end.
    pub(super) peer: SocketAddr,
    /// The same as text.
    pub(super) name: String,
    /// What TLS says of it; none: there is no TLS.
    pub(super) secured: Option<Secured>,
    /// Its other end's address: an element of `X-Forwarded-For`.
    pub(super) address: HeaderValue,
    /// `X-Forwarded-Proto`.
    pub(super) proto: HeaderValue,
    /// What the last request was told to say.
    last: Mutex<Option<(Option<String>, Asked)>>,
}

/// What services are told of the authority that a request was for.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// `X-Forwarded-Host`; none where nothing was asked for.
    pub(super) host: Option<HeaderValue>,
    /// An element of `Forwarded` (RFC 7239).
    pub(super) forwarded: HeaderValue,
}

impl fmt::Debug for Introduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Introduction({})", self.name)
    }
}

impl Introduction {
    pub(super) fn new(peer: SocketAddr, secured: Option<Secured>) -> Self {
        let proto = HeaderValue::from_static(if secured.is_some() { "https" } else { "http" });
        let address = value(&peer.ip().to_string());
        Self { peer, name: peer.to_string(), secured, address, proto, last: Mutex::default() }
    }

    /// What to say of a request for this authority. Most often it is that of the request before.
    pub(super) fn asked(&self, authority: Option<&str>) -> Asked {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((known, asked)) if known.as_deref() == authority => asked.clone(),
            _ => {
                let asked = self.ask(authority.unwrap_or_default());
                *last = Some((authority.map(str::to_owned), asked.clone()));
                asked
            }
        }
    }

    fn ask(&self, authority: &str) -> Asked {
        let node = match self.peer.ip() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("\"[{address}]\""),
        };
        let proto = self.proto.to_str().unwrap_or_default();
        let host = if authority.is_empty() { String::new() } else { format!(";host=\"{authority}\"") };
        Asked {
            host: (!authority.is_empty()).then(|| value(authority)),
            forwarded: value(&format!("for={node}{host};proto={proto}")),
        }
    }
}

/// Addresses and authorities have been read as such: they fit a header.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("unknown"))
}
