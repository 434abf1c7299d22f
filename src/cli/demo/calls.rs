//! The calls that the demo makes, and how they are shown.

use std::net::SocketAddr;

use axum::body::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::columns::{Screen, pretty};
use super::record::{Message, Recorder, Seen};

/// One call of one client.
struct Call {
    title: &'static str,
    /// What to look at.
    note: &'static str,
    caller: Caller,
    method: Method,
    target: &'static str,
    body: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Caller {
    OldOnNew,
    NewOnOld,
}

/// Order 1043 as an old client read it, with another address for its mails.
const EDITED: &str = r#"{
  "id": "ord_1043", "customer_name": "Ana de la Cruz", "email": "ana.cruz@example.com",
  "street": "Calle Mayor 5", "city": "Madrid", "zip": "28013", "state": "closed", "total": 2000, "currency": "eur",
  "taxable": false, "note": "Call first", "created": "2024-03-19T16:02:00Z",
  "lines": [{"id": 1, "sku": "LAMP-1", "title": "Desk lamp", "qty": 1, "price": 2000}], "fax": null
}"#;

/// An order that no service accepts.
const WRONG: &str = r#"{
  "customer_name": "Cher", "email": "nowhere", "street": "1 Main Street", "city": "El Centro", "zip": "92243",
  "state": "open", "total": 500, "currency": "usd", "taxable": true, "note": null,
  "lines": [{"id": 1, "sku": "PEN-1", "title": "Pen", "qty": 0, "price": 500}]
}"#;

const CALLS: [Call; 5] = [
    Call {
        title: "An old client reads an order; the new service answers.",
        note: "names, nesting, cents and the list of lines; `channel` is new, `fax` is gone",
        caller: Caller::OldOnNew,
        method: Method::GET,
        target: "/orders/ord_1042",
        body: None,
    },
    Call {
        title: "It lists orders: an array and a header there, an envelope here.",
        note: "`per_page` became `limit`; X-Total-Count became `meta.total`",
        caller: Caller::OldOnNew,
        method: Method::GET,
        target: "/orders?per_page=1",
        body: None,
    },
    Call {
        title: "It writes an order back with a new e-mail address.",
        note: "what it did not change stays: CANCELLED, both notes, the two names, the channel",
        caller: Caller::OldOnNew,
        method: Method::PUT,
        target: "/orders/ord_1043",
        body: Some(EDITED),
    },
    Call {
        title: "It places an order that the new service refuses.",
        note: "the errors come back in the old client's own words",
        caller: Caller::OldOnNew,
        method: Method::POST,
        target: "/orders",
        body: Some(WRONG),
    },
    Call {
        title: "A new client reads an order; the old service answers.",
        note: "the same rules, read the other way",
        caller: Caller::NewOnOld,
        method: Method::GET,
        target: "/v2/orders/ord_1042",
        body: None,
    },
];

/// The two services' recorders.
#[derive(Debug)]
pub(super) struct Recorders {
    pub(super) old: Recorder,
    pub(super) new: Recorder,
}

/// Makes every call through the gateway and shows it: what the old side saw on the left, the new side on the right.
///
/// # Errors
/// The gateway could not be called at all.
pub(super) async fn tour(gateway: SocketAddr, recorders: &Recorders, screen: Screen) -> Result<String, String> {
    let mut page = String::new();
    for (index, call) in CALLS.iter().enumerate() {
        let caller = call.send(gateway).await?;
        let (old, new) = (recorders.old.take(), recorders.new.take());
        let title = screen.bold(&format!("{}. {}", index + 1, call.title));
        page.extend([title.as_str(), "\n   ", call.note, "\n\n"]);
        let (titles, old, new) = match call.caller {
            Caller::OldOnNew => (("old client, v1", "new service, v2"), vec![caller], new),
            Caller::NewOnOld => (("old service, v1", "new client, v2"), old, vec![caller]),
        };
        page.push_str(&screen.beside(&[titles.0.to_owned()], &[titles.1.to_owned()]));
        page.push_str(&screen.rule());
        page.push('\n');
        page.push_str(&screen.beside(&requests(&old, screen), &requests(&new, screen)));
        page.push_str(&screen.beside(&[String::new()], &[String::new()]));
        page.push_str(&screen.beside(&answer(&old, screen), &answer(&new, screen)));
        page.push('\n');
    }
    Ok(page)
}

impl Call {
    async fn send(&self, gateway: SocketAddr) -> Result<Seen, String> {
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let body = Bytes::from_static(self.body.unwrap_or_default().as_bytes());
        let mut request =
            Request::builder().method(self.method.clone()).uri(format!("http://{gateway}{}", self.target));
        if self.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let mut request = request.body(Full::new(body.clone())).map_err(|error| error.to_string())?;
        if self.caller == Caller::NewOnOld {
            let (name, value) = (HeaderName::from_static("bifocal-answer"), HeaderValue::from_static("v1"));
            request.headers_mut().insert(name, value);
        }
        let asked = Message::new(request.headers(), body);
        let failed = |error: &dyn std::error::Error| format!("the gateway cannot be called: {error}");
        let response = client.request(request).await.map_err(|error| failed(&error))?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| failed(&error))?.to_bytes();
        Ok(Seen {
            method: self.method.clone(),
            target: self.target.to_owned(),
            request: asked,
            status: parts.status,
            response: Message::new(&parts.headers, body),
        })
    }
}

/// Everything up to the last answer. Of a read before a write only the fact is of interest.
fn requests(all: &[Seen], screen: Screen) -> Vec<String> {
    let mut lines = Vec::new();
    let Some((last, before)) = all.split_last() else { return lines };
    for seen in before {
        lines.push(format!("{} {}  => {} (the order as it is)", seen.method, seen.target, seen.status));
    }
    lines.push(format!("{} {}", last.method, last.target));
    lines.extend(lines_of(&last.request, screen));
    lines
}

/// The last answer. That of a write says again what was written.
fn answer(all: &[Seen], screen: Screen) -> Vec<String> {
    let Some(last) = all.last() else { return Vec::new() };
    let mut lines = vec![format!("=> {}", last.status)];
    if last.method == Method::PUT && last.status.is_success() {
        lines.push("(the order as it is now)".to_owned());
    } else {
        lines.extend(lines_of(&last.response, screen));
    }
    lines
}

fn lines_of(message: &Message, screen: Screen) -> Vec<String> {
    let mut lines: Vec<String> = message.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    if !message.body.is_empty() {
        lines.extend(pretty(&message.body, screen.side()));
    }
    lines
}
