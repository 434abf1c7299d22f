//! TLS and credentials of `RabbitMQ`: who is right gets in, and everybody else is told why not.

use std::path::Path;
use std::time::Duration;

use bifocal::messaging::broker::{Broker, Lost};
use bifocal::messaging::brokers::amqp::{Amqp, Settings};
use bifocal::messaging::brokers::{Secret, Tls};
use bifocal::rules::channel::Address;
use tokio::time::timeout;

use super::super::gateway::authority::Authority;
use super::broker_process::{Kind, More, Process};
use super::{message, queue, text};

/// A folder with `ca.pem`, `other-ca.pem`, and certificates of the first: `server` for localhost and `client` for a user.
/// `stranger` is the other one's.
pub(super) fn certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (authority, other) = (Authority::new("test authority"), Authority::new("another authority"));
    std::fs::write(at.join("ca.pem"), &authority.pem).unwrap();
    std::fs::write(at.join("other-ca.pem"), &other.pem).unwrap();
    authority.issue(&["localhost"]).write(at, "server");
    authority.issue(&["bifocal"]).write(at, "client");
    authority.issue(&["nobody"]).write(at, "unknown");
    other.issue(&["bifocal"]).write(at, "stranger");
    folder
}

/// Trusts an authority and, perhaps, shows a certificate.
pub(super) fn tls(folder: &Path, ca: &str, own: Option<&str>) -> Tls {
    let file = |name: &str| folder.join(name);
    Tls {
        ca: Some(file(&format!("{ca}.pem"))),
        identity: own.map(|name| (file(&format!("{name}.pem")), file(&format!("{name}.key")))),
    }
}

/// Publishes a message and reads it again.
pub(super) async fn there_and_back(broker: &dyn Broker, at: &Address) -> Result<(), Lost> {
    broker.make(at).await?;
    let mut sink = broker.sink().await?;
    let confirm = sink.enqueue(at, message("1", None, "hello"), None).await?;
    confirm.await.map_err(|why| Lost(why.to_string()))?;
    let mut source = broker.source(at, "reader", 1).await?;
    let one = timeout(Duration::from_secs(20), source.next()).await.unwrap()?;
    assert_eq!(text(&one.message), "hello");
    one.settle.done().await
}

/// Somebody who must not get in: why not, in so many words, and without the secret.
pub(super) async fn refused(broker: &dyn Broker, at: &Address, words: &str) {
    let Err(Lost(why)) = timeout(Duration::from_secs(30), there_and_back(broker, at)).await.unwrap() else {
        panic!("somebody got in who should have been told: {words}")
    };
    assert!(why.contains(words), "{why}");
    assert!(!why.contains("secret"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq_by_tls() {
    let folder = certificates();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let lines = format!(
        "ssl_options.cacertfile = {}\nssl_options.certfile = {}\nssl_options.keyfile = {}\n\
         ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = false\n\
         auth_mechanisms.1 = PLAIN\nauth_mechanisms.2 = EXTERNAL\n\
         ssl_cert_login_from = subject_alternative_name\nssl_cert_login_san_type = dns\n\
         default_user = bifocal\ndefault_pass = the secret\n",
        file("ca.pem"),
        file("server.pem"),
        file("server.key")
    );
    let more = More { lines, plugins: "rabbitmq_auth_mechanism_ssl", is_secured: true, ..More::default() };
    let Some(process) = Process::start_with(Kind::Rabbit, more) else { return };
    let client = |host: &str, password: Option<&str>, tls: Tls| {
        Amqp::new(Settings {
            urls: vec![format!("amqps://{host}:{}/%2f", process.port)],
            username: password.map(|_| "bifocal".to_owned()),
            password: password.map(Secret::new),
            external: password.is_none(),
            tls,
            ..Settings::default()
        })
    };
    let (right, folder) = (Some("the secret"), folder.path());
    let at = queue("secured");
    there_and_back(&client("localhost", right, tls(folder, "ca", None)), &at).await.unwrap();
    // With a certificate that says who we are, and no password.
    there_and_back(&client("localhost", None, tls(folder, "ca", Some("client"))), &at).await.unwrap();

    refused(&client("localhost", right, tls(folder, "other-ca", None)), &at, "UnknownIssuer").await;
    refused(&client("127.0.0.1", right, tls(folder, "ca", None)), &at, "not valid for name").await;
    refused(&client("localhost", Some("wrong secret"), tls(folder, "ca", None)), &at, "the broker refuses us").await;
    refused(&client("localhost", None, tls(folder, "ca", Some("unknown"))), &at, "the broker refuses us").await;
    refused(&client("localhost", None, tls(folder, "ca", None)), &at, "the broker refuses us").await;
    refused(&client("localhost", None, tls(folder, "ca", Some("stranger"))), &at, "the broker").await;
    refused(&client("localhost", right, tls(folder, "missing", None)), &at, "missing.pem").await;
}
