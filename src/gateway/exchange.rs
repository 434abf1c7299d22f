//! The life of a request, from its strict head to its response.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use http_body::Body as _;

use super::App;
use super::body::Guarded;
use super::connection::Peer;
use super::headers::{Identity, Route, add_vary, decorate, end_to_end, remove_hop_by_hop};
use super::record::Facts;
use super::streaming;
use super::target::Target;
use super::translate;
use super::trouble::{Kind, Trouble};
use super::upstream::{Outgoing, Payload, address};
use crate::plan::ServicePlan;

/// What every step of one request may look at.
pub(super) struct Call<'c> {
    pub(super) app: &'c App,
    pub(super) service: &'c ServicePlan,
    /// Index of the version that the caller speaks.
    pub(super) asked: usize,
    /// Index of the version whose service answers.
    pub(super) served: usize,
    pub(super) target: &'c Target,
    pub(super) parts: &'c Parts,
    pub(super) identity: &'c Identity,
    pub(super) facts: &'c Facts,
    pub(super) route: Route,
}

impl Call<'_> {
    /// The name of a version of this service.
    pub(super) fn version(&self, index: usize) -> &str {
        self.service.versions.get(index).map_or("", |version| version.name.as_str())
    }

    /// Where the service that answers runs: as the settings say, else as the rules say.
    pub(super) fn base(&self) -> Option<&Uri> {
        let version = self.service.versions.get(self.served)?;
        let set = self.app.settings.upstreams.get(&self.service.name).and_then(|service| service.get(&version.name));
        set.or(version.upstream.as_ref())
    }

    /// Sends a request to the service that answers, and notes the time it took.
    pub(super) async fn send(
        &self,
        method: http::Method,
        (path, query): (&str, Option<&str>),
        mut headers: HeaderMap,
        body: Payload,
    ) -> Result<Response, Trouble> {
        let Some(base) = self.base() else {
            return Err(Trouble::new(Kind::Internal).cause("the version that answers has no upstream"));
        };
        let uri = address(base, path, query)?;
        decorate(&mut headers, &self.route, self.target, self.identity);
        let begun = Instant::now();
        let answered = self.app.upstreams.send(Outgoing { method, uri, headers, body }).await;
        self.facts.change(|known| known.upstream += begun.elapsed());
        let mut response = answered?;
        remove_hop_by_hop(response.headers_mut());
        let own: Vec<HeaderName> =
            response.headers().keys().filter(|name| name.as_str().starts_with("bifocal-")).cloned().collect();
        for name in own {
            response.headers_mut().remove(name);
        }
        Ok(response)
    }

    /// A body as it comes, within the limits of requests.
    pub(super) fn streamed(&self, body: Body) -> Payload {
        if body.is_end_stream() {
            return Payload::Whole(bytes::Bytes::new());
        }
        let limit = self.app.settings.limits.body as u64;
        Payload::Stream(Body::new(Guarded::new(body, limit, self.app.settings.timeouts.body_gap)))
    }
}

/// Handles one request.
pub(super) async fn handle(
    State(app): State<Arc<App>>,
    Extension(identity): Extension<Identity>,
    Extension(facts): Extension<Facts>,
    Extension(target): Extension<Arc<Target>>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request,
) -> Result<Response, Trouble> {
    let (parts, body) = request.into_parts();

    // One snapshot for the whole exchange: the response is translated by the rules that translated the request.
    let generation = app.current.snapshot();
    facts.change(|known| {
        known.generation = generation.number;
        known.rules.clone_from(&generation.hash);
    });

    if generation.number == 0 {
        let soon = HeaderValue::from_static("1");
        return Err(Trouble::new(Kind::NotReady).header(header::RETRY_AFTER, soon).closing());
    }

    // A declared size over the limit is refused before a byte of it is read.
    let limits = &app.settings.limits;
    let declared = body.size_hint().lower();
    let is_over = |limit: usize| declared > limit as u64;
    let too_large =
        |limit: usize| Trouble::new(Kind::BodyTooLarge).detail(format!("the limit is {limit} bytes")).closing();
    if is_over(limits.body.max(limits.streamed)) {
        return Err(too_large(limits.body));
    }

    // Whose request, which version, who answers.
    let Some(service) = generation.plan.service_for(target.host.as_deref(), &target.path) else {
        return Err(Trouble::new(Kind::NoService));
    };
    facts.change(|known| known.service.clone_from(&service.name));
    let unclear = |unclear| {
        Trouble::from_unclear(&unclear, service.versions.iter().map(|version| version.name.clone()).collect())
    };
    let asked = service.negotiate(&target.path, target.query.as_deref(), &parts.headers).map_err(unclear)?;
    let by_default = service.versions.get(asked).map_or(asked, |version| version.answered_by);
    let served = service.chosen_answer(&parts.headers).map_err(unclear)?.unwrap_or(by_default);

    let call = Call {
        app: &app,
        service,
        asked,
        served,
        target: &target,
        parts: &parts,
        identity: &identity,
        facts: &facts,
        route: route(&app, peer),
    };
    facts.change(|known| {
        call.version(asked).clone_into(&mut known.asked);
        call.version(served).clone_into(&mut known.served);
        known.request_bytes = body.size_hint().exact().unwrap_or_default();
    });
    if is_over(limits.body) && !streaming::streams_request(&call) {
        return Err(too_large(limits.body));
    }
    let headers = end_to_end(&parts.headers, app.settings.forwarded);
    let mut response = if asked == served {
        pass(&call, headers, body).await?
    } else {
        translate::translate(&call, headers, body).await?
    };
    // The same address has another representation for callers of another version.
    add_vary(response.headers_mut(), service.varies_by());
    if let Some(header) = &service.answer_header {
        add_vary(response.headers_mut(), std::iter::once(header.clone()));
    }
    Ok(response)
}

fn route(app: &App, peer: SocketAddr) -> Route {
    Route { peer, via: app.via.clone(), forwarded: app.settings.forwarded }
}

/// A caller of the version that answers: bytes pass untouched, both ways, as they come.
async fn pass(call: &Call<'_>, mut headers: HeaderMap, body: Body) -> Result<Response, Trouble> {
    // Written anew from the body that is sent.
    headers.remove(header::CONTENT_LENGTH);
    let target = (call.target.path.as_str(), call.target.query.as_deref());
    call.send(call.parts.method.clone(), target, headers, call.streamed(body)).await
}
