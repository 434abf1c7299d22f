//! Endpoints that are looked up, and endpoints that are asked whether they are well.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bifocal::settings::Value;
use simple_dns::rdata::{A, RData, SRV};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};
use tokio::net::{TcpListener, UdpSocket};

use super::endpoints::{becomes, endpoints, moody, one, told};
use super::support::*;

/// What a name server knows: addresses of names, and services (priority, weight, port, target).
#[derive(Debug, Default, Clone)]
struct Zone {
    addresses: HashMap<String, Vec<Ipv4Addr>>,
    services: HashMap<String, Vec<(u16, u16, u16, String)>>,
    is_broken: bool,
}

/// A name server on the loopback address.
struct Names {
    addr: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    asked: Arc<std::sync::atomic::AtomicUsize>,
}

impl Names {
    async fn start(zone: Zone) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        let (zone, asked) = (Arc::new(Mutex::new(zone)), Arc::default());
        let names = Self { addr, zone: zone.clone(), asked: Arc::clone(&asked) };
        tokio::spawn(async move {
            let mut buffer = [0; 2048];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let answer = answer(&buffer[..length], &zone.lock().unwrap().clone());
                asked.fetch_add(1, Ordering::SeqCst);
                let _ = socket.send_to(&answer, from).await;
            }
        });
        names
    }

    fn change(&self, change: impl FnOnce(&mut Zone)) {
        change(&mut self.zone.lock().unwrap());
    }

    /// Until everything has been asked for again after this.
    async fn is_asked_again(&self) {
        let before = self.asked.load(Ordering::SeqCst);
        eventually(|| async { (self.asked.load(Ordering::SeqCst) > before + 4).then_some(()) }).await;
    }
}

fn answer(query: &[u8], zone: &Zone) -> Vec<u8> {
    let query = Packet::parse(query).unwrap();
    let question = &query.questions[0];
    let name = question.qname.to_string();
    let mut reply = Packet::new_reply(query.id());
    reply.set_flags(PacketFlag::RECURSION_AVAILABLE);
    reply.questions.push(question.clone());
    let mut add = |data| reply.answers.push(ResourceRecord::new(question.qname.clone(), CLASS::IN, 1, data));
    let is_known = zone.addresses.contains_key(&name) || zone.services.contains_key(&name);
    match question.qtype {
        QTYPE::TYPE(TYPE::A) => {
            for address in zone.addresses.get(&name).into_iter().flatten() {
                add(RData::A(A { address: u32::from(*address) }));
            }
        }
        QTYPE::TYPE(TYPE::SRV) => {
            for (priority, weight, port, to) in zone.services.get(&name).into_iter().flatten() {
                let target = Name::new(to).unwrap().into_owned();
                add(RData::SRV(SRV { priority: *priority, weight: *weight, port: *port, target }));
            }
        }
        _ => {}
    }
    if zone.is_broken {
        *reply.rcode_mut() = RCODE::ServerFailure;
    } else if !is_known {
        *reply.rcode_mut() = RCODE::NameError;
    }
    reply.build_bytes_vec().unwrap()
}

/// Services on several addresses with one port.
async fn on_one_port<const N: usize>(addrs: [&str; N]) -> [Service; N] {
    loop {
        let probe = TcpListener::bind((addrs[0], 0)).await.unwrap();
        let port = probe.local_addr().unwrap().port();
        drop(probe);
        let all = addrs.map(|addr| SocketAddr::new(addr.parse().unwrap(), port));
        // Another test may have one of them by now.
        if all.iter().all(|addr| std::net::TcpListener::bind(addr).is_ok()) {
            let mut services = Vec::new();
            for addr in all {
                services.push(Service::start_at(addr, |_| json("{}")).await);
            }
            return services.try_into().ok().expect("as many as addresses");
        }
    }
}

async fn ask_often(gateway: &Gateway, count: usize) {
    for _ in 0..count {
        let answer = gateway.ask("GET /v1/a", &[], b"").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

fn at(names: &Names) -> Vec<(&'static str, Value)> {
    vec![("upstream_defaults.resolvers", Value::from(vec![names.addr.to_string()]))]
}

#[tokio::test]
async fn every_address_of_a_name_is_an_endpoint_for_as_long_as_it_has_it() {
    let services = on_one_port(["127.0.0.2", "127.0.0.3"]).await;
    let port = services[0].addr.port();
    let host = "orders.test".to_owned();
    let addresses = |list: &[[u8; 4]]| list.iter().map(|four| Ipv4Addr::from(*four)).collect::<Vec<_>>();
    let names =
        Names::start(Zone { addresses: [(host.clone(), addresses(&[[127, 0, 0, 2]]))].into(), ..Zone::default() })
            .await;
    let upstream = format!("dns: \"http://{host}:{port}\", resolve: 20ms, balance: round_robin");
    let gateway = Gateway::start(&one(&upstream), at(&names)).await;
    // Known before the first request.
    ask_often(&gateway, 4).await;
    let seen = services[0].take();
    assert_eq!(seen.len(), 4);
    assert_eq!(seen[0].header("host"), format!("{host}:{port}"));

    names.change(|zone| drop(zone.addresses.insert(host.clone(), addresses(&[[127, 0, 0, 2], [127, 0, 0, 3]]))));
    becomes(&gateway, services[1].addr, "up").await;
    ask_often(&gateway, 4).await;
    assert_eq!((services[0].take().len(), services[1].take().len()), (2, 2));

    names.change(|zone| drop(zone.addresses.insert(host.clone(), addresses(&[[127, 0, 0, 3]]))));
    eventually(|| async { told(&gateway, services[0].addr).await.is_null().then_some(()) }).await;
    ask_often(&gateway, 4).await;
    assert_eq!((services[0].take().len(), services[1].take().len()), (0, 4));

    // What cannot be looked up, has no address, or only one that must not be asked, is as it was.
    let broken: [fn(&mut Zone); 4] = [
        |zone| zone.is_broken = true,
        |zone| zone.addresses.clear(),
        |zone| drop(zone.addresses.insert("orders.test".to_owned(), Vec::new())),
        |zone| drop(zone.addresses.insert("orders.test".to_owned(), vec![Ipv4Addr::new(169, 254, 169, 254)])),
    ];
    for change in broken {
        names.change(|zone| {
            zone.is_broken = false;
            change(zone);
        });
        names.is_asked_again().await;
        ask_often(&gateway, 2).await;
        assert_eq!(services[1].take().len(), 2);
        let told = ask(gateway.admin, "GET /upstreams", &[], b"").await.json();
        assert!(told["upstreams"][0]["looked_up"]["problem"].is_string(), "{told}");
    }
}

#[tokio::test]
async fn services_have_priorities_and_weights() {
    let services = [
        Service::start(|_| json("{}")).await,
        Service::start(|_| json("{}")).await,
        Service::start(|_| json("{}")).await,
    ];
    let port = |at: usize| services[at].addr.port();
    let name = "_orders._tcp.test".to_owned();
    let list = vec![
        (10, 3, port(0), "a.test".to_owned()),
        (10, 1, port(1), "a.test".to_owned()),
        (20, 1, port(2), "a.test".to_owned()),
    ];
    let names = Names::start(Zone {
        addresses: [("a.test".to_owned(), vec![Ipv4Addr::LOCALHOST])].into(),
        services: [(name.clone(), list)].into(),
        is_broken: false,
    })
    .await;
    let upstream = format!("srv: \"http://{name}\", resolve: 20ms, balance: round_robin");
    let gateway = Gateway::start(&one(&upstream), at(&names)).await;
    ask_often(&gateway, 8).await;
    let seen = services.each_ref().map(Service::take);
    assert_eq!(seen.each_ref().map(Vec::len), [6, 2, 0]);
    assert_eq!(seen[0][0].header("host"), format!("a.test:{}", port(0)));

    names.change(|zone| zone.services.get_mut(&name).unwrap().retain(|one| one.0 == 20));
    eventually(|| async { told(&gateway, services[0].addr).await.is_null().then_some(()) }).await;
    ask_often(&gateway, 3).await;
    assert_eq!(services.each_ref().map(|service| service.take().len()), [0, 0, 3]);
}

#[tokio::test]
async fn endpoints_are_asked_whether_they_are_well() {
    let ((first, first_mood), (second, second_mood)) = (moody().await, moody().await);
    let upstream = endpoints(&[first.addr, second.addr])
        + ", eject: off, health: {path: /healthz, every: 20ms, timeout: 20ms, healthy: 2, unhealthy: 2}";
    let gateway = Gateway::start(&one(&upstream), vec![]).await;
    let orders = |service: &Service| service.take().iter().filter(|seen| seen.uri.path() != "/healthz").count();
    eventually(|| async {
        first.take().iter().any(|seen| seen.uri.path() == "/healthz" && !seen.header("host").is_empty()).then_some(())
    })
    .await;
    ask_often(&gateway, 10).await;

    first_mood.store(false, Ordering::SeqCst);
    becomes(&gateway, first.addr, "unhealthy").await;
    orders(&first);
    ask_often(&gateway, 10).await;
    assert_eq!(orders(&first), 0);

    second_mood.store(false, Ordering::SeqCst);
    becomes(&gateway, second.addr, "unhealthy").await;
    let answer = gateway.ask("GET /v1/a", &[], b"").await;
    assert_eq!(
        (answer.status, answer.code().as_str(), answer.header("retry-after")),
        (503, "upstream_unavailable", "1")
    );

    first_mood.store(true, Ordering::SeqCst);
    becomes(&gateway, first.addr, "up").await;
    ask_often(&gateway, 4).await;

    // Without checks nobody is unwell.
    std::fs::write(gateway.rules("orders/service.yaml"), &one(&endpoints(&[first.addr, second.addr]))[0].1).unwrap();
    assert_eq!(gateway.reload().await.0, 200);
    assert_eq!(told(&gateway, second.addr).await["state"], "up");
}
