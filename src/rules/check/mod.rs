//! ast -> checked, as far as it can be decided without schemas: names resolved, places disjoint, routes distinct,
//! versions in one line. Every mistake is reported; what cannot be resolved is left out.

mod answer;
mod asynchronous;
mod calls;
mod channel;
mod cursor;
mod mapping;
mod message;
mod place;
mod publish;
mod replies;
mod route;
mod service;
mod step;
mod types;
mod upstream;

use super::ast::{RuleFile, ServiceFile};
use super::checked::CheckedService;
use crate::diagnostic::{Code, Diagnostics, Severity, Sources, codes};

/// Resolves and checks one service. `Some` where its versions are known: then schemas may add their findings, to what
/// could be resolved. It is complete only if [`is_understood`] says so.
///
/// `all_read`: every rule file is in `files`; otherwise what is missing among them is not reported again.
pub(super) fn check_service(
    name: &str,
    service: &ServiceFile,
    files: &[RuleFile],
    all_read: bool,
    sources: &Sources,
    diagnostics: &mut Diagnostics,
) -> Option<CheckedService> {
    let versions = service::check_versions(service, diagnostics);
    let hosts = service::check_hosts(&service.hosts, diagnostics);
    let paths = service::check_prefixes(&service.paths, diagnostics);
    let negotiate = service::check_negotiators(&service.negotiate, diagnostics);
    let default = service::check_default(service, diagnostics);
    let answer_header = service.answer_header.as_ref().and_then(|name| service::check_header_name(name, diagnostics));
    let assign = answer::check_assign(name, service, diagnostics);
    let consumer = answer::check_consumer(service.consumer.as_deref().unwrap_or_default(), diagnostics);
    let pins = answer::check_pins(service, diagnostics);
    let idempotency = asynchronous::check_idempotency(service, diagnostics);
    let operations = asynchronous::check_operations(service, diagnostics);
    let channels = channel::check_channels(service, files, all_read, diagnostics);
    let publish = publish::check_publishes(service, &channels, diagnostics);
    let line = step::check_line(service, files, all_read, diagnostics);
    let mut steps = Vec::with_capacity(line.len());
    for (file, pair) in line {
        let [old, new] = pair;
        let has_schemas = old.openapi.is_some() && new.openapi.is_some();
        steps.push(step::check_step(file, has_schemas, sources, diagnostics));
    }
    Some(CheckedService {
        name: name.to_owned(),
        hosts,
        paths,
        versions: versions?,
        negotiate,
        default,
        answer_header,
        assign,
        consumer,
        pins,
        lockstep: service.lockstep.clone(),
        idempotency,
        operations,
        channels,
        publish,
        steps,
    })
}

/// Whether every rule was read and resolved, so that what schemas miss is really missing.
pub(super) fn is_understood(diagnostics: &Diagnostics) -> bool {
    diagnostics.iter().all(|one| one.severity != Severity::Error || is_judgement(one.code))
}

/// Whether an error of this code judges a rule that is understood, so that nothing else follows from it.
fn is_judgement(code: Code) -> bool {
    [codes::E6, codes::E8, codes::E9, codes::E11].contains(&code)
}
