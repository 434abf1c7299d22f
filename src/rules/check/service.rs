//! Versions, addresses and names of `service.yaml`.

use std::collections::HashMap;
use std::sync::Arc;

use http::uri::Authority;

use super::{answer, upstream};
use crate::diagnostic::{Diagnostics, Span, codes, suggest};
use crate::path::template::Template;
use crate::rules::answer::AnsweredBy;
use crate::rules::ast::{Negotiator, ServiceFile, Spanned, VersionDecl};
use crate::rules::checked::CheckedVersion;
use crate::rules::upstream::Upstream;

pub(super) fn check_versions(service: &ServiceFile, diagnostics: &mut Diagnostics) -> Option<Vec<CheckedVersion>> {
    check_names(&service.versions, diagnostics);
    let upstreams: Vec<Option<Arc<Upstream>>> = service
        .versions
        .iter()
        .map(|version| upstream::check(version.upstream.as_ref()?, diagnostics).map(Arc::new))
        .collect();
    let mut seen: HashMap<String, Span> = HashMap::new();
    let mut versions = Vec::with_capacity(service.versions.len());
    for (index, (version, upstream)) in service.versions.iter().zip(upstreams).enumerate() {
        let path = version.path.as_ref().and_then(|prefix| {
            let text = check_prefix(prefix, diagnostics)?;
            if let Some(before) = seen.insert(text.clone(), prefix.span) {
                diagnostics
                    .error(codes::R15, prefix.span, format!("two versions have the path prefix `{text}`"))
                    .related(before, "the first one")
                    .help("a prefix tells versions apart; versions with one path are told apart by a header or query");
            }
            Some(text)
        });
        let answered_by = check_answer(service, index, version, diagnostics);
        let shares = answer::check_shares(service, version, diagnostics);
        let spoken = answer::check_version(service, version, diagnostics);
        versions.push(CheckedVersion {
            name: version.name.value.clone(),
            aliases: version.aliases.iter().map(|alias| alias.value.clone()).collect(),
            upstream,
            answered_by: answer::without_key(index, &shares).or(answered_by)?,
            shares,
            fallback: version.fallback.is_some(),
            consumers: spoken.consumers,
            deprecated: spoken.deprecated,
            path,
        });
    }
    Some(versions)
}

/// Which version's service answers callers of version `index`: as written, else its own, else the nearest newer one
/// that runs, else the nearest older one.
fn check_answer(
    service: &ServiceFile,
    index: usize,
    version: &VersionDecl,
    diagnostics: &mut Diagnostics,
) -> Option<usize> {
    let versions = &service.versions;
    let runs = |at: &usize| versions.get(*at).is_some_and(|one| one.upstream.is_some());
    if let Some(AnsweredBy::Shares { .. }) = &version.answered_by {
        return Some(index);
    }
    if let Some(AnsweredBy::One(named)) = &version.answered_by {
        let Some(at) = find_version(service, named, diagnostics) else { return Some(index) };
        if !runs(&at) {
            diagnostics
                .error(codes::R14, named.span, format!("`{}` has no `upstream`, so nothing answers there", named.value))
                .help("give it one, or name a version that has one");
        }
        return Some(at);
    }
    let found = std::iter::once(index).chain(index + 1..versions.len()).chain((0..index).rev()).find(runs);
    if found.is_none() && index == 0 && service.channels.is_empty() {
        diagnostics
            .error(codes::R7, version.name.span, "no version has an `upstream`")
            .help("say where at least one version runs: `v2: {upstream: \"http://127.0.0.1:9102\"}`");
    }
    // A service of channels alone answers nobody.
    found.or((!service.channels.is_empty()).then_some(index))
}

fn check_names(versions: &[VersionDecl], diagnostics: &mut Diagnostics) {
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for version in versions {
        let plain = |one: char| one.is_ascii_alphanumeric() || "._-".contains(one);
        if !version.name.value.chars().all(plain) || version.name.value.len() > 64 {
            diagnostics
                .error(codes::R14, version.name.span, "not a version's name")
                .help("up to 64 letters, digits, `.`, `_` and `-`; other spellings that callers use go into `names`");
        }
        for alias in &version.aliases {
            let plain = |one: char| one.is_ascii_graphic() && !"\",;\\".contains(one);
            if !alias.value.chars().all(plain) || alias.value.len() > 64 {
                diagnostics
                    .error(codes::R14, alias.span, "callers cannot write this name in a header")
                    .help("up to 64 visible ASCII letters without `\"`, `,`, `;` and `\\`");
            }
        }
        for name in std::iter::once(&version.name).chain(&version.aliases) {
            if let Some(before) = seen.insert(&name.value, name.span) {
                diagnostics
                    .error(codes::R15, name.span, format!("the name `{}` stands for two versions", name.value))
                    .related(before, "the first one")
                    .help("callers choose by name: each name belongs to one version");
            }
        }
    }
}

/// The index of a declared version.
pub(super) fn find_version(
    service: &ServiceFile,
    name: &Spanned<String>,
    diagnostics: &mut Diagnostics,
) -> Option<usize> {
    let found = service.versions.iter().position(|version| version.name.value == name.value);
    if found.is_none() {
        let error = diagnostics.error(codes::R13, name.span, format!("unknown version `{}`", name.value));
        if let Some(help) = suggest::help(&name.value, service.versions.iter().map(|one| one.name.value.as_str())) {
            error.help(help);
        }
    }
    found
}

pub(super) fn check_default(service: &ServiceFile, diagnostics: &mut Diagnostics) -> Option<usize> {
    find_version(service, service.default.as_ref()?, diagnostics)
}

pub(super) fn check_hosts(hosts: &[Spanned<String>], diagnostics: &mut Diagnostics) -> Vec<String> {
    hosts
        .iter()
        .filter_map(|host| {
            let authority: Option<Authority> = host.value.parse().ok();
            let plain = authority.is_some_and(|one| one.host() == host.value && one.port().is_none());
            if !plain || host.value.contains(['*', '%']) {
                diagnostics
                    .error(codes::R14, host.span, format!("`{}` is not a host name", host.value))
                    .help("write the name alone, without scheme, port or wildcard");
                return None;
            }
            Some(host.value.to_ascii_lowercase())
        })
        .collect()
}

pub(super) fn check_prefixes(prefixes: &[Spanned<String>], diagnostics: &mut Diagnostics) -> Vec<String> {
    let mut seen: HashMap<String, Span> = HashMap::new();
    let mut checked = Vec::new();
    for prefix in prefixes {
        let Some(text) = check_prefix(prefix, diagnostics) else { continue };
        match seen.insert(text.clone(), prefix.span) {
            Some(before) => {
                diagnostics
                    .error(codes::R12, prefix.span, format!("the path prefix `{text}` is written twice"))
                    .related(before, "the first one");
            }
            None => checked.push(text),
        }
    }
    checked
}

/// `/v2`, `/shop/orders`: whole segments, no trailing slash.
pub(super) fn check_prefix(prefix: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<String> {
    let text = prefix.value.as_str();
    let template = Template::parse(&format!("GET {text}"), prefix.span);
    let plain = template.is_ok_and(|template| template.params().next().is_none())
        && text.len() > 1
        && !text.ends_with('/')
        && !text.contains('%');
    if !plain {
        diagnostics
            .error(codes::R14, prefix.span, format!("`{text}` is not a path prefix"))
            .help("write whole segments, such as `/v2` or `/shop/orders`, without a slash at the end");
        return None;
    }
    Some(text.to_owned())
}

pub(super) fn check_negotiators(list: &[Spanned<Negotiator>], diagnostics: &mut Diagnostics) -> Vec<Negotiator> {
    let mut checked: Vec<Negotiator> = Vec::with_capacity(list.len());
    for one in list {
        let sound = match &one.value {
            Negotiator::Path => true,
            Negotiator::Header(name) => {
                check_header_name(&Spanned { value: name.clone(), span: one.span }, diagnostics).is_some()
            }
            Negotiator::Query(name) | Negotiator::MediaType(name) => {
                let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
                let sound = name.chars().all(plain);
                if !sound {
                    diagnostics
                        .error(codes::R14, one.span, format!("`{name}` is not a parameter's name"))
                        .help("letters, digits, `.`, `_` and `-`");
                }
                sound
            }
        };
        if checked.contains(&one.value) {
            diagnostics.error(codes::R12, one.span, "the same way to negotiate is written twice");
        } else if sound {
            checked.push(one.value.clone());
        }
    }
    checked
}

/// A header that rules may read and write.
pub(super) fn check_header_name(name: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<String> {
    /// Between two neighbours on the network, or about the very bytes that are sent: the gateway's business.
    const FRAMING: [&str; 12] = [
        "connection",
        "content-encoding",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let lower = name.value.to_ascii_lowercase();
    if http::HeaderName::from_bytes(lower.as_bytes()).is_err() {
        diagnostics.error(codes::R14, name.span, format!("`{}` is not a header name", name.value.escape_debug()));
        return None;
    }
    if FRAMING.contains(&lower.as_str()) {
        diagnostics
            .error(codes::R14, name.span, format!("the header `{}` belongs to one connection", name.value))
            .help("framing, connection and coding headers are made anew for each message");
        return None;
    }
    Some(name.value.clone())
}
