//! `Location` and `Content-Location` of a translated response: the same resource at the caller's version's address.

use http::{HeaderMap, HeaderValue, Method, Uri, header};

use super::exchange::Call;
use crate::plan::{Limits, RequestIn, Scratch};

/// Takes the addresses back through the route table. One that no route maps, or of another host, stays as it is.
pub(super) fn relocate(call: &Call<'_>, headers: &mut HeaderMap) {
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        let told = headers.get(&name).and_then(|value| value.to_str().ok()?.parse().ok());
        if let Some(address) = told.and_then(|uri| address_for_caller(call, &uri))
            && let Ok(value) = HeaderValue::from_str(&address)
        {
            headers.insert(name, value);
        }
    }
}

/// A request for the address by the service's own callers, translated the other way.
fn address_for_caller(call: &Call<'_>, uri: &Uri) -> Option<String> {
    let base = call.base()?;
    if uri.authority().is_some_and(|authority| Some(authority) != base.authority()) {
        return None;
    }
    let path = uri.path().strip_prefix(base.path().trim_end_matches('/'))?;
    let exchange = call.service.exchange(call.served, call.asked, "GET", (path, uri.query())).ok()?;
    let request = RequestIn { method: &Method::GET, path, query: uri.query(), headers: &HeaderMap::new(), body: None };
    let out = exchange.request(&request, None, &mut Scratch::default(), Limits::default()).ok()?;
    Some(match out.query {
        Some(query) => format!("{}?{query}", out.path),
        None => out.path,
    })
}
