//! `publish:` (E17): each call becomes a message of a channel that can be written.

use super::channel::writable;
use super::service::check_header_name;
use crate::diagnostic::{Diagnostics, Span, codes, suggest};
use crate::path::template::Template;
use crate::rules::ast::ServiceFile;
use crate::rules::channel::Channel;
use crate::rules::publish::{LONGEST_WAIT, Publish, PublishDecl};

/// Methods that ask for something and change nothing.
const READS: [&str; 4] = ["GET", "HEAD", "OPTIONS", "TRACE"];

pub(super) fn check_publishes(
    service: &ServiceFile,
    channels: &[Channel],
    diagnostics: &mut Diagnostics,
) -> Vec<Publish> {
    let mut seen: Vec<(&Template, Span)> = Vec::new();
    let mut publishes = Vec::with_capacity(service.publish.len());
    for decl in &service.publish {
        let is_same = |route: &Template| route.method == decl.route.method && route.is_of_shape(&decl.route);
        if let Some((_, before)) = seen.iter().find(|(route, _)| is_same(route)) {
            diagnostics
                .error(codes::E17, decl.span, "two entries for one request")
                .related(*before, "the first one")
                .help("a call becomes one message; a channel can have several readers");
        }
        seen.push((&decl.route, decl.span));
        if READS.contains(&decl.route.method.as_str()) || decl.route.method == "*" {
            diagnostics
                .error(codes::E17, decl.span, format!("`{}` may be a read", decl.route.method))
                .help("only calls that ask for a change can become messages: POST, PUT, PATCH or DELETE");
        }
        publishes.extend(check(service, channels, decl, diagnostics));
    }
    publishes
}

fn check(
    service: &ServiceFile,
    channels: &[Channel],
    decl: &PublishDecl,
    diagnostics: &mut Diagnostics,
) -> Option<Publish> {
    let headers = decl.headers.iter().filter_map(|name| check_header_name(name, diagnostics));
    let headers: Vec<String> = headers.map(|name| name.to_ascii_lowercase()).collect();
    let named = decl.channel.as_ref()?;
    let found = service.channels.iter().zip(channels).find(|(_, channel)| channel.name == named.value);
    let Some((written, channel)) = found else {
        let found = diagnostics.error(codes::E17, named.span, format!("there is no channel `{}`", named.value));
        let known = channels.iter().map(|channel| channel.name.as_str());
        match suggest::help(&named.value, known) {
            Some(help) => found.help(help),
            None => found.help("declare it under `channels:`"),
        };
        return None;
    };
    if let Some(wait) = &decl.wait {
        if channel.replies.is_none() {
            diagnostics
                .error(codes::E17, wait.span, format!("nobody replies to messages of `{}`", channel.name))
                .help("leave `wait` out, or say where replies come to: `replies:` of the channel");
        }
        if wait.value > LONGEST_WAIT {
            diagnostics
                .error(codes::R14, wait.span, "`wait` is above 60s")
                .help("callers and what is between them do not keep a connection in silence for so long");
        }
    }
    if channel.replies.is_some() && service.operations.is_none() {
        diagnostics
            .error(codes::E17, decl.span, format!("there is nowhere to ask for replies of `{}`", channel.name))
            .help("say where callers ask for what is not there yet: `async: {path: /operations}`");
    }
    let Some((version, address)) = writable(service, written) else {
        // What is wrong with an address has been told.
        if written.versions.iter().all(|one| one.ingress.is_none() && one.egress.is_none()) {
            diagnostics
                .error(codes::E17, named.span, format!("`{}` has no address that can be written", channel.name))
                .help("one of its versions needs an `ingress` or an `egress`");
        }
        return None;
    };
    if let Some(replies) = channel.replies.as_ref().filter(|replies| replies.address.broker() != address.broker()) {
        let (there, here) = (address.broker(), replies.address.broker());
        diagnostics
            .error(codes::E17, named.span, format!("who reads at `{there}` cannot reply by `{here}`"))
            .help("the address of `replies` must be at the broker where calls are written");
    }
    Some(Publish {
        route: decl.route.clone(),
        channel: channel.name.clone(),
        version,
        address,
        wait: decl.wait.as_ref().map(|wait| wait.value),
        headers,
        replies: channel.replies.clone(),
    })
}
