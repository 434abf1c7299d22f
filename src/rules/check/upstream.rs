//! Where a version's service runs, and whether what is said of it fits together.

use std::collections::HashSet;
use std::net::IpAddr;

use http::Uri;
use http::uri::{Authority, Scheme};

use crate::diagnostic::{Diagnostics, Span, codes};
use crate::rules::ast::Spanned;
use crate::rules::upstream::{
    EndpointDecl, HealthDecl, Probe, Source, SourceDecl, Upstream, UpstreamDecl, is_link_local,
};

/// Every part is looked at; `None` where nothing can be said of where it runs.
pub(super) fn check(decl: &UpstreamDecl, diagnostics: &mut Diagnostics) -> Option<Upstream> {
    let source = check_source(&decl.source, diagnostics);
    let host = decl.host.as_ref().and_then(|host| check_host_name(host, diagnostics));
    let health = decl.health.as_ref().and_then(|health| check_health(health, diagnostics));
    check_policy(decl, diagnostics);
    Some(Upstream { source: source?, host, health, policy: decl.policy.clone() })
}

fn check_source(source: &SourceDecl, diagnostics: &mut Diagnostics) -> Option<Source> {
    match source {
        SourceDecl::Fixed(endpoints) => check_endpoints(endpoints, diagnostics).map(Source::Fixed),
        SourceDecl::Dns(name) => {
            let address = check_address("dns", name, diagnostics)?;
            is_name("dns", name.span, &address, diagnostics).then_some(Source::Dns(address))
        }
        SourceDecl::Srv(name) => {
            let address = check_address("srv", name, diagnostics)?;
            if address.port().is_some() {
                diagnostics
                    .error(codes::R14, name.span, "`srv` names no port")
                    .help("the port is in the records; write `http://_orders._tcp.internal`");
                return None;
            }
            is_name("srv", name.span, &address, diagnostics).then_some(Source::Srv(address))
        }
    }
}

/// Whether there is a name to look up.
fn is_name(key: &str, at: Span, address: &Uri, diagnostics: &mut Diagnostics) -> bool {
    let host = address.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_name = host.parse::<IpAddr>().is_err();
    if !is_name {
        diagnostics
            .error(codes::R14, at, format!("`{key}` needs a name, and this is an address"))
            .help("write addresses under `endpoints`");
    }
    is_name
}

fn check_endpoints(list: &[EndpointDecl], diagnostics: &mut Diagnostics) -> Option<Vec<(Uri, u32)>> {
    let what = if list.len() == 1 { "upstream" } else { "endpoint" };
    let mut seen = HashSet::new();
    let mut first: Option<(Uri, Span)> = None;
    let mut checked = Vec::with_capacity(list.len());
    for EndpointDecl { url, weight } in list {
        let Some(address) = check_address(what, url, diagnostics) else { continue };
        if !seen.insert(address.to_string()) {
            diagnostics
                .error(codes::R12, url.span, "this endpoint is written twice")
                .help("an endpoint that takes more has a weight: `{url: \"http://10.0.0.7:9101\", weight: 2}`");
        }
        let (one, at) = first.get_or_insert_with(|| (address.clone(), url.span));
        let path = |address: &Uri| address.path().trim_end_matches('/').to_owned();
        if (one.scheme(), path(one)) != (address.scheme(), path(&address)) {
            diagnostics
                .error(codes::R14, url.span, "the endpoints differ in scheme or base path")
                .related(*at, "the first one")
                .help("a request may go to any of them, and so all have one scheme and one base path");
        }
        checked.push((address, *weight));
    }
    (!list.is_empty() && checked.len() == list.len()).then_some(checked)
}

fn check_host_name(host: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<Authority> {
    let authority = host.value.parse::<Authority>().ok();
    let plain =
        authority.filter(|one| !one.host().is_empty() && !one.as_str().contains(['@', '{', '}', '*', '%', '$']));
    let plain = plain.filter(|one| !one.as_str().ends_with(':'));
    if plain.is_none() {
        diagnostics
            .error(codes::R14, host.span, "`host` is not a host name")
            .help("the name that services are told and have a certificate for, such as `orders.internal`");
    }
    plain
}

fn check_health(health: &HealthDecl, diagnostics: &mut Diagnostics) -> Option<(String, Probe)> {
    let path = &health.path;
    let plain = path.value.starts_with('/') && !path.value.contains(['#', '{', '}']);
    if !plain || path.value.parse::<http::uri::PathAndQuery>().is_err() {
        diagnostics
            .error(codes::R14, path.span, "`path` is not a path")
            .help("what is asked for on every endpoint, with the base path if there is one: `/healthz`");
        return None;
    }
    if health.probe.timeout > health.probe.every {
        diagnostics
            .error(codes::R14, path.span, "a health check may not take longer than the time between two of them")
            .help("give it a `timeout` that is not above `every`");
        return None;
    }
    Some((path.value.clone(), health.probe.clone()))
}

fn check_policy(decl: &UpstreamDecl, diagnostics: &mut Diagnostics) {
    let policy = &decl.policy;
    let mut refuse = |at: Span, message: &str, help: &str| {
        diagnostics.error(codes::R14, at, message.to_owned()).help(help);
    };
    let is_looked_up = !matches!(decl.source, SourceDecl::Fixed(_));
    if policy.resolve.is_some() && !is_looked_up {
        refuse(decl.at("resolve"), "`resolve` stands where no name is looked up", "it belongs to `dns` and `srv`");
    }
    let times = &policy.timeouts;
    let at = decl.at("timeouts");
    if times.attempt.zip(times.response).is_some_and(|(attempt, response)| attempt > response) {
        refuse(at, "`attempt` is above `response`", "one attempt is a part of the wait for a response");
    }
    if times.response.zip(times.total).is_some_and(|(response, total)| response > total) {
        refuse(at, "`response` is above `total`", "the head of a response is a part of the exchange");
    }
    let eject = &policy.eject;
    if eject.time.zip(eject.longest).is_some_and(|(time, longest)| time > longest) {
        refuse(
            decl.at("eject"),
            "`time` is above `longest`",
            "an endpoint is left out for `time`, then longer, up to `longest`",
        );
    }
}

/// `http[s]://host[:port][/base]`, fixed and not link-local.
fn check_address(key: &str, text: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<Uri> {
    let mut refuse = |message: &str, help: &str| {
        diagnostics.error(codes::R14, text.span, format!("`{key}` {message}")).help(help);
        None
    };
    if text.value.contains(['{', '}', '$']) {
        return refuse("is fixed: no placeholders", "requests cannot choose where they are sent");
    }
    let form = "write `http://host:port` or `https://host`, with an optional base path";
    let Ok(uri) = text.value.parse::<Uri>() else { return refuse("is not an address", form) };
    if ![Some(&Scheme::HTTP), Some(&Scheme::HTTPS)].contains(&uri.scheme()) {
        return refuse("must begin with `http://` or `https://`", form);
    }
    let (Some(authority), Some(host)) = (uri.authority(), uri.host().filter(|host| !host.is_empty())) else {
        return refuse("has no host", form);
    };
    if authority.as_str().contains('@') {
        return refuse("must not hold user information", "keep credentials out of rule files");
    }
    if uri.query().is_some() || text.value.contains('#') {
        return refuse("must not hold a query", form);
    }
    if authority.as_str().ends_with(':') || authority.port_u16() == Some(0) {
        return refuse("needs a port from 1 to 65535, or none", form);
    }
    match check_host(host) {
        Host::Fine => Some(uri),
        Host::LinkLocal => {
            refuse("is a link-local address", "such addresses reach the machine's own metadata services")
        }
        Host::Odd => refuse("has an unusual spelling of an address", "write four decimal numbers, or a name"),
    }
}

enum Host {
    Fine,
    LinkLocal,
    Odd,
}

fn check_host(host: &str) -> Host {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) if is_link_local(address) => Host::LinkLocal,
        Ok(_) => Host::Fine,
        Err(_) => {
            // `0x7f.1` and `2852039166` are addresses to the system's resolver.
            let last = bare.trim_end_matches('.').rsplit('.').next().unwrap_or(bare);
            let number = last.starts_with("0x") || (!last.is_empty() && last.bytes().all(|one| one.is_ascii_digit()));
            if number { Host::Odd } else { Host::Fine }
        }
    }
}
