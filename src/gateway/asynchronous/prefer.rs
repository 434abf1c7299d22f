//! `Prefer: respond-async, wait=10` (RFC 7240).

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

const PREFER: HeaderName = HeaderName::from_static("prefer");
/// Longer than callers and what is between them keep a connection in silence.
const LONGEST: Duration = Duration::from_secs(60);

/// What a caller would like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gateway) struct Prefer {
    /// How long it would wait for the answer itself.
    pub(super) wait: Option<Duration>,
}

impl Prefer {
    /// Takes the preference for an answer that comes later out of a request; what else it prefers stays in. `None`: it has
    /// none.
    pub(super) fn take(headers: &mut HeaderMap) -> Option<Self> {
        let (is_async, wait, others) = read(headers);
        if !is_async {
            return None;
        }
        headers.remove(PREFER);
        if let Some(value) = Some(others.join(", ")).filter(|text| !text.is_empty())
            && let Ok(value) = HeaderValue::from_str(&value)
        {
            headers.insert(PREFER, value);
        }
        Some(Self { wait })
    }

    /// Whether a caller prefers an answer that comes later, and how long it would wait, whichever it says.
    pub(in crate::gateway) fn of(headers: &HeaderMap) -> (bool, Option<Duration>) {
        let (is_async, wait, _) = read(headers);
        (is_async, wait)
    }
}

/// Whether `respond-async` is preferred, the time to `wait`, and what else is.
fn read(headers: &HeaderMap) -> (bool, Option<Duration>, Vec<String>) {
    let values: Vec<&str> = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok()).collect();
    let (mut is_async, mut wait, mut others) = (false, None, Vec::new());
    for one in values.iter().flat_map(|value| pieces(value)) {
        let token = one.split(';').next().unwrap_or_default();
        let (name, value) = token.split_once('=').map_or((token, ""), |(name, value)| (name, value));
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"'));
        match name.as_str() {
            "respond-async" => is_async = true,
            // The first of several counts (RFC 7240, 2).
            "wait" => wait = wait.or_else(|| value.parse().ok().map(Duration::from_secs)),
            _ => others.push(one.trim().to_owned()),
        }
    }
    (is_async, wait.map(|wait: Duration| wait.min(LONGEST)), others)
}

/// The elements of a list, commas inside quotes left alone.
fn pieces(value: &str) -> Vec<&str> {
    let mut quoted = false;
    let split = value.split(move |char| {
        quoted ^= char == '"';
        !quoted && char == ','
    });
    split.filter(|piece| !piece.trim().is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_are_read_as_the_rfc_says() {
        for (lines, wait, left) in [
            (&["respond-async"][..], Some(None), ""),
            (&["Respond-Async, wait=10"], Some(Some(10)), ""),
            (
                &["return=minimal", "respond-async; x=1, foo=\"a,respond-async\", wait=\"3\", wait=9"],
                Some(Some(3)),
                "return=minimal, foo=\"a,respond-async\"",
            ),
            (&["respond-async, wait=99999"], Some(Some(60)), ""),
            (&["respond-async, wait=x"], Some(None), ""),
            (&["wait=10"], None, "wait=10"),
            (&["foo=\"respond-async\""], None, "foo=\"respond-async\""),
            (&[], None, ""),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(PREFER, line.parse().unwrap());
            }
            let taken = Prefer::take(&mut headers);
            assert_eq!(taken.map(|one| one.wait.map(|wait| wait.as_secs())), wait, "{lines:?}");
            assert_eq!(headers.get(PREFER).map_or("", |value| value.to_str().unwrap()), left, "{lines:?}");
        }
    }
}
