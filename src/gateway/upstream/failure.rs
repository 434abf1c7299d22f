//! Why there is no answer, and on whose side that is.

use std::error::Error;
use std::io::ErrorKind;

use http::{HeaderValue, header};

use super::cluster::{Cluster, Refusal};
use super::pool::ConnectError;
use super::retry::Failed;
use crate::gateway::body::{find_fault, find_stream_fault};
use crate::gateway::trouble::{Kind, Trouble};

/// Why there is no answer.
pub(super) enum Lost {
    /// Nobody was asked.
    Refused(Refusal),
    /// The endpoint was not reached.
    Connect(ConnectError),
    /// It was, and then this.
    Exchange(hyper::Error),
    /// It was, and then the request's body broke off.
    Body(axum::Error),
    /// It did not answer in an attempt's time.
    Late,
}

pub(super) fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (**error).source())
}

/// What became of an attempt, where something of it may have been sent.
pub(super) fn of_exchange(error: &hyper::Error) -> Failed {
    let ended = causes(error).any(|cause| {
        cause.downcast_ref::<hyper::Error>().is_some_and(|cause| cause.is_incomplete_message() || cause.is_canceled())
            || cause
                .downcast_ref::<std::io::Error>()
                .is_some_and(|cause| matches!(cause.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe))
    });
    if ended { Failed::Ended } else { Failed::Broken }
}

/// Whether it was the request's body that broke off: then the endpoint is not to blame.
pub(super) fn is_callers(error: &hyper::Error) -> bool {
    find_stream_fault(error).is_some() || find_fault(error).is_some()
}

pub(super) fn is_late(error: &ConnectError) -> bool {
    causes(&**error)
        .any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(|cause| cause.kind() == ErrorKind::TimedOut))
}

/// Nobody was asked: not now, but perhaps soon.
pub(super) fn refusal(refused: Refusal, cluster: &Cluster) -> Trouble {
    let (kind, cause) = match refused {
        Refusal::Unavailable => (Kind::UpstreamUnavailable, "no endpoint can be asked"),
        Refusal::Overloaded => (Kind::UpstreamOverloaded, "too many requests are in flight or waiting"),
    };
    let soon = HeaderValue::from_static("1");
    Trouble::new(kind)
        .cause(format!("{} of {}: {cause}", cluster.version, cluster.service))
        .header(header::RETRY_AFTER, soon)
}

/// What went wrong with an endpoint, and on whose side.
pub(super) fn trouble(lost: &Lost, cluster: &Cluster, endpoint: &str) -> Trouble {
    let told = |kind: Kind, error: &(dyn Error + 'static)| {
        let chain: Vec<String> = causes(error).map(ToString::to_string).collect();
        Trouble::new(kind).cause(format!("{endpoint}: {}", chain.join(": ")))
    };
    match lost {
        Lost::Refused(refused) => refusal(*refused, cluster),
        Lost::Connect(error) if is_late(error) => told(Kind::UpstreamTimeout, &**error),
        Lost::Connect(error) => told(Kind::UpstreamUnreachable, &**error),
        Lost::Late => Trouble::new(Kind::UpstreamTimeout).cause(format!("no response head from {endpoint}")),
        Lost::Exchange(error) => of_body(error).unwrap_or_else(|| told(Kind::UpstreamBroken, error)),
        Lost::Body(error) => of_body(error).unwrap_or_else(|| told(Kind::BodyBroken, error)),
    }
}

/// What is wrong with the request's body, if that is why there is no answer.
fn of_body(error: &(dyn Error + 'static)) -> Option<Trouble> {
    if let Some(fault) = find_stream_fault(error) {
        return Some(Trouble::from_caller_body(fault));
    }
    find_fault(error).map(|fault| Trouble::from_request(fault.clone()).closing())
}
