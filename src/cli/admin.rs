//! Asking a running gateway at its admin address.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::path::percent;

/// Where a gateway is asked, and with what.
#[derive(Debug, clap::Args)]
pub(super) struct Gateway {
    /// The gateway's admin address, or `unix:` and the path of its socket
    #[arg(long, value_name = "ADDRESS", env = "BIFOCAL_ADMIN", default_value = "127.0.0.1:9901")]
    admin: String,
    /// A file whose first line is a token, after its name if it has one
    #[arg(long = "token-file", value_name = "FILE", env = "BIFOCAL_ADMIN_TOKEN_FILE")]
    token: Option<PathBuf>,
}

/// Enough for an answer of some megabytes over a slow line.
const PATIENCE: Duration = Duration::from_secs(10);

impl Gateway {
    /// Asks, and answers with what came. Blocks.
    ///
    /// # Errors
    /// What went wrong, with the address.
    pub(super) fn ask(&self, method: Method, target: &str, body: String) -> Result<(StatusCode, Bytes), String> {
        let wrong = |reason: String| format!("{}: {reason}", self.admin);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| wrong(error.to_string()))?;
        let token = self.token.as_deref().filter(|path| !path.as_os_str().is_empty()).map(read_token).transpose()?;
        let asked = runtime
            .block_on(async { tokio::time::timeout(PATIENCE, self.exchange(method, target, body, token)).await });
        match asked {
            Ok(answer) => answer.map_err(wrong),
            Err(_) => Err(wrong(format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    }

    /// Asks for what can be looked at there, under these filters where they are given. Blocks.
    ///
    /// # Errors
    /// What went wrong.
    pub(super) fn look(&self, path: &str, filters: &[(&str, Option<&str>)]) -> Result<Value, String> {
        let (status, body) = self.ask(Method::GET, &filtered(path, filters), String::new())?;
        read(status, &body)
    }

    async fn exchange(
        &self,
        method: Method,
        target: &str,
        body: String,
        token: Option<HeaderValue>,
    ) -> Result<(StatusCode, Bytes), String> {
        let address = self.admin.trim_start_matches("http://").trim_end_matches('/');
        let mut request =
            Request::builder().method(method).uri(target).header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, token);
        }
        if let Some(path) = address.strip_prefix("unix:") {
            let request = request.header(header::HOST, "localhost").body(Body::from(body));
            let stream = UnixStream::connect(path).await.map_err(|error| unreached(&error))?;
            return send(stream, request.map_err(|error| error.to_string())?).await;
        }
        let request = request.header(header::HOST, address).body(Body::from(body));
        let request = request.map_err(|_| "not an address".to_owned())?;
        let stream = TcpStream::connect(address).await.map_err(|error| unreached(&error))?;
        send(stream, request).await
    }
}

/// A path with these filters, of those that are given.
pub(super) fn filtered(path: &str, filters: &[(&str, Option<&str>)]) -> String {
    let (mut target, mut sign) = (path.to_owned(), "?");
    for (name, value) in filters.iter().filter_map(|(name, value)| Some((name, (*value)?))) {
        target.extend([sign, name, "="]);
        percent::encode(value, b"", &mut target);
        sign = "&";
    }
    target
}

/// What a gateway has answered, where it has.
pub(super) fn read(status: StatusCode, body: &[u8]) -> Result<Value, String> {
    match status {
        StatusCode::OK => serde_json::from_slice(body).map_err(|_| "it does not answer as a gateway does".to_owned()),
        StatusCode::UNAUTHORIZED => Err("it answers 401: a token is needed, see --token-file".to_owned()),
        status => Err(format!("it answers {status}; is it the admin address of a gateway?")),
    }
}

/// Nobody was there.
fn unreached(error: &std::io::Error) -> String {
    format!("no gateway listens there ({error}); is one running, and is this its `admin` address (`--admin`)?")
}

async fn send<S>(stream: S, request: Request<Body>) -> Result<(StatusCode, Bytes), String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| told(&error))?;
    // Its end is the answer's end, or its error.
    tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(|error| told(&error))?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(|error| told(&error))?.to_bytes();
    Ok((status, body))
}

/// The cause says more than that it did not work.
fn told(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

fn read_token(path: &Path) -> Result<HeaderValue, String> {
    let wrong = |reason: &str| format!("{}: {reason}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error.to_string()))?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let token = lines.next().and_then(|line| line.split_whitespace().last()).ok_or_else(|| wrong("holds no token"))?;
    let mut value =
        HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| wrong("holds no token that can be sent"))?;
    value.set_sensitive(true);
    Ok(value)
}
