//! Addresses in the headers of a translated response: the same resource at the caller's version's address.

use http::{HeaderMap, HeaderValue, header};

use super::exchange::Call;
use crate::plan::address::{METHODS, Surroundings};
use crate::plan::{Limits, RequestIn, Scratch};

/// Takes the addresses in `Location`, `Content-Location` and `Link` back through the route table. One that no route
/// maps, or of another host, stays as it is. `asked_for`: the path that the service was asked for, to which relative
/// addresses are relative.
pub(super) fn relocate(call: &Call<'_>, asked_for: &str, headers: &mut HeaderMap) {
    if [header::LOCATION, header::CONTENT_LOCATION, header::LINK].iter().all(|name| !headers.contains_key(name)) {
        return;
    }
    let surroundings = call.surroundings(Some(asked_for));
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        let told = headers.get(&name).and_then(|value| value.to_str().ok());
        let again = told.and_then(|told| address_for_caller(call, &surroundings, told));
        if let Some(value) = again.and_then(|address| HeaderValue::from_str(&address).ok()) {
            headers.insert(name, value);
        }
    }
    let links: Vec<HeaderValue> = headers.get_all(header::LINK).iter().cloned().collect();
    headers.remove(header::LINK);
    for value in links {
        let again = value
            .to_str()
            .ok()
            .map(|text| rewrite_links(text, |target| address_for_caller(call, &surroundings, target)));
        headers.append(header::LINK, again.and_then(|text| HeaderValue::from_str(&text).ok()).unwrap_or(value));
    }
}

/// A request for the address by the service's own callers, translated the other way.
fn address_for_caller(call: &Call<'_>, surroundings: &Surroundings, told: &str) -> Option<String> {
    surroundings.to_caller(told, |path, query| {
        let query = query.map(|query| call.service.restate_address(call.version(call.asked), query));
        let headers = HeaderMap::new();
        let [first, others @ ..] = &METHODS;
        [first, &call.parts.method].into_iter().chain(others).find_map(|method| {
            let way = (path, query.as_deref());
            let exchange = call.service.exchange(call.served, call.asked, method.as_str(), way).ok()?;
            let request = RequestIn { method, path, query: query.as_deref(), headers: &headers, body: None };
            let out = exchange.request(&request, None, &mut Scratch::default(), Limits::default()).ok()?;
            Some((out.path, out.query))
        })
    })
}

/// A `Link` value (RFC 8288, 3) with the targets between its angle brackets exchanged.
fn rewrite_links(text: &str, exchange: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut quoted) = (text, false);
    while let Some(at) = rest.find(['"', '<', '\\']) {
        let (before, here) = rest.split_at(at);
        out.push_str(before);
        let taken = match (here.as_bytes().first(), quoted) {
            (Some(b'\\'), true) => here.chars().take(2).map(char::len_utf8).sum(),
            (Some(b'<'), false) => match here.find('>') {
                Some(end) => {
                    let target = here.get(1..end).unwrap_or_default();
                    out.push('<');
                    out.push_str(exchange(target.trim()).as_deref().unwrap_or(target));
                    rest = here.get(end..).unwrap_or_default();
                    continue;
                }
                None => here.len(),
            },
            (first, _) => {
                quoted ^= first == Some(&b'"');
                1
            }
        };
        let (copied, after) = here.split_at(taken);
        out.push_str(copied);
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_targets_of_links_are_exchanged() {
        let upper = |text: &str| (text != "/x").then(|| text.to_uppercase());
        for (text, expected) in [
            ("</a>; rel=next, <b>;rel=\"prev\"", "</A>; rel=next, <B>;rel=\"prev\""),
            ("</x>; title=\"</a>, \\\"<b>\"; rel=next", "</x>; title=\"</a>, \\\"<b>\"; rel=next"),
            ("</a", "</a"),
            ("", ""),
        ] {
            assert_eq!(rewrite_links(text, upper), expected);
        }
    }
}
