//! When a request is sent again, and where to.
//!
//! What was not sent at all may go to another endpoint, whatever it is. What may have been sent goes again only where
//! doing it twice is as good as once (RFC 9110, 9.2.2) and nothing of an answer came. Nothing else is ever sent twice.

use std::time::Duration;

use http::{HeaderMap, Method, header};

use super::payload::Payload;

/// What became of an attempt that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// Nothing was sent: there is no connection.
    Connect,
    /// Nothing was sent: the connection was closed.
    Unsent,
    /// The connection ended before anything of an answer came.
    Ended,
    /// No answer came in an attempt's time.
    Late,
    /// An answer that is none, as the rules say.
    Status,
    /// Anything else: some of an answer may have come.
    Broken,
}

/// Where a request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// To an endpoint that has not had it.
    Elsewhere,
    /// To such a one, or where there is none to any.
    Anywhere,
}

impl Failed {
    /// Where a request may be sent again after this.
    pub(super) fn again(self, is_repeatable: bool) -> Option<Again> {
        match self {
            Self::Connect => Some(Again::Elsewhere),
            Self::Unsent if !is_repeatable => Some(Again::Elsewhere),
            Self::Unsent | Self::Ended | Self::Late | Self::Status if is_repeatable => Some(Again::Anywhere),
            _ => None,
        }
    }
}

/// Whether sending it twice is as good as once: by its method, with a body that is at hand. A write under a condition is
/// not: the second may find that the first has changed what the condition is about, and would be refused.
pub(super) fn is_repeatable(method: &Method, headers: &HeaderMap, body: &Payload) -> bool {
    let conditions = [header::IF_MATCH, header::IF_NONE_MATCH, header::IF_UNMODIFIED_SINCE];
    let has_condition = || conditions.iter().any(|name| headers.contains_key(name));
    matches!(body, Payload::Whole(_)) && method.is_idempotent() && (method.is_safe() || !has_condition())
}

/// How long to wait before the next of several attempts: doubled each time, half of it chance.
pub(super) fn wait(backoff: Duration, before: u32, chance: u64) -> Duration {
    let longest = backoff.saturating_mul(1 << before.min(6));
    let part = u32::try_from(chance % 1001).unwrap_or_default();
    longest / 2 + longest / 1000 * part
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn what_may_have_been_sent_is_sent_again_only_where_that_is_harmless() {
        for (failed, repeatable, other) in [
            (Failed::Connect, Some(Again::Elsewhere), Some(Again::Elsewhere)),
            (Failed::Unsent, Some(Again::Anywhere), Some(Again::Elsewhere)),
            (Failed::Ended, Some(Again::Anywhere), None),
            (Failed::Late, Some(Again::Anywhere), None),
            (Failed::Status, Some(Again::Anywhere), None),
            (Failed::Broken, None, None),
        ] {
            assert_eq!((failed.again(true), failed.again(false)), (repeatable, other), "{failed:?}");
        }
    }

    #[test]
    fn idempotent_requests_without_conditions_are_repeatable() {
        let whole = || Payload::Whole(Bytes::new());
        let mut headers = HeaderMap::new();
        for (method, expected) in [("GET", true), ("PUT", true), ("DELETE", true), ("POST", false), ("PATCH", false)] {
            let method: Method = method.parse().unwrap();
            assert_eq!(is_repeatable(&method, &headers, &whole()), expected, "{method}");
        }
        assert!(!is_repeatable(&Method::GET, &headers, &Payload::Stream(axum::body::Body::empty())));
        headers.insert(header::IF_MATCH, "\"1\"".parse().unwrap());
        assert!(!is_repeatable(&Method::PUT, &headers, &whole()));
        assert!(is_repeatable(&Method::GET, &headers, &whole()));
    }

    #[test]
    fn waits_grow_with_chance_in_them() {
        let base = Duration::from_millis(100);
        assert_eq!(wait(base, 0, 0), Duration::from_millis(50));
        assert_eq!(wait(base, 0, 1000), Duration::from_millis(150));
        assert_eq!(wait(base, 2, 500), Duration::from_millis(400));
        assert!(wait(Duration::from_secs(3600), 100, 1000) < Duration::from_secs(3600 * 100));
    }
}
