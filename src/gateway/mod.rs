//! Listeners, negotiation, the life of a request, upstreams, bodies, errors, admin.
//!
//! Read in this order: [`server`] starts and ends it all, [`listener`] accepts, [`workers`] serve, [`tls`] shakes hands, [`connection`] tells the protocol and
//! keeps time, [`plain`] and hyper speak it, [`layers`] is the stack
//! on one screen, [`exchange`] the life of a request, [`translate`] what HTTP needs around a translation, [`rescue`] how
//! errors become responses. [`reload`] replaces what [`generation`] holds.

mod connection;
mod doors;
mod frames;
mod framing;
mod handover;
mod head;
mod http2;
mod listener;
mod manager;
mod plain;
mod presence;
mod rewound;
mod server;
mod succession;
mod tls;
mod wire;
mod workers;

mod aside;
mod layers;
mod overload;
mod panics;
mod record;
mod rescue;
mod target;
mod trouble;

mod asynchronous;
mod body;
mod calls;
mod chance;
mod decide;
mod events;
mod exchange;
mod fallback;
mod grpc;
mod headers;
mod idempotency;
mod location;
mod merge;
mod receive;
mod restate;
mod streaming;
mod translate;
mod tunnel;
mod upgrade;
mod upstream;
mod validators;

mod build;
mod changes;
mod generation;
mod introduction;
mod last_good;
mod reload;
mod status;
mod watch;

mod messages;

mod access_log;
mod admin;
mod audit;
mod ledger;
mod levels;
mod lines;
mod metrics;
mod operating;
mod telemetry;

#[doc(hidden)]
pub mod probe;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::Semaphore;

pub(crate) use access_log::rfc3339;
pub(crate) use chance::random;
pub(crate) use doors::Sockets;
pub(crate) use handover::Predecessor;
pub(crate) use levels::Levels;
pub(crate) use lines::{Lines, MESSAGES};
pub use listener::BindError;
pub use messages::Brokers;
pub(crate) use server::Surroundings;
pub use server::{Server, StartError, Stop};
pub(crate) use succession::Succession;

use crate::plan::ServicePlan;
use crate::settings::Settings;
use access_log::AccessLog;
use asynchronous::Asynchronous;
use changes::Changes;
use generation::Current;
use ledger::Ledger;
use messages::Flows;
use metrics::Metrics;
use overload::Overload;
use reload::Reloader;
use succession::Estate;
use telemetry::Telemetry;
use tls::{Certificates, Connector};
use upstream::{Clusters, Upstreams};

/// What all requests share.
#[derive(Debug)]
struct App {
    settings: Arc<Settings>,
    current: Arc<Current>,
    reloader: Arc<Reloader>,
    /// Connections to services: each worker has its own.
    upstreams: Upstreams,
    clusters: Arc<Clusters>,
    certificates: Arc<Certificates>,
    overload: Arc<Overload>,
    /// What has changed to another protocol and is open.
    tunnels: Arc<Semaphore>,
    /// This process in `Via`.
    via: HeaderValue,
    metrics: Arc<Metrics>,
    access: Arc<AccessLog>,
    /// Each worker writes pages of its own.
    ledger: Ledger,
    asynchronous: Arc<Asynchronous>,
    /// Flows of messages.
    flows: Arc<Flows>,
    /// What a successor waits for.
    estate: Arc<Estate>,
    /// On the way to the end.
    draining: Arc<AtomicBool>,
    /// Not ready because an operator says so.
    drained: Arc<AtomicBool>,
    changes: Changes,
    /// Where messages go, if that is the gateway's business.
    messages: Option<Arc<Lines>>,
    /// Where traces and metrics are sent, if anywhere.
    telemetry: Option<Arc<Telemetry>>,
    /// The version header's name, where it is not one that begins as all of ours do.
    own_header: Option<HeaderName>,
}

impl App {
    /// Removes what others say in our name.
    fn forget_own(&self, headers: &mut HeaderMap) {
        if let Some(name) = &self.own_header {
            headers.remove(name);
        }
    }

    /// The same for another worker.
    fn share(&self) -> Self {
        Self {
            settings: self.settings.clone(),
            current: self.current.clone(),
            reloader: self.reloader.clone(),
            upstreams: Upstreams::new(
                Connector::new(self.certificates.clone(), self.settings.timeouts.peer),
                &self.clusters,
            ),
            clusters: self.clusters.clone(),
            certificates: self.certificates.clone(),
            overload: self.overload.clone(),
            tunnels: self.tunnels.clone(),
            via: self.via.clone(),
            metrics: self.metrics.clone(),
            access: self.access.clone(),
            ledger: self.ledger.share(),
            asynchronous: self.asynchronous.clone(),
            flows: self.flows.clone(),
            estate: self.estate.clone(),
            draining: self.draining.clone(),
            drained: self.drained.clone(),
            changes: self.changes.clone(),
            messages: self.messages.clone(),
            telemetry: self.telemetry.clone(),
            own_header: self.own_header.clone(),
        }
    }

    /// Whether any service has requests that must be kept.
    fn keeps_requests(&self) -> bool {
        self.current.snapshot().services.values().any(|serving| serving.plan.keeps_requests())
    }

    /// Whether there is anything to keep: requests, or which messages are done.
    fn needs_store(&self) -> bool {
        let needs = |plan: &ServicePlan| plan.keeps_requests() || !plan.channels.is_empty();
        self.current.snapshot().services.values().any(|serving| needs(&serving.plan))
    }

    /// Whether connections are told to close, since this process is to go.
    fn is_leaving(&self) -> bool {
        self.draining.load(Ordering::Relaxed) || self.drained.load(Ordering::Relaxed)
    }

    /// All metrics as text.
    fn metrics_text(&self) -> String {
        self.look();
        self.metrics.render(self.access.dropped())
    }

    /// The same with traces of some requests.
    fn metrics_text_with_exemplars(&self) -> String {
        self.look();
        self.metrics.render_with_exemplars(self.access.dropped())
    }

    /// Takes over what others have counted.
    fn look(&self) {
        self.metrics.note_overload(self.overload.figures());
        self.metrics.operating.set(&operating::Levels {
            access_left_out: self.access.left_out(),
            messages_dropped: self.messages.as_ref().map_or(0, |lines| lines.lost()),
            audit_dropped: self.changes.audit.lost(),
            is_level_changed: self.changes.levels.is_changed(),
            is_draining: self.is_leaving(),
        });
    }

    /// Waits until logs are written, within reason.
    fn flush(&self) {
        self.access.flush();
        self.changes.audit.flush();
        if let Some(messages) = &self.messages {
            messages.flush();
        }
    }
}
