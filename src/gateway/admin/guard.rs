//! Who may do what on the admin address. Everything else happens after this.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, header};

use crate::gateway::App;
use crate::gateway::audit::Who;
use crate::gateway::target::parse_target;
use crate::gateway::trouble::{Kind, Trouble};
use crate::settings::AdminListen;

/// Asked by probes, which have no token. They say nothing of what is served.
const PROBES: [&str; 3] = ["/livez", "/readyz", "/readyz/flows"];
/// What lies below shows what messages say: for whoever may change what is served, and nobody else.
const LETTERS: &str = "/dead-letters/";
/// Writes that do no more than the gateway does by itself all the time.
const HARMLESS: [&str; 1] = ["/reload"];

/// Only under its own names (DNS rebinding), never for another site's page, and with a token where one is needed.
pub(super) async fn guard(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    match admit(&app, &request) {
        Ok(holder) => {
            if let Some(Who::Admin { token, .. }) = request.extensions_mut().get_mut::<Who>() {
                *token = holder;
            }
            next.run(request).await
        }
        Err(trouble) => trouble.into_response(),
    }
}

/// The name of the token that was shown, if one was needed.
fn admit(app: &App, request: &Request) -> Result<Option<String>, Trouble> {
    let is_local = matches!(request.extensions().get::<Who>(), Some(Who::Admin { local: Some(_), .. }));
    let target = parse_target(request).map_err(|reason| Trouble::new(Kind::Target).detail(reason).closing())?;
    // Web pages cannot reach a UNIX socket, under no name.
    if !is_local && !is_own(app, &target.host.unwrap_or_default()) {
        return Err(Trouble::new(Kind::AdminHost));
    }
    let path = request.uri().path();
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD) && !path.starts_with(LETTERS);
    if !is_read && is_from_a_page(request.headers()) {
        return Err(Trouble::new(Kind::AdminOrigin));
    }
    let admin = &app.settings.admin;
    let needs_token = !is_read || (admin.guards_reads && !PROBES.contains(&path));
    if !needs_token {
        return Ok(None);
    }
    match &admin.tokens {
        None if is_local || HARMLESS.contains(&path) => Ok(None),
        None => Err(Trouble::new(Kind::AdminClosed)
            .detail("set `admin_token_file`, or let `admin` be a UNIX socket: without a token only /reload is open")),
        Some(tokens) => {
            let given = bearer(request.headers()).unwrap_or_default();
            match tokens.holder(given) {
                Ok(Some(name)) => Ok(Some(name)),
                Ok(None) => {
                    let challenge = HeaderValue::from_static("Bearer realm=\"bifocal\"");
                    Err(Trouble::new(Kind::AdminToken).header(header::WWW_AUTHENTICATE, challenge))
                }
                Err(error) => {
                    tracing::error!(%error, "the file of admin tokens cannot be used: nobody has a token");
                    Err(Trouble::new(Kind::AdminToken))
                }
            }
        }
    }
}

fn is_own(app: &App, host: &str) -> bool {
    let bound = match &app.settings.admin.listen {
        AdminListen::Tcp(address) => Some(address.ip()),
        AdminListen::Unix { .. } => None,
    };
    let is_own_address = |ip: IpAddr| ip.is_loopback() || Some(ip) == bound;
    host == "localhost"
        || app.settings.admin.hosts.iter().any(|name| name == host)
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(is_own_address)
}

/// Whether a browser sends it for a page. There is no page of the gateway's own, so every page is another site's.
fn is_from_a_page(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    headers.contains_key(header::ORIGIN) || site.is_some_and(|site| site != b"none")
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}
