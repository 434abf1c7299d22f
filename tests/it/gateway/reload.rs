//! Rules change while the gateway serves.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bifocal::settings::Value;

use super::support::*;

/// A service `name` that answers below `/name` and translates the member `old` to `new`.
fn renaming(name: &str, addr: SocketAddr, new: &str) -> Vec<(String, String)> {
    vec![
        (
            format!("{name}/service.yaml"),
            format!(
                "match: {{paths: [/{name}]}}\nversions:\n  v1: {{}}\n  v2: {{upstream: \"http://{addr}\"}}\ndefault: v1\n\
                 negotiate: [{{header: V}}]\n"
            ),
        ),
        (
            format!("{name}/v1-v2.yaml"),
            format!(
                "routes:\n  - POST /{name} = POST /{name}: {{request: [body.old = body.{new}], 2XX: [body.old = body.{new}]}}\n"
            ),
        ),
    ]
}

async fn start(services: &[Vec<(String, String)>], flags: Vec<(&'static str, Value)>) -> Gateway {
    let rules: Vec<(&str, String)> =
        services.iter().flatten().map(|(path, text)| (path.as_str(), text.clone())).collect();
    Gateway::start(&rules, flags).await
}

/// The member's name at the service, for callers of `service` now.
async fn name_at(gateway: &Gateway, service: &Service, name: &str) -> String {
    let answer = gateway.ask(&format!("POST /{name}"), &["Content-Type: application/json"], b"{\"old\":1}").await;
    assert_eq!((answer.status, answer.text()), (200, "{\"old\":1}"), "{answer:?}");
    let seen: serde_json::Value = serde_json::from_str(service.take().last().unwrap().text()).unwrap();
    seen.as_object().unwrap().keys().next().unwrap().clone()
}

#[tokio::test]
async fn a_bad_file_keeps_the_last_good_of_its_service_alone() {
    let service = Service::start(echo).await;
    let mut gateway = start(&[renaming("a", service.addr, "a1"), renaming("b", service.addr, "b1")], vec![]).await;
    assert_eq!(name_at(&gateway, &service, "a").await, "a1");

    write(&gateway.rules("a/v1-v2.yaml"), "routes: [oops");
    gateway.put(&renaming("b", service.addr, "b2"));
    let (status, outcome) = gateway.reload().await;
    assert_eq!((status, &outcome["result"], &outcome["generation"]), (422, &"partial".into(), &2.into()));
    assert_eq!(
        (&outcome["services"]["a"]["state"], &outcome["services"]["b"]["state"]),
        (&"kept".into(), &"accepted".into())
    );
    let finding = &outcome["services"]["a"]["diagnostics"][0];
    assert_eq!((&finding["file"], &finding["severity"]), (&"a/v1-v2.yaml".into(), &"error".into()));
    let files = outcome["services"]["a"]["files"].as_array().unwrap().clone();
    let accepted: Vec<_> =
        files.iter().map(|file| (file["path"].as_str().unwrap(), file["accepted"] == true)).collect();
    assert_eq!(accepted, [("a/service.yaml", true), ("a/v1-v2.yaml", false)]);
    assert_eq!(name_at(&gateway, &service, "a").await, "a1");
    assert_eq!(name_at(&gateway, &service, "b").await, "b2");
    // Nothing has changed, so there is nothing to do but to say so.
    let (status, outcome) = gateway.reload().await;
    assert_eq!((status, &outcome["result"], &outcome["generation"]), (422, &"refused".into(), &2.into()));

    // The last good state of the service survives a restart, the good one of the other is read.
    gateway.stop();
    let folder = gateway.folder.clone();
    assert!(gateway.stopped().await);
    let gateway = Gateway::start_in(folder, vec![]).await;
    assert_eq!(name_at(&gateway, &service, "a").await, "a1");
    assert_eq!(name_at(&gateway, &service, "b").await, "b2");
    let shown = ask(gateway.admin, "GET /generation", &[], b"").await.json();
    assert_eq!(shown["services"]["a"]["state"], "last_good");
    assert_eq!(ask(gateway.admin, "GET /readyz", &[], b"").await.status, 200);

    gateway.put(&renaming("a", service.addr, "a3"));
    let (status, outcome) = gateway.reload().await;
    assert_eq!((status, &outcome["result"]), (200, &"applied".into()));
    assert_eq!(name_at(&gateway, &service, "a").await, "a3");
    assert_eq!(gateway.reload().await.1["result"], "unchanged");
}

#[tokio::test]
async fn a_folder_that_is_gone_takes_its_service_away_only_if_the_rest_is_sound() {
    let service = Service::start(echo).await;
    let gateway = start(&[renaming("a", service.addr, "a1"), renaming("b", service.addr, "b1")], vec![]).await;
    fs::remove_dir_all(gateway.rules("a")).unwrap();
    write(&gateway.rules("b/v1-v2.yaml"), "routes: [oops");
    let (status, outcome) = gateway.reload().await;
    assert_eq!((status, &outcome["services"]["a"]["state"]), (422, &"orphaned".into()));
    assert_eq!(name_at(&gateway, &service, "a").await, "a1");

    gateway.put(&renaming("b", service.addr, "b2"));
    let (status, outcome) = gateway.reload().await;
    assert_eq!((status, outcome["services"].get("a")), (200, None));
    assert_eq!(gateway.ask("POST /a", &[], b"{}").await.status, 404);

    // An empty folder, or none, is a mistake.
    fs::remove_dir_all(gateway.rules("b")).unwrap();
    assert_eq!(gateway.reload().await.0, 422);
    assert_eq!(name_at(&gateway, &service, "b").await, "b2");
    fs::remove_dir_all(gateway.folder.path().join("rules")).unwrap();
    let (status, outcome) = gateway.reload().await;
    assert_eq!(status, 422);
    assert!(outcome["problem"].as_str().unwrap().contains("cannot be read"), "{outcome}");
    assert_eq!(name_at(&gateway, &service, "b").await, "b2");
}

#[tokio::test]
async fn without_any_good_rules_it_is_not_ready_until_they_are_mended() {
    let service = Service::start(echo).await;
    let gateway = Gateway::start(&[("a/service.yaml", "versions: oops".to_owned())], vec![]).await;
    assert_eq!(ask(gateway.admin, "GET /readyz", &[], b"").await.status, 503);
    assert_eq!(ask(gateway.admin, "GET /livez", &[], b"").await.status, 200);
    let answer = gateway.ask("GET /a", &[], b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "not_ready"));
    gateway.put(&renaming("a", service.addr, "a1"));
    assert_eq!(gateway.reload().await.0, 200);
    assert_eq!(ask(gateway.admin, "GET /readyz", &[], b"").await.status, 200);
    assert_eq!(name_at(&gateway, &service, "a").await, "a1");
}

#[tokio::test]
async fn a_newcomer_does_not_take_the_requests_of_a_service_that_serves() {
    let service = Service::start(echo).await;
    let gateway = start(&[renaming("b", service.addr, "b1")], vec![]).await;
    let thief: Vec<_> =
        renaming("a", service.addr, "a1").into_iter().map(|(path, text)| (path, text.replace("/a", "/b"))).collect();
    gateway.put(&thief);
    let (status, outcome) = gateway.reload().await;
    assert_eq!((status, &outcome["services"]["a"]["state"]), (422, &"refused".into()), "{outcome}");
    assert_eq!(name_at(&gateway, &service, "b").await, "b1");
}

#[tokio::test]
async fn services_may_swap_their_requests_and_move_house() {
    let service = Service::start(echo).await;
    let gateway = start(&[renaming("a", service.addr, "a1"), renaming("b", service.addr, "b1")], vec![]).await;
    // Each takes the other's path in one step.
    let swapped: Vec<_> = [renaming("b", service.addr, "was_a"), renaming("a", service.addr, "was_b")]
        .into_iter()
        .flatten()
        .map(|(path, text)| (path.replace("a/", "x/").replace("b/", "a/").replace("x/", "b/"), text))
        .collect();
    gateway.put(&swapped);
    let (status, outcome) = gateway.reload().await;
    assert_eq!(status, 200, "{outcome:#}");
    assert_eq!(name_at(&gateway, &service, "b").await, "was_a");
    // A folder gets another name.
    fs::rename(gateway.rules("a"), gateway.rules("c")).unwrap();
    let (status, outcome) = gateway.reload().await;
    assert_eq!(status, 200, "{outcome:#}");
    assert_eq!(outcome["services"].as_object().unwrap().keys().collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(name_at(&gateway, &service, "b").await, "was_a");
}

/// Watching: quick to settle, slow to poll, so that it is the watcher that is tested.
fn watching() -> Vec<(&'static str, Value)> {
    vec![
        ("reload.watch", Value::from(true)),
        ("reload.settle", Value::from("20ms")),
        ("reload.poll", Value::from("1h")),
    ]
}

async fn until_name(gateway: &Gateway, service: &Service, name: &str) {
    eventually(|| async { (name_at(gateway, service, "a").await == name).then_some(()) }).await;
}

#[tokio::test]
async fn changes_are_seen_however_they_are_made() {
    let service = Service::start(echo).await;
    let gateway = start(&[renaming("a", service.addr, "a1")], watching()).await;
    let file = gateway.rules("a/v1-v2.yaml");
    let text = |name: &str| renaming("a", service.addr, name).pop().unwrap().1;
    assert_eq!(name_at(&gateway, &service, "a").await, "a1");

    fs::write(&file, text("a2")).unwrap();
    until_name(&gateway, &service, "a2").await;
    // As editors do: a new file takes the old one's name.
    fs::write(gateway.rules("a/.v1-v2.yaml.tmp"), text("a3")).unwrap();
    fs::rename(gateway.rules("a/.v1-v2.yaml.tmp"), &file).unwrap();
    until_name(&gateway, &service, "a3").await;
    // In two pieces, with a pause in which the half is read and refused.
    let whole = text("a4");
    let (half, _) = whole.split_at(whole.len() - 12);
    fs::write(&file, half).unwrap();
    eventually(|| async {
        let shown = ask(gateway.admin, "GET /generation", &[], b"").await.json();
        (shown["services"]["a"]["state"] == "kept").then_some(())
    })
    .await;
    assert_eq!(name_at(&gateway, &service, "a").await, "a3");
    fs::write(&file, &whole).unwrap();
    until_name(&gateway, &service, "a4").await;
}

#[tokio::test]
async fn a_mounted_folder_is_swapped_by_a_link() {
    // As Kubernetes mounts a ConfigMap: the files are links through `..data`, which is replaced by a rename.
    let service = Service::start(echo).await;
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mount = folder.path().join("rules/a");
    let publish = |stamp: &str, name: &str| {
        for (path, text) in renaming("a", service.addr, name) {
            write(&mount.join(stamp).join(path.strip_prefix("a/").unwrap()), &text);
        }
        symlink(stamp, mount.join("..data_tmp")).unwrap();
        fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    };
    publish("..2026_1", "a1");
    for name in ["service.yaml", "v1-v2.yaml"] {
        symlink(format!("..data/{name}"), mount.join(name)).unwrap();
    }
    let gateway = Gateway::start_in(folder.clone(), watching()).await;
    assert_eq!(name_at(&gateway, &service, "a").await, "a1");
    publish("..2026_2", "a2");
    fs::remove_dir_all(mount.join("..2026_1")).unwrap();
    until_name(&gateway, &service, "a2").await;
    publish("..2026_3", "a3");
    until_name(&gateway, &service, "a3").await;
}

#[tokio::test]
async fn a_rules_folder_that_is_a_link_may_lead_elsewhere() {
    let service = Service::start(echo).await;
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let release = |number: &str, name: &str| {
        for (path, text) in renaming("a", service.addr, name) {
            write(&folder.path().join(number).join(path), &text);
        }
        symlink(number, folder.path().join("next")).unwrap();
        fs::rename(folder.path().join("next"), folder.path().join("rules")).unwrap();
    };
    release("1", "a1");
    let gateway = Gateway::start_in(folder.clone(), watching()).await;
    assert_eq!(name_at(&gateway, &service, "a").await, "a1");
    release("2", "a2");
    until_name(&gateway, &service, "a2").await;
    // From here on the second folder is the one that is watched.
    write(&folder.path().join("2/a/v1-v2.yaml"), &renaming("a", service.addr, "a3").pop().unwrap().1);
    until_name(&gateway, &service, "a3").await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_watched_is_read_at_intervals() {
    let service = Service::start(echo).await;
    let mut flags = watching();
    flags.push(("reload.poll", Value::from("20ms")));
    let gateway = start(&[], flags).await;
    fs::remove_dir_all(gateway.folder.path().join("rules")).unwrap();
    gateway.put(&renaming("a", service.addr, "a1"));
    eventually(|| async { (ask(gateway.admin, "GET /readyz", &[], b"").await.status == 200).then_some(()) }).await;
    assert_eq!(name_at(&gateway, &service, "a").await, "a1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn reloads_under_load_fail_no_request_and_mix_no_generations() {
    // Each generation renames to a name of its own; the service answers with what it was sent. An exchange whose request
    // and response were translated by different generations would not get its own member back.
    let service = Service::start(echo).await;
    let gateway = Arc::new(start(&[renaming("a", service.addr, "g1")], vec![]).await);
    let over = Arc::new(AtomicBool::new(false));
    let mut callers = Vec::new();
    for _ in 0..8 {
        let (gateway, over) = (gateway.clone(), over.clone());
        callers.push(tokio::spawn(async move {
            let mut asked = 0_u32;
            let mut newest = 0;
            while !over.load(Ordering::Relaxed) {
                let answer = gateway.ask("POST /a", &["Content-Type: application/json"], b"{\"old\":1}").await;
                assert_eq!((answer.status, answer.text()), (200, "{\"old\":1}"), "{answer:?}");
                let generation: u64 = answer.header("bifocal-generation").parse().unwrap();
                assert!(generation >= newest, "{generation} after {newest}");
                newest = generation;
                asked += 1;
            }
            asked
        }));
    }
    for number in 2..=40 {
        gateway.put(&renaming("a", service.addr, &format!("g{number}")));
        let (status, outcome) = gateway.reload().await;
        assert_eq!((status, &outcome["generation"]), (200, &number.into()));
    }
    over.store(true, Ordering::Relaxed);
    let mut asked = 0;
    for caller in callers {
        asked += caller.await.unwrap();
    }
    assert!(asked > 100, "only {asked} requests");
    // The name that the service saw is the generation's own, in every exchange.
    let lines = gateway.access_log(usize::try_from(asked).unwrap()).await;
    assert!(lines.iter().all(|line| line["status"] == 200 && line["outcome"] == "ok"));
}

#[tokio::test]
async fn a_request_in_flight_keeps_its_generation() {
    let (begun, mut begins) = tokio::sync::mpsc::channel(1);
    let release = Arc::new(tokio::sync::Notify::new());
    let released = release.clone();
    let service = Service::start_slow(move |seen| {
        let (begun, released) = (begun.clone(), released.clone());
        async move {
            let _ = begun.send(()).await;
            released.notified().await;
            echo(&seen)
        }
    })
    .await;
    let gateway = Arc::new(start(&[renaming("a", service.addr, "a1")], vec![]).await);
    let asking = {
        let gateway = gateway.clone();
        tokio::spawn(async move { gateway.ask("POST /a", &["Content-Type: application/json"], b"{\"old\":1}").await })
    };
    begins.recv().await.unwrap();
    gateway.put(&renaming("a", service.addr, "a2"));
    assert_eq!(gateway.reload().await.1["generation"], 2);
    release.notify_one();
    let answer = asking.await.unwrap();
    assert_eq!((answer.status, answer.text()), (200, "{\"old\":1}"));
    assert_eq!(answer.header("bifocal-generation"), "1");
    assert!(service.take_one().text().contains("a1"));
}
