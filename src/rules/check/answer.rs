//! Who asks and who answers: shares, consumers, pins, lists, and a version's end.

use std::collections::HashMap;

use http::Uri;

use super::service::{check_header_name, find_version};
use crate::codecs::moment_of;
use crate::diagnostic::{Diagnostics, Span, codes};
use crate::rules::answer::{Admission, AnsweredBy, Assign, ConsumerSource, DeprecatedDecl, Deprecation, Key, ListDecl};
use crate::rules::ast::{ServiceFile, Spanned, VersionDecl};

/// What a version says of its callers, checked.
pub(super) struct Spoken {
    pub(super) consumers: Admission,
    pub(super) deprecated: Option<Deprecation>,
}

/// The versions that share a version's callers; empty where one has all of them.
pub(super) fn check_shares(
    service: &ServiceFile,
    version: &VersionDecl,
    diagnostics: &mut Diagnostics,
) -> Vec<(usize, u32)> {
    let Some(AnsweredBy::Shares { weights, span }) = &version.answered_by else { return Vec::new() };
    let mut shares = Vec::with_capacity(weights.len());
    for (name, weight) in weights {
        let Some(at) = find_version(service, name, diagnostics) else { continue };
        if service.versions.get(at).is_some_and(|one| one.upstream.is_none()) {
            diagnostics
                .error(codes::R14, name.span, format!("`{}` has no `upstream`, so nothing answers there", name.value))
                .help("give it one, or leave it out");
        }
        shares.push((at, *weight));
    }
    if weights.iter().all(|(_, weight)| *weight == 0) {
        diagnostics
            .error(codes::R14, *span, "no version has a weight above 0, so nobody answers")
            .help("a version's share is its weight of the sum: `{v1: 90, v2: 10}`");
    } else if service.assign.is_none() && service.consumer.is_none() {
        diagnostics
            .error(codes::R7, *span, "nothing says which callers a share falls to")
            .help("write for example `assign: {by: [consumer, cookie.session, path.id]}` beside `versions`");
    }
    shares
}

/// Who answers callers that cannot be told apart: their version's own service while it has a share, else the largest.
pub(super) fn without_key(own: usize, shares: &[(usize, u32)]) -> Option<usize> {
    let has_share = shares.iter().find(|(at, weight)| *at == own && *weight > 0);
    // Of equals the newest.
    has_share.or_else(|| shares.iter().max_by_key(|(at, weight)| (*weight, *at))).map(|(at, _)| *at)
}

/// The rest of what a version says of its callers.
pub(super) fn check_version(service: &ServiceFile, version: &VersionDecl, diagnostics: &mut Diagnostics) -> Spoken {
    if let (Some(span), None) = (version.fallback, &version.upstream) {
        diagnostics
            .error(codes::R14, span, format!("`{}` has no service of its own to fall back to", version.name.value))
            .help("give it an `upstream`, or leave `fallback` out");
    }
    let consumers = version.consumers.as_ref().map(|list| check_list(service, list, diagnostics)).unwrap_or_default();
    let deprecated = version.deprecated.as_ref().and_then(|decl| check_deprecated(decl, diagnostics));
    Spoken { consumers, deprecated }
}

fn check_list(service: &ServiceFile, list: &ListDecl, diagnostics: &mut Diagnostics) -> Admission {
    needs_consumer(service, list.span, diagnostics);
    if let (Some(_), Some(_)) = (&list.allow, &list.deny) {
        diagnostics
            .error(codes::R14, list.span, "`allow` and `deny` are two answers to one question")
            .help("`allow` refuses everybody who is not listed, so `deny` has nothing to say beside it");
    }
    let mut names = |list: &[Spanned<String>]| -> std::collections::BTreeSet<String> {
        distinct(list.iter(), diagnostics);
        list.iter().map(|one| one.value.clone()).collect()
    };
    match (&list.allow, &list.deny) {
        (Some(allow), _) => Admission::Allow(names(allow)),
        (None, Some(deny)) => Admission::Deny(names(deny)),
        (None, None) => Admission::All,
    }
}

fn distinct<'s>(names: impl Iterator<Item = &'s Spanned<String>>, diagnostics: &mut Diagnostics) {
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for name in names {
        if let Some(before) = seen.insert(&name.value, name.span) {
            diagnostics
                .error(codes::R12, name.span, format!("the consumer `{}` is written twice", name.value))
                .related(before, "the first one");
        }
    }
}

/// Whatever speaks of consumers needs a way to tell them.
fn needs_consumer(service: &ServiceFile, at: Span, diagnostics: &mut Diagnostics) {
    if service.consumer.is_none() {
        diagnostics
            .error(codes::R7, at, "nothing says what names a consumer")
            .help("write for example `consumer: [header.X-Consumer]` or `consumer: [api_key.X-API-Key]`");
    }
}

pub(super) fn check_assign(name: &str, service: &ServiceFile, diagnostics: &mut Diagnostics) -> Assign {
    let salt = |written: Option<&Spanned<String>>| written.map_or_else(|| name.to_owned(), |salt| salt.value.clone());
    let Some(assign) = &service.assign else {
        let by = service.consumer.iter().map(|_| Key::Consumer).collect();
        return Assign { by, salt: salt(None) };
    };
    let mut by: Vec<Key> = Vec::with_capacity(assign.by.len());
    for (index, key) in assign.by.iter().enumerate() {
        let sound = match &key.value {
            Key::Consumer => {
                needs_consumer(service, key.span, diagnostics);
                true
            }
            Key::Header(name) => {
                check_header_name(&Spanned { value: name.clone(), span: key.span }, diagnostics).is_some()
            }
            Key::Cookie(name) | Key::Path(name) => check_plain(name, key.span, diagnostics),
            Key::Request if index + 1 < assign.by.len() => {
                diagnostics
                    .error(codes::R14, key.span, "every request has this, so nothing behind it is looked at")
                    .help("`request` is the last one, if it is there at all");
                false
            }
            Key::Request => true,
        };
        if by.contains(&key.value) {
            diagnostics.error(codes::R12, key.span, "the same way to tell callers apart is written twice");
        } else if sound {
            by.push(key.value.clone());
        }
    }
    Assign { by, salt: salt(assign.salt.as_ref()) }
}

/// A cookie's or a parameter's name.
fn check_plain(name: &str, at: Span, diagnostics: &mut Diagnostics) -> bool {
    let plain = name.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter));
    if !plain {
        diagnostics
            .error(codes::R14, at, format!("`{}` is not a name that is possible here", name.escape_debug()))
            .help("letters, digits, `.`, `_` and `-`");
    }
    plain
}

pub(super) fn check_consumer(list: &[Spanned<ConsumerSource>], diagnostics: &mut Diagnostics) -> Vec<ConsumerSource> {
    let mut checked: Vec<ConsumerSource> = Vec::with_capacity(list.len());
    for one in list {
        let header = one.value.header().unwrap_or_default();
        let header = Spanned { value: header.to_owned(), span: one.span };
        let sound = one.value.header().is_none() || check_header_name(&header, diagnostics).is_some();
        let holds_secrets = ["authorization", "cookie"].contains(&header.value.to_ascii_lowercase().as_str());
        if holds_secrets && matches!(one.value, ConsumerSource::Header(_)) {
            diagnostics
                .error(codes::R14, one.span, format!("the header `{}` holds a secret, not a name", header.value))
                .help(format!("`api_key.{}` names a consumer by the secret's hash", header.value));
        } else if checked.contains(&one.value) {
            diagnostics.error(codes::R12, one.span, "the same way to name a consumer is written twice");
        } else if sound {
            checked.push(one.value.clone());
        }
    }
    checked
}

pub(super) fn check_pins(service: &ServiceFile, diagnostics: &mut Diagnostics) -> Vec<(String, usize)> {
    if let Some(first) = service.pins.first() {
        needs_consumer(service, first.consumer.span, diagnostics);
    }
    let pin = |one: &crate::rules::answer::PinDecl| {
        Some((one.consumer.value.clone(), find_version(service, &one.version, diagnostics)?))
    };
    service.pins.iter().filter_map(pin).collect()
}

fn check_deprecated(decl: &DeprecatedDecl, diagnostics: &mut Diagnostics) -> Option<Deprecation> {
    let at = check_moment(&decl.at, diagnostics);
    let sunset = decl.sunset.as_ref().map(|text| check_moment(text, diagnostics));
    if let (Some(at), Some(Some(end)), Some(text)) = (at, sunset, &decl.sunset)
        && end < at
    {
        diagnostics
            .error(codes::R14, text.span, "the end is before the deprecation")
            .related(decl.at.span, "deprecated from here on")
            .help("callers are told first, and find it gone later (RFC 9745, section 4)");
    }
    if let (Some(span), None) = (decl.gone, &decl.sunset) {
        diagnostics
            .error(codes::R7, span, "`gone: true` needs `sunset`")
            .help("say when it ends: `sunset: 2026-09-01`; until then it is served");
    }
    if let Some(link) = &decl.link {
        check_link(link, diagnostics);
    }
    let link = decl.link.as_ref().map(|link| link.value.clone());
    Some(Deprecation { at: at?, sunset: sunset.flatten(), link, gone: decl.gone.is_some() })
}

/// Seconds since 1970.
fn check_moment(text: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<u64> {
    let found = moment_of(&text.value).and_then(|seconds| u64::try_from(seconds).ok());
    if found.is_none() {
        diagnostics
            .error(codes::R14, text.span, format!("`{}` is not a moment", text.value.escape_debug()))
            .help("write a day, `2026-09-01`, or a moment of it, `2026-09-01T06:00:00Z` (RFC 3339)");
    }
    found
}

/// It stands between `<` and `>` in a header, and people open it.
fn check_link(link: &Spanned<String>, diagnostics: &mut Diagnostics) {
    let is_plain = link.value.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"\\^`{|}".contains(&byte));
    let uri = link.value.parse::<Uri>().ok().filter(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    let is_web = uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
    if !is_plain || !is_web || link.value.len() > 2000 {
        diagnostics
            .error(codes::R14, link.span, "`link` is not an address that people can open")
            .help("write all of it: `https://docs.example.com/orders/v1`");
    }
}
