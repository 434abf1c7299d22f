//! A caller that waits, before a service that says 202: the gateway asks for the service's operation until it is over.
//!
//! It does so as a caller of the newer version of the rule's route, whichever version's service answers.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::order::{Answer, Order};
use super::runner::Task;
use super::{Asynchronous, canonical, carry};
use crate::gateway::exchange::Call;
use crate::gateway::location::relocate;
use crate::gateway::trouble::{Kind, Trouble};
use crate::plan::ResponseIn;
use crate::rules::asynchronous::Follow;

/// Between two looks, at first and at most. A service's `Retry-After` counts where it is longer.
const FIRST: Duration = Duration::from_millis(200);
const LAST: Duration = Duration::from_secs(5);
/// Of a service's own `Retry-After`.
const LONGEST: Duration = Duration::from_secs(60);
/// Looks at one operation.
const LOOKS: usize = 1000;

/// Serves a caller by a route that follows. `version`: the newer side's.
pub(in crate::gateway) async fn serve(
    call: &Call<'_>,
    (version, follow): (usize, &Follow),
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Trouble> {
    let read = canonical::read(call, headers, body).await?;
    let order = canonical::order_in(call, version, &read).await?;
    drop(read);
    let begun = carry::carry_out(call.app, &order, call.facts).await?;
    if begun.status() != StatusCode::ACCEPTED {
        return carry::read(call, &order, &begun).await;
    }
    let first = begun.headers();
    let Some(at) = own_address(call, &order, &order.to.path, first.get(header::LOCATION)) else {
        return Err(Trouble::new(Kind::UpstreamContract).cause("202 without a Location of its own service"));
    };
    let deadline = Instant::now() + follow.limit;
    let mut watch = Watch {
        order: asking(&order, &Method::GET, &at),
        asynchronous: call.app.asynchronous.clone(),
        cancels: follow.cancel,
    };
    let looked = tokio::time::timeout_at(deadline, look(call, follow, &watch.order, &first)).await;
    watch.cancels = false;
    if let Ok(answer) = looked {
        return carry::read(call, &order, &answer?).await;
    }
    // It goes on: the caller may ask for it later.
    let mut told = HeaderMap::new();
    told.extend(HeaderValue::from_str(&at).ok().map(|at| (header::LOCATION, at)));
    relocate(call, &order.to.path, &mut told);
    let mut late = Trouble::new(Kind::UpstreamTimeout).detail("the service is still at it");
    late.headers.extend(told.remove(header::LOCATION).map(|at| (header::LOCATION, at)));
    Err(late)
}

/// Looks until it is over.
async fn look(call: &Call<'_>, follow: &Follow, order: &Order, first: &HeaderMap) -> Result<Answer, Trouble> {
    let mut pause = FIRST;
    let mut asked = retry_after(first);
    for _ in 0..LOOKS {
        sleep(asked.unwrap_or_default().max(pause)).await;
        pause = (pause * 3 / 2).min(LAST);
        let answer = carry::carry_out(call.app, order, call.facts).await?;
        let headers = answer.headers();
        asked = retry_after(&headers);
        let status = answer.status();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            continue;
        }
        let result = if status.is_redirection() {
            let at = own_address(call, order, &order.to.path, headers.get(header::LOCATION));
            Some(at.ok_or_else(|| Trouble::new(Kind::UpstreamContract).cause("a result at another service"))?)
        } else if !status.is_success() {
            return Ok(answer);
        } else {
            let seen =
                ResponseIn { status, headers: &headers, body: Some(&*answer.body).filter(|body| !body.is_empty()) };
            match follow.is_over(&seen) {
                (false, _) => continue,
                (true, None) => return Ok(answer),
                (true, Some(at)) => {
                    let value = HeaderValue::from_str(&at).ok();
                    let at = own_address(call, order, &order.to.path, value.as_ref());
                    Some(at.ok_or_else(|| Trouble::new(Kind::UpstreamContract).cause("a result at another service"))?)
                }
            }
        };
        if let Some(at) = result {
            return carry::carry_out(call.app, &asking(order, &Method::GET, &at), call.facts).await;
        }
    }
    Err(Trouble::new(Kind::UpstreamTimeout).detail("the service is still at it"))
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST))
}

/// An address of the same service as path and query, whatever it is written from. Another host is never asked: what a
/// service says must not choose where requests with its callers' credentials go.
fn own_address(call: &Call<'_>, order: &Order, from: &str, value: Option<&HeaderValue>) -> Option<String> {
    let text = value?.to_str().ok()?.trim().split('#').next()?;
    let base = call.base()?;
    let at = if text.contains("://") {
        let uri: Uri = text.parse().ok()?;
        let authority = uri.authority()?;
        let at = uri.path_and_query()?.as_str();
        if Some(authority) == base.authority() {
            at.strip_prefix(base.path().trim_end_matches('/'))?.to_owned()
        } else {
            Some(at).filter(|_| order.authority.as_deref() == Some(authority.as_str()))?.to_owned()
        }
    } else if text.starts_with('/') {
        text.to_owned()
    } else {
        let (folder, _) = from.rsplit_once('/')?;
        format!("{folder}/{text}")
    };
    // Neither another host (`//host`) nor a way out of the service's own paths.
    let path = at.split('?').next()?;
    let is_plain = path.starts_with('/') && !path.split('/').any(|part| part == "." || part == "..");
    (is_plain && !path.starts_with("//")).then_some(at)
}

/// Another request of the same caller, without a body.
fn asking(order: &Order, method: &Method, at: &str) -> Order {
    let (path, query) = at.split_once('?').map_or((at, None), |(path, query)| (path, Some(query.to_owned())));
    let mut headers = order.headers();
    for name in ["content-type", "content-encoding", "if-match", "if-none-match", "idempotency-key", "prefer"] {
        headers.remove(name);
    }
    let mut asking = order.clone();
    (asking.to.method, asking.to.path, asking.to.query) = (method.as_str().to_owned(), path.to_owned(), query);
    asking.body = Bytes::new();
    asking.with_fields(&headers)
}

/// Tells the service, if it goes away before the end, that nobody waits any more.
struct Watch {
    order: Order,
    asynchronous: Arc<Asynchronous>,
    cancels: bool,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.cancels {
            let at = match &self.order.to.query {
                Some(query) => format!("{}?{query}", self.order.to.path),
                None => self.order.to.path.clone(),
            };
            let order = Box::new(asking(&self.order, &Method::DELETE, &at));
            let (done, _) = oneshot::channel();
            self.asynchronous.ask(Task::Once { order, facts: None, done });
        }
    }
}
