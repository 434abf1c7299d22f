//! What callers may change to, and the header that says who answered.

use http::HeaderName;

use super::read::Reader;

/// Names of HTTP and TLS themselves: what they stand for is agreed upon before the first request, or not at all.
const NEVER: [&str; 5] = ["h2", "h2c", "http", "tls", "connect-udp"];

impl Reader {
    /// Protocols that callers may change to, in lower case.
    pub(super) fn upgrades(&mut self) -> Vec<String> {
        let names: Vec<String> = self.take("upgrades");
        for name in &names {
            let (protocol, _) = name.split_once('/').unwrap_or((name, ""));
            if NEVER.contains(&protocol.to_ascii_lowercase().as_str()) {
                self.wrong("upgrades", &format!("`{name}` is never changed to in the middle of a connection"));
            } else if !is_protocol(name) {
                self.wrong("upgrades", &format!("`{name}` is not the name of a protocol, such as `websocket`"));
            }
        }
        names.iter().map(|name| name.to_ascii_lowercase()).collect()
    }

    pub(super) fn version_header(&mut self) -> HeaderName {
        const OURS: HeaderName = HeaderName::from_static("bifocal-version");
        let text: String = self.take("version_header");
        match text.parse::<HeaderName>() {
            Ok(name) if is_free(&name) => name,
            Ok(_) => {
                let wanted = "must begin with `X-` or have `version` in it, and not be a header that HTTP knows";
                self.wrong("version_header", wanted);
                OURS
            }
            Err(_) => {
                self.wrong("version_header", &format!("`{text}` is not the name of a header"));
                OURS
            }
        }
    }
}

/// A token, or two with a slash between (RFC 9110, 7.8).
fn is_protocol(name: &str) -> bool {
    let is_token = |part: &str| part.parse::<HeaderName>().is_ok();
    let (protocol, version) =
        name.split_once('/').map_or((name, None), |(protocol, version)| (protocol, Some(version)));
    is_token(protocol) && version.is_none_or(is_token)
}

/// Whether a header has no meaning of its own that answers could lose.
fn is_free(name: &HeaderName) -> bool {
    let name = name.as_str();
    let taken = ["x-request-id"].contains(&name) || name.starts_with("x-forwarded-") || name.starts_with("sec-");
    !taken && (name.starts_with("x-") || name.contains("version"))
}
