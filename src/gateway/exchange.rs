//! The life of a request, from its strict head to its response.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Uri, header};
use http_body::Body as _;

use super::App;
use super::body::Guarded;
use super::body::records::Framing;
use super::decide::{Decided, decide, tell_ending};
use super::events::{Message, Stream};
use super::generation::Standing;
use super::headers::{Identity, Route, decorate, end_to_end, remove_services, takes_trailers};
use super::introduction::Introduction;
use super::overload::{Key, Place};
use super::record::Facts;
use super::target::Target;
use super::telemetry::Called;
use super::translate::{self, Worker};
use super::trouble::{Kind, Trouble};
use super::upstream::{Cluster, Outgoing, Payload, Sent, target as address};
use super::validators::Representation;
use super::{asynchronous, chance, fallback, grpc, headers, streaming, upgrade};
use crate::plan::address::Surroundings;
use crate::plan::wire::media_type;
use crate::plan::{Exchange, Limits, ServicePlan};
use crate::settings;

/// What translations of whole documents keep to, of requests and of messages.
pub(super) fn documents(limits: &settings::Limits) -> Limits {
    Limits { depth: limits.depth, nodes: limits.nodes, output: limits.translated, ..Limits::default() }
}

/// What every step of one request may look at.
pub(super) struct Call<'c> {
    pub(super) app: &'c App,
    pub(super) service: &'c Arc<ServicePlan>,
    /// What is known of it beside its plan.
    pub(super) standing: &'c Standing,
    /// Index of the version that the caller speaks.
    pub(super) asked: usize,
    /// Index of the version whose service answers.
    pub(super) served: usize,
    pub(super) target: &'c Target,
    pub(super) parts: &'c Parts,
    pub(super) identity: &'c Identity,
    pub(super) facts: &'c Facts,
    pub(super) route: Route<'c>,
    /// What of the connection that the request came on matters to the service's.
    pub(super) manner: Manner,
}

/// How a caller speaks, beyond what its headers say from end to end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// It takes trailers.
    pub(super) trailers: bool,
    /// It speaks gRPC: both sides may be silent for long, and say much.
    pub(super) grpc: bool,
}

impl Manner {
    fn of(headers: &HeaderMap) -> Self {
        Self { trailers: takes_trailers(headers), grpc: grpc::is_spoken(headers) }
    }
}

impl<'c> Call<'c> {
    /// The name of a version of this service.
    pub(super) fn version(&self, index: usize) -> &str {
        self.service.versions.get(index).map_or("", |version| version.name.as_str())
    }

    /// The service that answers.
    pub(super) fn cluster(&self) -> Option<&'c Arc<Cluster>> {
        self.standing.clusters.get(self.served)?.as_ref()
    }

    /// Where the service is, in the addresses that it tells: the endpoint that has answered, else what stands for all.
    pub(super) fn base(&self) -> Option<Uri> {
        let cluster = self.cluster()?;
        let mut answered = None;
        self.facts.change(|known| answered = known.endpoint.as_ref().and_then(|endpoint| endpoint.base(cluster)));
        answered.or_else(|| Some(cluster.base().clone()))
    }

    /// Whose addresses are whose. `asked_for`: the path that the service was asked for, once it was.
    pub(super) fn surroundings(&self, asked_for: Option<&str>) -> Surroundings {
        Surroundings {
            base: self.base(),
            caller: self.target.authority.clone(),
            asked_for: asked_for.map(str::to_owned),
        }
    }

    /// An exchange of this call, which knows whose addresses are whose if its rules ask for that.
    pub(super) fn locate<'p>(&self, exchange: Exchange<'p>, asked_for: Option<&str>) -> Exchange<'p> {
        if exchange.tells_addresses() { exchange.within(&self.surroundings(asked_for)) } else { exchange }
    }

    /// What the caller gets, as its entity tags tell it from what others get.
    pub(super) fn representation(&self) -> Representation<'_> {
        let version = self.version(self.asked);
        if self.asked == self.served {
            Representation::native(version)
        } else {
            Representation::translated(version, &self.standing.rules)
        }
    }

    /// Counts the request under the version that answers and under its consumer: a service that hangs, or one consumer
    /// with many addresses, does not take the room of all others.
    fn take_places(&self, consumer: Option<&str>) -> Result<[Option<Place>; 2], Trouble> {
        let take = |key| self.app.overload.room.also(key).ok_or_else(Trouble::overloaded);
        let version = take(Key::Version(&self.service.name, self.version(self.served)))?;
        Ok([Some(version), consumer.map(Key::Consumer).map(take).transpose()?])
    }

    /// What translations of this exchange keep to.
    pub(super) fn worker(&self) -> Worker {
        Worker { limits: documents(&self.app.settings.limits), facts: self.facts.clone() }
    }

    /// A body of this exchange that is a sequence of documents.
    pub(super) fn stream(&self, worker: Worker, framing: Framing, message: Message, asked_for: Option<&str>) -> Stream {
        Stream {
            service: self.service.clone(),
            asked: self.asked,
            served: self.served,
            method: self.parts.method.clone(),
            path: self.target.path.clone(),
            query: self.target.query.clone(),
            worker,
            limit: self.app.settings.limits.body,
            framing,
            request_id: self.identity.request.clone(),
            surroundings: self.surroundings(asked_for),
            message,
        }
    }

    /// Notes which route the request is of where none is needed to answer it: who calls what is counted all the same.
    pub(super) fn note_operation(&self) {
        let target = (self.target.path.as_str(), self.target.query.as_deref());
        if let Some(label) = self.service.operation(self.asked, self.parts.method.as_str(), target) {
            self.facts.change(|known| known.route = Some(label.to_owned()));
        }
    }

    /// Sends a request to the service that answers, and notes the time it took.
    pub(super) async fn send(
        &self,
        method: http::Method,
        (path, query): (&str, Option<&str>),
        mut headers: HeaderMap,
        body: Payload,
    ) -> Result<Response, Trouble> {
        let Some(cluster) = self.cluster() else {
            // Of a service of channels, whose other calls become messages.
            return Err(Trouble::new(Kind::NoRoute));
        };
        let target = address(cluster.prefix(), &self.parts.uri, path, query)?;
        decorate(&mut headers, self.route, self.target, self.identity);
        if self.manner.trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("TE"));
        }
        let silence = self.manner.grpc.then_some(self.app.settings.timeouts.tunnel);
        let span = self.facts.is_traced().then(chance::random);
        if let Some(span) = span {
            headers::set_span(&mut headers, self.identity, span);
        }
        let traced = span.map(|span| (span, method.clone(), target.clone(), SystemTime::now()));
        let begun = Instant::now();
        let mut sent = Sent::default();
        let outgoing = Outgoing { method, target, headers, body, silence };
        let answered = self.app.upstreams.send(cluster, outgoing, &mut sent).await;
        if let Some((span, method, uri, at)) = traced {
            let outcome =
                answered.as_ref().map(|answer| answer.status().as_u16()).map_err(|trouble| trouble.kind.row().1);
            let took = begun.elapsed();
            let uri = sent.endpoint.as_ref().and_then(|endpoint| endpoint.url(&uri)).unwrap_or(uri);
            self.facts.called(Called { span, method, uri, begun: at, took, outcome });
        }
        self.note(begun, sent);
        let mut response = answered?;
        remove_services(response.headers_mut());
        self.app.forget_own(response.headers_mut());
        Ok(response)
    }

    /// What became of a request to the service.
    pub(super) fn note(&self, begun: Instant, sent: Sent) {
        self.facts.change(|known| {
            known.upstream += begun.elapsed();
            known.attempts += sent.attempts;
            known.endpoint = sent.endpoint.or(known.endpoint.take());
        });
    }

    /// A body as it comes, within the limits of requests.
    pub(super) fn streamed(&self, headers: &HeaderMap, body: Body) -> Payload {
        if body.is_end_stream() {
            return Payload::Whole(bytes::Bytes::new());
        }
        let (limits, times) = (&self.app.settings.limits, &self.app.settings.timeouts);
        let (limit, silence) =
            if self.manner.grpc { (limits.streamed, times.tunnel) } else { (limits.body, times.body_gap) };
        // What has documents to say now and then is as slow as its events.
        let is_endless = self.manner.grpc || Framing::of(&media_type(headers)).is_some();
        let rate = if is_endless { 0 } else { limits.body_rate };
        Payload::Stream(Body::new(Guarded::new(body, limit as u64, silence).at_least(rate)))
    }
}

/// Handles one request.
pub(super) async fn handle(
    app: &App,
    (identity, facts, target, caller): (&Identity, &Facts, &Target, &Introduction),
    request: Request,
) -> Result<Response, Trouble> {
    let (parts, body) = request.into_parts();

    // One snapshot for the whole exchange: the response is translated by the rules that translated the request.
    let generation = app.current.snapshot();
    facts.change(|known| known.generation = Some(generation.clone()));

    if generation.number == 0 {
        let soon = HeaderValue::from_static("1");
        return Err(Trouble::new(Kind::NotReady).header(header::RETRY_AFTER, soon).closing());
    }

    // A declared size over the limit is refused before a byte of it is read.
    let limits = &app.settings.limits;
    let declared = body.size_hint().lower();
    if declared > limits.body.max(limits.streamed) as u64 {
        return Err(too_large(limits.body));
    }

    // Whose request, which version, who answers.
    let Some(standing) = generation.service_for(target.host.as_deref(), &target.path) else {
        return Err(Trouble::new(Kind::NoService));
    };
    facts.change(|known| known.standing = Some(standing.clone()));
    let service = &standing.plan;
    let decided = decide(service, target, &parts);
    let ending = decided.as_ref().ok().and_then(|decided| decided.ending(service));
    let answered = match decided.as_ref() {
        Ok(decided) => answer(app, standing, decided, (identity, facts, target, caller), parts, body).await,
        Err(trouble) => Err(trouble.clone()),
    };
    match answered {
        Ok(mut response) => {
            standing.add_vary(response.headers_mut());
            if let Some(ending) = ending {
                tell_ending(ending, response.headers_mut());
            }
            Ok(response)
        }
        Err(trouble) => {
            let mut headers = HeaderMap::new();
            standing.add_vary(&mut headers);
            if let Some(ending) = ending {
                tell_ending(ending, &mut headers);
            }
            Err(headers.iter().fold(trouble, |trouble, (name, value)| trouble.header(name.clone(), value.clone())))
        }
    }
}

/// Has a request answered by whoever is to answer it.
async fn answer(
    app: &App,
    standing: &Standing,
    decided: &Decided,
    (identity, facts, target, caller): (&Identity, &Facts, &Target, &Introduction),
    mut parts: Parts,
    body: Body,
) -> Result<Response, Trouble> {
    let service = &standing.plan;
    let (asked, served) = (decided.asked, decided.served);
    let manner = Manner::of(&parts.headers);
    let upgrade = upgrade::wanted(&parts, &body, &app.settings.upgrades);
    let keeps = service.keeps_requests();
    // What passes needs its headers only once.
    let headers = if asked == served && !keeps { std::mem::take(&mut parts.headers) } else { parts.headers.clone() };
    let call = |served| Call {
        app,
        service,
        standing,
        asked,
        served,
        target,
        parts: &parts,
        identity,
        facts,
        route: Route { caller, via: &app.via, forwarded: app.settings.forwarded },
        manner,
    };
    let first = call(served);
    facts.change(|known| {
        known.versions = Some((asked, None));
        known.consumer.clone_from(&decided.consumer);
        known.request_bytes = body.size_hint().exact().unwrap_or_default();
    });
    if let Err(refused) = decided.admit(service) {
        first.note_operation();
        return Err(refused);
    }
    let places = first.take_places(decided.consumer.as_deref())?;
    facts.change(|known| {
        known.versions = Some((asked, Some(served)));
        known.places = places;
    });
    if body.size_hint().lower() > app.settings.limits.body as u64 && !streaming::streams_request(&first) {
        return Err(too_large(app.settings.limits.body));
    }
    let mut headers = end_to_end(headers, app.settings.forwarded);
    app.forget_own(&mut headers);
    if let Some(protocol) = upgrade {
        return Box::pin(upgrade::serve(&first, protocol, headers)).await;
    }
    let mut body = body;
    if keeps {
        let consumer = decided.consumer.as_deref();
        match Box::pin(asynchronous::serve(&first, consumer, headers, body)).await? {
            asynchronous::Taken::Answered(response) => return Ok(response),
            asynchronous::Taken::Left(left, rest) => (headers, body) = (left, rest),
        }
    }
    if asked == served {
        return pass(&first, headers, body).await;
    }
    let again = fallback::is_possible(decided, service, &parts.method, &body).then(|| headers.clone());
    // Far larger than what passing needs, and so in a place of its own.
    let answered = Box::pin(translate::translate(&first, headers, body)).await;
    match (again, fallback::reason(&answered)) {
        (Some(headers), Some(reason)) => {
            facts.change(|known| {
                known.versions = Some((asked, Some(asked)));
                known.fallback = Some((served, reason));
            });
            Box::pin(pass(&call(asked), headers, Body::empty())).await
        }
        _ => answered,
    }
}

fn too_large(limit: usize) -> Trouble {
    Trouble::new(Kind::BodyTooLarge).detail(format!("the limit is {limit} bytes")).closing()
}

/// A caller of the version that answers: bytes pass untouched, both ways, as they come.
async fn pass(call: &Call<'_>, mut headers: HeaderMap, body: Body) -> Result<Response, Trouble> {
    // Written anew from the body that is sent.
    headers.remove(header::CONTENT_LENGTH);
    let (path, query) = (call.target.path.as_str(), call.target.query.as_deref());
    call.note_operation();
    let shares = call.standing.shares_addresses;
    if shares {
        // A service's own tags are never foreign to it.
        let _ = call.representation().unscope_conditions(&mut headers, true);
    }
    let body = call.streamed(&headers, body);
    let mut response = call.send(call.parts.method.clone(), (path, query), headers, body).await?;
    if shares {
        call.representation().scope_etag(response.headers_mut(), false);
    }
    Ok(response)
}
