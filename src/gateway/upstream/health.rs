//! Looking after endpoints: those that take no connections are tried until they do, and where rules say how, all of them
//! are asked whether they are well.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::asking::Asking;
use super::cluster::{Cluster, Member, chance, covers};
use super::endpoint::{Endpoint, State};
use super::http2::{Multiplexer, Unanswered};
use super::line::Line;
use super::payload::Payload;
use super::policy::Policy;
use super::pool::ConnectError;
use super::retry::wait;
use crate::gateway::tls::{Connector, Offer};
use crate::rules::upstream::{Probe, Protocol};

/// Between two tries of an endpoint that takes no connections: at first, and at most.
const SOON: Duration = Duration::from_millis(100);
const LATE: Duration = Duration::from_secs(2);

/// Tries endpoints that take no connections, until they do.
pub(super) async fn reach(cluster: Arc<Cluster>, connector: Connector) {
    loop {
        cluster.alarm.notified().await;
        let mut tries = 0;
        loop {
            let members = cluster.members();
            let gone = members.iter().filter(|member| member.endpoint.state() == State::Unreachable);
            let mut trying = JoinSet::new();
            for Member { endpoint, .. } in gone {
                let (endpoint, connector, patience) = (endpoint.clone(), connector.clone(), cluster.policy.connect);
                trying.spawn(async move {
                    if connector.connect(&endpoint.address, endpoint.place.host.host(), patience).await.is_ok() {
                        endpoint.reached();
                    }
                });
            }
            if trying.is_empty() {
                break;
            }
            while trying.join_next().await.is_some() {}
            sleep(wait(SOON, tries, chance()).min(LATE)).await;
            tries += 1;
        }
    }
}

/// Asks all endpoints again and again whether they are well.
pub(super) async fn check(cluster: Arc<Cluster>, connector: Connector) {
    let Some((path, probe)) = cluster.upstream.health.clone() else { return };
    let mut streaks: HashMap<u64, Streak> = HashMap::new();
    loop {
        let members = cluster.members();
        streaks.retain(|id, _| members.iter().any(|member| member.endpoint.id == *id));
        let mut asking = JoinSet::new();
        for Member { endpoint, .. } in members.iter() {
            let (endpoint, connector, policy) = (endpoint.clone(), connector.clone(), cluster.policy.clone());
            let (path, probe) = (path.clone(), probe.clone());
            asking.spawn(async move {
                let asked = timeout(probe.timeout, ask(&endpoint, &connector, &path, &policy)).await;
                let is_well = matches!(asked, Ok(Ok(status)) if covers(&probe.status, status));
                (endpoint, is_well)
            });
        }
        while let Some(asked) = asking.join_next().await {
            let Ok((endpoint, is_well)) = asked else { continue };
            if let Some(is_well) = streaks.entry(endpoint.id).or_default().add(is_well, &probe) {
                endpoint.checked(is_well);
                // What is found out too late is taken back: nobody would ask again.
                if cluster.is_over.load(Ordering::SeqCst) {
                    endpoint.checked(true);
                    return;
                }
            }
        }
        // Some chance, so that several gateways do not ask at the same moment.
        let part = u32::try_from(chance() % 101).unwrap_or_default();
        sleep(probe.every / 1000 * (900 + part)).await;
    }
}

/// Answers of one kind in a row.
#[derive(Debug, Default)]
struct Streak {
    is_well: bool,
    length: u32,
}

impl Streak {
    /// What follows from one more, if anything does.
    fn add(&mut self, is_well: bool, probe: &Probe) -> Option<bool> {
        self.length = if self.is_well == is_well { self.length.saturating_add(1) } else { 1 };
        self.is_well = is_well;
        (self.length >= if is_well { probe.healthy } else { probe.unhealthy }).then_some(is_well)
    }
}

/// The status with which an endpoint answers.
async fn ask(
    endpoint: &Arc<Endpoint>,
    connector: &Connector,
    path: &str,
    policy: &Policy,
) -> Result<u16, ConnectError> {
    let mut request = Request::new(Payload::Whole(Bytes::new()));
    *request.uri_mut() = path.parse::<Uri>()?;
    let headers = request.headers_mut();
    headers.insert(header::HOST, endpoint.host.clone());
    headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("bifocal/", env!("CARGO_PKG_VERSION"))));
    if policy.protocol == Protocol::Http2 {
        let http2 = Multiplexer::new(connector.clone());
        let asked = http2.exchange(endpoint, policy, Offer::Http2, request).await;
        let (response, _load) = asked.map_err(|unanswered| match unanswered {
            Unanswered::Declined(_) => "the service does not speak HTTP/2".into(),
            Unanswered::Unreached(error, _) => error,
            Unanswered::BodyBroke(error) => error.into(),
            Unanswered::Broken(error, _) => error.into(),
        })?;
        return Ok(response.status().as_u16());
    }
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    let io = connector.connect(&endpoint.address, endpoint.place.host.host(), policy.connect).await?;
    endpoint.reached();
    let mut asking = Asking::new(request, false);
    let (_, response) = Line::new(io.into_inner()).exchange(&mut asking).await.map_err(|none| none.error)?;
    Ok(response.status().as_u16())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::super::registry::Clusters;
    use super::*;
    use crate::gateway::metrics::Metrics;
    use crate::gateway::tls::Certificates;
    use crate::rules::upstream::Upstream;
    use crate::settings::{Settings, Sources};

    /// The check that a reload removes may be at work still: past the point where it could be told to end.
    #[tokio::test]
    async fn a_check_that_answers_after_its_end_leaves_nothing_behind() {
        let settings = Arc::new(Settings::load(Sources::default()).unwrap());
        let certificates = Certificates::load(&settings, Arc::new(Metrics::new())).unwrap();
        let connector = Connector::new(Arc::new(certificates), settings.timeouts.peer);
        let clusters = Arc::new(Clusters::new(settings, connector.clone()));
        let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let plain = Upstream::one(format!("http://{}", service.local_addr().unwrap()).parse().unwrap());
        // Only the check of this test ever asks: the cluster's own one waits an hour.
        let probe = Probe { unhealthy: 1, every: Duration::from_secs(3600), ..Probe::default() };
        let checked = Upstream { health: Some(("/health".to_owned(), probe)), ..plain.clone() };
        let old = clusters.adopt(("orders", "v1"), &checked).unwrap();
        let ill = b"HTTP/1.1 500 Not well\r\nContent-Length: 0\r\n\r\n";
        let asked = async || {
            let (mut stream, _) = service.accept().await.unwrap();
            assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
            stream
        };
        asked().await.write_all(ill).await.unwrap();
        let state = |cluster: &Arc<Cluster>| cluster.members().first().map(|member| member.endpoint.state());
        let unhealthy = async {
            while state(&old) != Some(State::Unhealthy) {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), unhealthy).await.expect("it is known to be unhealthy");

        // Another one asks, and before it is answered the rules change: nobody is to check any more.
        let late = tokio::spawn(check(old.clone(), connector));
        let mut asking = asked().await;
        let new = clusters.adopt(("orders", "v1"), &plain).unwrap();
        assert_eq!((state(&new), state(&old)), (Some(State::Up), Some(State::Up)), "what was found out is forgotten");
        asking.write_all(ill).await.unwrap();
        timeout(Duration::from_secs(10), late).await.expect("it ends").unwrap();
        assert_eq!(state(&new), Some(State::Up), "what is found out too late is taken back");
    }

    #[test]
    fn only_several_answers_in_a_row_change_anything() {
        let probe = Probe { healthy: 2, unhealthy: 3, ..Probe::default() };
        let mut streak = Streak::default();
        let said: Vec<_> =
            [false, false, true, false, false, false, true, true].map(|one| streak.add(one, &probe)).into();
        assert_eq!(said, [None, None, None, None, None, Some(false), None, Some(true)]);
    }
}
