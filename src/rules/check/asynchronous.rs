//! `idempotency:` and `async:` in `service.yaml`.

use std::time::Duration;

use super::service::check_prefix;
use crate::diagnostic::{Diagnostics, codes};
use crate::rules::ast::ServiceFile;
use crate::rules::asynchronous::{Idempotency, IdempotencyDecl, Operations, OperationsDecl};

const HOUR: Duration = Duration::from_secs(3600);
/// Beyond it a kept answer is more of a burden than a help.
const LONGEST: Duration = Duration::from_secs(90 * 24 * 3600);

pub(super) fn check_idempotency(service: &ServiceFile, diagnostics: &mut Diagnostics) -> Option<Idempotency> {
    let decl: &IdempotencyDecl = service.idempotency.as_ref()?;
    for method in &decl.methods {
        let known = ["POST", "PATCH", "PUT", "DELETE"];
        if !known.contains(&method.value.as_str()) {
            diagnostics
                .error(codes::R14, method.span, format!("`{}` needs no key", method.value.escape_debug()))
                .help("keys are for requests that change something: POST, PATCH, PUT or DELETE");
        }
    }
    let methods: Vec<String> = decl.methods.iter().map(|method| method.value.clone()).collect();
    Some(Idempotency {
        required: decl.required,
        methods: if methods.is_empty() { vec!["POST".to_owned(), "PATCH".to_owned()] } else { methods },
        routes: decl.routes.clone(),
        keep: decl.keep.unwrap_or(24 * HOUR).min(LONGEST),
        most: decl.most.unwrap_or(100_000),
        keep_errors: decl.keep_errors,
        repeat: decl.repeat,
    })
}

pub(super) fn check_operations(service: &ServiceFile, diagnostics: &mut Diagnostics) -> Option<Operations> {
    let decl: &OperationsDecl = service.operations.as_ref()?;
    let written = decl.path.as_ref()?;
    let path = check_prefix(written, diagnostics)?;
    let is_own = |prefix: &str| path == prefix || path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
    if !service.paths.is_empty() && !service.paths.iter().any(|prefix| is_own(&prefix.value)) {
        diagnostics
            .error(codes::R14, written.span, format!("`{path}` is outside of the paths of this service"))
            .related(decl.span, "its operations are here")
            .help(format!("begin it with one of `match.paths`, such as `{}{path}`", service.paths.first()?.value));
        return None;
    }
    Some(Operations {
        path,
        routes: decl.routes.clone(),
        keep: decl.keep.unwrap_or(HOUR).min(LONGEST),
        timeout: decl.timeout.unwrap_or(Duration::from_secs(600)),
        most: decl.most.unwrap_or(1000),
        at_once: usize::try_from(decl.at_once.unwrap_or(16)).unwrap_or(16),
    })
}
