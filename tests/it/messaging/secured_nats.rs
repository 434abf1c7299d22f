//! TLS and credentials of NATS: passwords, tokens, certificates, nkeys, and files of credentials.

#![expect(clippy::indexing_slicing, reason = "six bits are always a digit")]

use std::path::Path;

use bifocal::messaging::brokers::nats::{Identity, Nats, Settings};
use bifocal::messaging::brokers::{Secret, Tls};
use nkeys::KeyPair;
use serde_json::json;

use super::broker_process::{Kind, More, Process};
use super::contract::subject;
use super::secured::{certificates, refused, there_and_back, tls};

fn start(lines: String) -> Option<Process> {
    Process::start_with(Kind::Nats, More { lines, ..More::default() })
}

fn client(scheme: &str, host: &str, port: u16, identity: Identity, tls: Tls) -> Nats {
    Nats::new(Settings { urls: vec![format!("{scheme}://{host}:{port}")], identity, tls, ..Settings::default() })
}

fn user(password: &str) -> Identity {
    Identity::User { name: "bifocal".to_owned(), password: Secret::new(password) }
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_by_tls_and_password() {
    let folder = certificates();
    let folder = folder.path();
    let file = |name: &str| folder.join(name).display().to_string();
    let lines = format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", timeout: 10 }}\nauthorization {{ user: bifocal, password: \"the secret\" }}",
        file("server.pem"),
        file("server.key")
    );
    let Some(process) = start(lines) else { return };
    let client = |host: &str, identity, tls| client("tls", host, process.port, identity, tls);
    let at = subject("secured");
    there_and_back(&client("localhost", user("the secret"), tls(folder, "ca", None)), &at).await.unwrap();
    refused(&client("localhost", user("the secret"), tls(folder, "other-ca", None)), &at, "UnknownIssuer").await;
    refused(&client("127.0.0.1", user("the secret"), tls(folder, "ca", None)), &at, "not valid for name").await;
    refused(&client("localhost", user("wrong secret"), tls(folder, "ca", None)), &at, "authorization violation").await;
    refused(&client("localhost", Identity::None, tls(folder, "ca", None)), &at, "authorization violation").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_by_client_certificates() {
    let folder = certificates();
    let folder = folder.path();
    let file = |name: &str| folder.join(name).display().to_string();
    let lines = format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify_and_map: true, timeout: 10 }}\n\
         authorization {{ users: [ {{ user: bifocal }} ] }}",
        file("server.pem"),
        file("server.key"),
        file("ca.pem")
    );
    let Some(process) = start(lines) else { return };
    let client = |own| client("tls", "localhost", process.port, Identity::None, tls(folder, "ca", own));
    let at = subject("secured");
    there_and_back(&client(Some("client")), &at).await.unwrap();
    refused(&client(Some("unknown")), &at, "authorization violation").await;
    refused(&client(Some("stranger")), &at, "the server cannot be reached").await;
    refused(&client(None), &at, "the server cannot be reached").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_by_token() {
    let Some(process) = start("authorization { token: \"the secret\" }".to_owned()) else { return };
    let client =
        |token: &str| client("nats", "127.0.0.1", process.port, Identity::Token(Secret::new(token)), Tls::default());
    there_and_back(&client("the secret"), &subject("secured")).await.unwrap();
    refused(&client("wrong secret"), &subject("secured"), "authorization violation").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_by_nkey() {
    let (right, wrong) = (KeyPair::new_user(), KeyPair::new_user());
    let lines = format!("authorization {{ users: [ {{ nkey: {} }} ] }}", right.public_key());
    let Some(process) = start(lines) else { return };
    let client =
        |seed: &str| client("nats", "127.0.0.1", process.port, Identity::Nkey(Secret::new(seed)), Tls::default());
    there_and_back(&client(&right.seed().unwrap()), &subject("secured")).await.unwrap();
    refused(&client(&wrong.seed().unwrap()), &subject("secured"), "authorization violation").await;
    refused(&client("no secret seed"), &subject("secured"), "the server cannot be reached").await;
}

/// Base64 as URLs and NATS's tokens have it.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - chunk.len()));
        out.extend((0..=chunk.len()).map(|digit| char::from(DIGITS[bits >> (18 - 6 * digit) & 63])));
    }
    out
}

/// A token by which one key vouches for another.
fn vouched(by: &KeyPair, who: &KeyPair, what: &serde_json::Value) -> String {
    let head = base64(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let claims = json!({
        "jti": who.public_key(), "iat": 1_700_000_000, "iss": by.public_key(), "name": "test", "sub": who.public_key(),
        "nats": what,
    });
    let signed = format!("{head}.{}", base64(claims.to_string().as_bytes()));
    let signature = base64(&by.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

fn credentials(path: &Path, token: &str, of: &KeyPair) {
    let text = format!(
        "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        of.seed().unwrap()
    );
    std::fs::write(path, text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_by_a_file_of_credentials() {
    let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
    let (user, stranger, system) = (KeyPair::new_user(), KeyPair::new_account(), KeyPair::new_account());
    let unlimited = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    });
    let of_account = json!({"type": "account", "version": 2, "limits": unlimited});
    let of_system =
        json!({"type": "account", "version": 2, "limits": {"subs": -1, "data": -1, "payload": -1, "conn": -1}});
    let of_user = json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1});
    let lines = format!(
        "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{\n{}: {}\n{}: {}\n}}",
        vouched(&operator, &operator, &json!({"type": "operator", "version": 2})),
        system.public_key(),
        system.public_key(),
        vouched(&operator, &system, &of_system),
        account.public_key(),
        vouched(&operator, &account, &of_account)
    );
    let Some(process) = start(lines) else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    credentials(&file("right"), &vouched(&account, &user, &of_user), &user);
    credentials(&file("wrong"), &vouched(&stranger, &user, &of_user), &user);
    let client = |name: &str| client("nats", "127.0.0.1", process.port, Identity::File(file(name)), Tls::default());
    there_and_back(&client("right"), &subject("secured")).await.unwrap();
    refused(&client("wrong"), &subject("secured"), "authorization violation").await;
    refused(&client("missing"), &subject("secured"), "missing").await;
}
