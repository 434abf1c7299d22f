//! Callers that speak gRPC read neither statuses of HTTP nor problem documents: what the gateway itself has to say to them
//! is a response of headers alone, with a status of gRPC's own ("Trailers-Only").

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::trouble::{Kind, Trouble};

const GRPC: &[u8] = b"application/grpc";
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Whether a message is one of gRPC, and not one that a browser makes (`application/grpc-web`).
pub(super) fn is_spoken(headers: &HeaderMap) -> bool {
    let Some(media_type) = headers.get(header::CONTENT_TYPE) else { return false };
    let rest = media_type.as_bytes().split_at_checked(GRPC.len());
    rest.is_some_and(|(begins, rest)| {
        begins.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
    })
}

/// What went wrong, as gRPC says it.
pub(super) fn told(trouble: &Trouble) -> Response {
    let (_, code, title, _) = trouble.kind.row();
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(STATUS, HeaderValue::from(status(trouble.kind)));
    let detail = if trouble.detail.is_empty() { String::new() } else { format!(": {}", trouble.detail) };
    if let Ok(message) = HeaderValue::from_str(&written(&format!("{title} ({code}){detail}"))) {
        headers.insert(MESSAGE, message);
    }
    response
}

/// The nearest of gRPC's statuses. `UNAVAILABLE` invites to ask again, so it is only said where nothing was done.
fn status(kind: Kind) -> u16 {
    match kind {
        Kind::Value | Kind::UnknownVersion | Kind::Collision => 3,
        Kind::UpstreamTimeout | Kind::BodyTimeout => 4,
        Kind::Forbidden => 7,
        Kind::BodyTooLarge | Kind::HeadersTooLarge | Kind::TargetTooLong => 8,
        Kind::Precondition | Kind::Gone => 9,
        Kind::Conflict => 10,
        Kind::NoService
        | Kind::NoRoute
        | Kind::Method
        | Kind::MethodNotAllowed
        | Kind::UnsupportedType
        | Kind::UnsupportedCoding
        | Kind::Upgrade => 12,
        Kind::Overloaded | Kind::NotReady | Kind::UpstreamUnreachable => 14,
        _ => 13,
    }
}

/// A message's text: percent-encoded, but for what is plain in a header.
fn written(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut written, byte| {
        match byte {
            b' '..=b'~' if byte != b'%' => written.push(char::from(byte)),
            _ => crate::path::percent::encode_byte(byte, &mut written),
        }
        written
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_by_its_media_type() {
        for (text, expected) in [
            ("application/grpc", true),
            ("Application/GRPC+proto", true),
            ("application/grpc;charset=x", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(text))]);
            assert_eq!(is_spoken(&headers), expected, "{text}");
        }
    }

    #[test]
    fn a_message_is_a_header() {
        let told = told(&Trouble::new(Kind::Value).detail("`é` is 5 %\n"));
        let said = |name| told.headers().get(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!((told.status().as_u16(), said(STATUS).as_str()), (200, "3"));
        assert!(said(MESSAGE).ends_with("(value): `%C3%A9` is 5 %25%0A"), "{told:?}");
    }
}
