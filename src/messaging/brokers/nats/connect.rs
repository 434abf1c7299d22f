//! Connections that end when they are lost.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::{Client, ConnectOptions, Event};
use tokio::sync::watch;
use tokio::time::timeout;

use super::super::super::broker::Lost;
use super::answers::Answers;
use super::{Identity, Settings};

/// How long the server may take to answer what is asked of it. For confirmations flows wait as long as `messages.confirm`
/// says, and no longer than about this.
pub(super) const ANSWER: Duration = Duration::from_secs(60);

/// A connection that is there until it is dropped.
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) context: Context,
    /// What was asked over it.
    pub(super) answers: Answers,
    lost: watch::Receiver<bool>,
}

impl fmt::Debug for Link {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Link")
    }
}

impl Link {
    pub(super) async fn open(settings: &Settings, name: &str) -> Result<Arc<Self>, Lost> {
        let opened = timeout(settings.patience, connect(settings, name)).await;
        opened.unwrap_or_else(|_| Err(Lost("the server did not answer in time".to_owned()))).map(Arc::new)
    }

    /// Whether something new may use it.
    pub(super) fn is_good(&self) -> bool {
        !*self.lost.borrow()
    }

    /// Resolves when it is lost.
    pub(super) fn lost(&self) -> impl Future<Output = ()> + Send + 'static {
        until(self.lost.clone())
    }
}

async fn until(mut lost: watch::Receiver<bool>) {
    // One whose other end is gone is lost too.
    let _ = lost.wait_for(|lost| *lost).await;
}

async fn connect(settings: &Settings, name: &str) -> Result<Link, Lost> {
    let (say, lost) = watch::channel(false);
    let say = Arc::new(say);
    let options = ConnectOptions::new().name(name).connection_timeout(settings.patience).request_timeout(Some(ANSWER));
    let options = match &settings.identity {
        Identity::None => options,
        Identity::User { name, password } => options.user_and_password(name.clone(), password.reveal().to_owned()),
        Identity::Token(token) => options.token(token.reveal().to_owned()),
        Identity::Nkey(seed) => options.nkey(seed.reveal().to_owned()),
        Identity::File(path) => {
            options.credentials_file(path).await.map_err(|error| Lost::when(&path.display().to_string(), error))?
        }
    };
    let is_secured = settings.tls.identity.is_some()
        || settings.tls.ca.is_some()
        || settings.urls.iter().any(|url| url.starts_with("tls://"));
    let options =
        if is_secured { options.require_tls(true).tls_client_config(settings.tls.config().await?) } else { options };
    let options = options
        // Silence that long, twice, is a lost connection.
        .ping_interval(Duration::from_secs(10))
        .event_callback(move |event| {
            if matches!(event, Event::Disconnected | Event::Closed | Event::LameDuckMode) {
                say.send_replace(true);
            }
            std::future::ready(())
        });
    let addresses: Result<Vec<async_nats::ServerAddr>, _> = settings.urls.iter().map(|url| url.parse()).collect();
    let addresses = addresses.map_err(|error| Lost::when("the server's URL", error))?;
    let client = options.connect(addresses).await.map_err(|error| Lost::when("the server cannot be reached", error))?;
    let context = ContextBuilder::new().timeout(ANSWER).ack_timeout(ANSWER).max_ack_inflight(1 << 20);
    let context = context.build(client.clone());
    let answers = Answers::open(client.clone(), until(lost.clone())).await;
    let answers = answers.map_err(|error| Lost::when("answers of the server", error))?;
    Ok(Link { client, context, answers, lost })
}
