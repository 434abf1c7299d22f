//! Looking names up, again and again: the addresses of a name, or the SRV records (RFC 2782) that say what its endpoints
//! are. What cannot be looked up is as it was.

use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use http::Uri;
use http::uri::{Authority, Scheme};
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::time::{sleep, timeout};

use super::cluster::{Cluster, Member, chance};
use super::endpoint::Place;
use super::registry::{authority, found};
use crate::rules::upstream::{Source, is_link_local};

/// How long a name server may take; each is asked twice.
const PATIENCE: Duration = Duration::from_secs(1);
/// How soon a name is looked up again that was never found.
const SOON: Duration = Duration::from_secs(1);
/// Endpoints of one name.
const MOST: usize = 1000;

/// Looks a cluster's name up for as long as it lives.
pub(super) async fn follow(cluster: Arc<Cluster>, resolver: Resolver) {
    loop {
        refresh(&cluster, &resolver).await;
        let every = cluster.policy.resolve;
        sleep(if cluster.members().is_empty() { every.min(SOON) } else { every }).await;
    }
}

/// Looks a cluster's name up. What is found replaces what was known; where nothing is, that stays.
pub(super) async fn refresh(cluster: &Cluster, resolver: &Resolver) {
    let _turn = cluster.looking.lock().await;
    let looked_up = match &cluster.upstream.source {
        Source::Fixed(_) => return,
        Source::Dns(name) => resolver.by_addresses(name, cluster.upstream.host.as_ref()).await,
        Source::Srv(name) => resolver.by_services(name, cluster.upstream.host.as_ref()).await,
    };
    let problem = match looked_up {
        Ok(places) if places.is_empty() => Some("it has no address".to_owned()),
        Ok(places) => {
            let old = cluster.members();
            let places = places.into_iter().take(MOST);
            let members: Vec<Member> = places.filter_map(|(place, share)| found(place, share, Some(&old))).collect();
            let is_same = members.len() == old.len()
                && members.iter().zip(old.iter()).all(|(one, other)| {
                    (one.endpoint.id, one.weight, one.priority) == (other.endpoint.id, other.weight, other.priority)
                });
            if !is_same {
                let names: Vec<&str> = members.iter().map(|member| member.endpoint.name()).collect();
                let (service, version) = (&cluster.service, &cluster.version);
                tracing::info!(service, version, endpoints = names.join(" "), "the service's addresses");
                cluster.replace(members);
            }
            None
        }
        Err(error) => Some(error.to_string()),
    };
    let mut resolution = cluster.resolution.lock().unwrap_or_else(PoisonError::into_inner);
    resolution.at = Some(SystemTime::now());
    if let Some(problem) = problem.as_ref().filter(|problem| resolution.problem.as_ref() != Some(problem)) {
        let name = cluster.upstream.told();
        tracing::warn!(cluster.service, cluster.version, name, problem, "cannot be looked up; what was known goes on");
    }
    resolution.problem = problem;
}

/// An endpoint's place, weight and priority.
type Found = (Place, (u32, u16));

/// Whom to ask.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    /// None: addresses are looked up as the system does, services at the name servers that it knows.
    servers: Arc<[SocketAddr]>,
}

impl Resolver {
    pub(super) fn new(servers: &[SocketAddr]) -> Self {
        Self { servers: servers.into() }
    }

    /// Every address of a name.
    async fn by_addresses(&self, name: &Uri, host: Option<&Authority>) -> Result<Vec<Found>> {
        let scheme = name.scheme().cloned().unwrap_or(Scheme::HTTP);
        let port = name.port_u16().unwrap_or(if scheme == Scheme::HTTPS { 443 } else { 80 });
        let own = name.authority().ok_or(ErrorKind::InvalidInput)?;
        let addresses = self.addresses(own.host(), port).await?;
        let place = |address| {
            let host = host.unwrap_or(own).clone();
            Some((Place { scheme: scheme.clone(), reach: authority(address)?, host }, (1, 0)))
        };
        Ok(addresses.into_iter().filter_map(place).collect())
    }

    /// Every address of the targets of a name's services.
    async fn by_services(&self, name: &Uri, host: Option<&Authority>) -> Result<Vec<Found>> {
        let scheme = name.scheme().cloned().unwrap_or(Scheme::HTTP);
        let mut found: Vec<Found> = Vec::new();
        let mut problem = None;
        for service in self.services(name.host().unwrap_or_default()).await? {
            let own = format!("{}:{}", service.target, service.port).parse::<Authority>();
            let Ok(own) = own else { continue };
            let addresses = match self.addresses(&service.target, service.port).await {
                Ok(addresses) => addresses,
                // The others are there all the same.
                Err(error) => {
                    problem = Some(error);
                    continue;
                }
            };
            for reach in addresses.into_iter().filter_map(authority) {
                let place = Place { scheme: scheme.clone(), reach, host: host.unwrap_or(&own).clone() };
                if !found.iter().any(|(known, _)| *known == place) {
                    found.push((place, (u32::from(service.weight).max(1), service.priority)));
                }
            }
        }
        match problem {
            Some(problem) if found.is_empty() => Err(problem),
            _ => Ok(found),
        }
    }

    /// The addresses of a host, in order, but none that would reach the machine's own metadata services.
    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>> {
        let mut addresses: Vec<SocketAddr> = if let Ok(address) = host.parse::<IpAddr>() {
            vec![(address, port).into()]
        } else if self.servers.is_empty() {
            lookup_host((host, port)).await?.collect()
        } else {
            let four = self.query(host, TYPE::A, |data| match data {
                RData::A(a) => Some(IpAddr::V4(Ipv4Addr::from(a.address))),
                _ => None,
            });
            let six = self.query(host, TYPE::AAAA, |data| match data {
                RData::AAAA(a) => Some(IpAddr::V6(Ipv6Addr::from(a.address))),
                _ => None,
            });
            let (four, six) = tokio::join!(four, six);
            let all = match (four, six) {
                (Ok(four), Ok(six)) => [four, six].concat(),
                (Ok(some), Err(_)) | (Err(_), Ok(some)) if !some.is_empty() => some,
                (Err(error), _) | (_, Err(error)) => return Err(error),
            };
            all.into_iter().map(|address| (address, port).into()).collect()
        };
        addresses.retain(|address| {
            let is_fine = !is_link_local(address.ip());
            if !is_fine {
                tracing::warn!(host, %address, "a name of a service leads to a link-local address; it is not used");
            }
            is_fine
        });
        addresses.sort_unstable();
        addresses.dedup();
        Ok(addresses)
    }

    async fn services(&self, name: &str) -> Result<Vec<Service>> {
        let mut services = self
            .query(name, TYPE::SRV, |data| match data {
                RData::SRV(srv) => Some(Service {
                    priority: srv.priority,
                    weight: srv.weight,
                    port: srv.port,
                    target: srv.target.to_string().trim_end_matches('.').to_owned(),
                }),
                _ => None,
            })
            .await?;
        // A target that is the root says that there is no such service.
        services.retain(|service| !service.target.is_empty() && service.port != 0);
        services.sort_unstable();
        Ok(services)
    }

    /// What records of one kind say of a name.
    async fn query<T>(&self, name: &str, kind: TYPE, read: impl Fn(&RData<'_>) -> Option<T>) -> Result<Vec<T>> {
        let servers = if self.servers.is_empty() { system_servers().await? } else { self.servers.to_vec() };
        let mut problem = Error::new(ErrorKind::NotFound, "there is no name server to ask");
        for server in servers.iter().chain(&servers) {
            match timeout(PATIENCE, ask(*server, name, kind, &read)).await {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(error)) if error.kind() == ErrorKind::NotFound => return Err(error),
                Ok(Err(error)) => problem = error,
                Err(_) => problem = Error::new(ErrorKind::TimedOut, format!("{server} does not answer")),
            }
        }
        Err(problem)
    }
}

/// What one SRV record says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Service {
    priority: u16,
    weight: u16,
    port: u16,
    target: String,
}

/// The name servers that the system knows.
async fn system_servers() -> Result<Vec<SocketAddr>> {
    let text = tokio::fs::read(Path::new("/etc/resolv.conf")).await?;
    let config = resolv_conf::Config::parse(&text).map_err(Error::other)?;
    Ok(config
        .get_nameservers_or_local()
        .into_iter()
        .map(|server| SocketAddr::from((IpAddr::from(server), 53)))
        .collect())
}

/// Asks one name server, once (RFC 1035).
async fn ask<T>(server: SocketAddr, name: &str, kind: TYPE, read: impl Fn(&RData<'_>) -> Option<T>) -> Result<Vec<T>> {
    let wrong = |error: simple_dns::SimpleDnsError| Error::new(ErrorKind::InvalidData, format!("{name}: {error:?}"));
    let mut query =
        Packet::new_query(chance().to_be_bytes().into_iter().skip(6).fold(0, |id, byte| id << 8 | u16::from(byte)));
    query.set_flags(PacketFlag::RECURSION_DESIRED);
    query.questions.push(Question::new(Name::new(name).map_err(wrong)?, kind.into(), CLASS::IN.into(), false));
    let asked = query.build_bytes_vec().map_err(wrong)?;

    // Each question from a port of its own, which only this server can answer.
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(&asked).await?;
    let mut buffer = vec![0; 64 << 10];
    let mut answer;
    loop {
        let length = socket.recv(&mut buffer).await?;
        answer = buffer.get(..length).unwrap_or_default();
        // An answer to something else is none to this.
        match Packet::parse(answer) {
            Ok(packet) if packet.id() == query.id() && packet.has_flags(PacketFlag::RESPONSE) => {
                if packet.has_flags(PacketFlag::TRUNCATION) {
                    break;
                }
                return records(name, &packet, &read);
            }
            _ => {}
        }
    }
    let mut stream = TcpStream::connect(server).await?;
    stream.write_u16(u16::try_from(asked.len()).map_err(Error::other)?).await?;
    stream.write_all(&asked).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; length.into()];
    stream.read_exact(&mut answer).await?;
    records(name, &Packet::parse(&answer).map_err(wrong)?, &read)
}

fn records<T>(name: &str, packet: &Packet<'_>, read: impl Fn(&RData<'_>) -> Option<T>) -> Result<Vec<T>> {
    match packet.rcode() {
        RCODE::NoError => Ok(packet.answers.iter().filter_map(|record| read(&record.rdata)).collect()),
        RCODE::NameError => Err(Error::new(ErrorKind::NotFound, format!("there is no name {name}"))),
        other => Err(Error::other(format!("the name server answers {other:?} for {name}"))),
    }
}
