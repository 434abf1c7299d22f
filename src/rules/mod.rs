//! The front end: load -> parse -> check, with every mistake reported at its place.
//!
//! ```no_run
//! let folder = bifocal::rules::load::load_folder(std::path::Path::new("rules"))?;
//! for service in folder.services.values() {
//!     let report = bifocal::rules::check_service(service);
//!     let text = bifocal::diagnostic::to_text(&report.diagnostics, &report.sources, bifocal::diagnostic::Style::Plain);
//!     println!("{}: {text}", service.name);
//! }
//! # Ok::<(), std::io::Error>(())
//! ```

mod claims;
pub(crate) mod expression;
mod held;
pub mod load;
pub mod lockstep;
pub mod manual;
pub mod mapping;
pub mod schema;
pub mod shapes;
pub(crate) mod threads;
pub mod yaml;

pub mod answer;
pub mod ast;
pub mod asynchronous;
pub mod calls;
pub mod channel;
mod parse;
pub mod publish;
pub mod upstream;

mod check;
pub mod checked;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use claims::Claims;
pub use held::Held;

use self::ast::{RuleFile, ServiceFile};
use self::checked::{CheckedKind, CheckedService, Verdict};
use self::load::{LoadedFolder, ServiceSources};
use self::lockstep::Member;
use self::yaml::Limits;
use crate::contract::{self, Budget, Interface};
use crate::diagnostic::{Diagnostic, Diagnostics, SourceId, Sources, Span, codes, suggest};
use crate::plan::StepPlan;

/// Diagnostics of one service that are shown; the first ones explain the rest.
const MAX_SHOWN: usize = 200;

/// What checking one service came to.
#[derive(Debug, Clone)]
pub struct Report {
    /// The service, ready to compile; absent where there is any error.
    pub checked: Option<CheckedService>,
    /// What each version's interface file says, oldest first; `None` where there is none, or none that can be read.
    pub interfaces: Vec<Option<Interface>>,
    /// What was compiled of it to try its laws, by step: whoever serves it need not do that again.
    pub plans: Vec<Option<Arc<StepPlan>>>,
    /// The texts that spans point into.
    pub sources: Arc<Sources>,
    /// Everything found, in the order of the files.
    pub diagnostics: Diagnostics,
    /// Where the service says which requests are its own, for collisions with other services.
    identity: Span,
}

/// What checking a whole rules folder came to.
#[derive(Debug, Clone)]
pub struct FolderReport {
    /// By service.
    pub services: BTreeMap<String, Report>,
    /// What is wrong with the folder itself.
    pub diagnostics: Diagnostics,
    /// The files that [`FolderReport::diagnostics`] speaks of.
    pub sources: Sources,
}

impl FolderReport {
    /// Whether every service can be used.
    pub fn is_clean(&self) -> bool {
        !self.diagnostics.has_errors() && self.services.values().all(|one| one.checked.is_some())
    }
}

/// Checks every service of a folder, and that no two answer for the same requests. Pure.
pub fn check_folder(folder: &LoadedFolder) -> FolderReport {
    let mut services: BTreeMap<String, Report> = BTreeMap::new();
    let mut claims = Claims::default();
    let all: Vec<_> = folder.services.iter().collect();
    // Plans of many services would be much memory for nothing.
    let reports =
        threads::map(&all, threads::all(), |(_, sources)| Report { plans: Vec::new(), ..check_service(sources) });
    for ((name, _), mut report) in all.into_iter().zip(reports) {
        report.refuse_collisions(&claims);
        report.checked.iter().for_each(|checked| claims.add(checked));
        services.insert(name.clone(), report);
    }
    let members: Vec<Member> = services.values().filter_map(|report| report.checked.as_ref()?.member()).collect();
    for report in services.values_mut() {
        report.refuse_out_of_step(&members);
    }
    FolderReport { services, diagnostics: folder.diagnostics.clone(), sources: folder.sources.clone() }
}

/// How far the laws of one rule are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleVerdict {
    /// The older and the newer version's name.
    pub step: (String, String),
    /// The type or message that the rule belongs to.
    pub owner: String,
    /// The rule as written.
    pub rule: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Whether its author accepted a loss.
    pub lossy: bool,
    /// Whether it needs an expression, the last resort.
    pub by_expression: bool,
    /// Where it is written.
    pub span: Span,
}

/// Reads and checks one service, its examples and its laws on a few documents included. Pure.
pub fn check_service(service: &ServiceSources) -> Report {
    check_again(service, &Held::default())
}

/// As [`check_service`], but the examples and laws of a step that held before in the same words are not tried again.
pub fn check_again(service: &ServiceSources, held: &Held) -> Report {
    let mut report = prove_again(service, held);
    if let Some(checked) = report.checked.take() {
        let mut diagnostics = std::mem::take(&mut report.diagnostics);
        let pairs = checked.versions.iter().zip(checked.versions.iter().skip(1));
        for (index, ((old, new), step)) in pairs.zip(&checked.steps).enumerate() {
            let mut compiled = None;
            held.or_try(held::content(service, (&old.name, &new.name)), || {
                let mut found = Diagnostics::default();
                let interface = |version: usize| report.interfaces.get(version).and_then(Option::as_ref);
                let plan = compiled.insert(StepPlan::compile(step));
                contract::verify(step, plan, interface(index), interface(index + 1), Budget::LOAD, &mut found);
                let holds = found.is_empty();
                diagnostics.append(found);
                holds
            });
            report.plans.push(compiled.map(Arc::new));
        }
        report.checked = Some(checked).filter(|_| !diagnostics.has_errors());
        report.diagnostics = diagnostics.sorted(MAX_SHOWN);
    }
    report
}

/// Reads and checks one service as far as that goes without running its rules. Pure.
pub fn prove_service(service: &ServiceSources) -> Report {
    prove_again(service, &Held::default())
}

/// As [`prove_service`], but large interfaces that were read before in the same words are not read again.
fn prove_again(service: &ServiceSources, held: &Held) -> Report {
    let mut diagnostics = service.diagnostics.clone();
    let (file, rules, all_read) = parse_service(service, &mut diagnostics);
    let start = Span { source: SourceId(0), start: 0, end: 0 };
    let identity = file.as_ref().map_or(start, identity);
    let mut interfaces = Vec::new();
    let checked = file.and_then(|file| {
        check_interfaces(&file, service, &mut diagnostics);
        interfaces = parse_interfaces(&file, service, held, &mut diagnostics);
        check::check_service(&service.name, &file, &rules, all_read, &service.sources, &mut diagnostics)
    });
    let understood = check::is_understood(&diagnostics);
    let checked = checked.map(|checked| {
        let mut proof = Diagnostics::default();
        let mut proven = contract::prove(checked, &interfaces, &mut proof);
        // What was found without schemas is not said again in other words.
        let told = |one: &Diagnostic| diagnostics.iter().any(|said| said.code == one.code && said.span.meets(one.span));
        // Where rules are left out, nothing can be said to be missing; a place that no schema has is wrong all the same.
        let stands = |one: &Diagnostic| understood || one.code == codes::E1;
        let news = proof.filter(|one| stands(one) && !told(one));
        diagnostics.append(news);
        if understood {
            proven.shapes = shapes::find(&proven, &interfaces, &mut diagnostics);
        }
        proven
    });
    let checked = checked.filter(|_| !diagnostics.has_errors());
    let (sources, diagnostics) = (Arc::clone(&service.sources), diagnostics.sorted(MAX_SHOWN));
    Report { checked, interfaces, plans: Vec::new(), sources, diagnostics, identity }
}

impl Report {
    /// The verdict of every rule that an author wrote.
    pub fn verdicts(&self) -> Vec<RuleVerdict> {
        let Some(service) = &self.checked else { return Vec::new() };
        let pairs = service.versions.iter().zip(service.versions.iter().skip(1));
        service
            .steps
            .iter()
            .zip(pairs)
            .flat_map(|(step, (old, new))| {
                step.types.iter().filter(|of| of.origin != checked::Origin::Derived).flat_map(|of| {
                    of.rules.iter().map(|rule| RuleVerdict {
                        step: (old.name.clone(), new.name.clone()),
                        owner: of.name.clone(),
                        rule: rule.text.clone(),
                        verdict: rule.verdict,
                        lossy: rule.lossy,
                        by_expression: matches!(&rule.kind, CheckedKind::Mapping(one) if one.has_expression()),
                        span: rule.span,
                    })
                })
            })
            .collect()
    }

    /// Refuses this service where another one already answers for the same host and path (R15).
    ///
    /// The one that is refused is the one it is called on: call it in the order of preference (the service that is
    /// serving already, else by name).
    pub fn refuse_collisions(&mut self, others: &Claims) {
        let Some(clash) = self.checked.as_ref().and_then(|own| others.clash(own)) else { return };
        let request = match (clash.host.as_str(), clash.path.as_str()) {
            ("", "") => "requests of any host and path".to_owned(),
            ("", path) => format!("the path `{path}` of any host"),
            (host, "") => format!("the host `{host}`"),
            (host, path) => format!("the path `{path}` of the host `{host}`"),
        };
        self.diagnostics
            .error(codes::R15, self.identity, format!("`{}` already answers for {request}", clash.holder))
            .help("give each service hosts or paths of its own: `match: {hosts: […], paths: […]}`");
        self.checked = None;
    }

    /// Refuses this service where others that it changes together with are not ready (R21).
    pub fn refuse_out_of_step(&mut self, members: &[Member]) {
        let Some(lockstep) = self.checked.as_ref().and_then(|checked| checked.lockstep.as_ref()) else { return };
        let Some(why) = lockstep.waits_for(members) else { return };
        self.diagnostics.error(codes::R21, lockstep.span, why).help(
            "a group changes when all of its services are good and name the same step; until then it goes on as it was",
        );
        self.checked = None;
    }
}

impl CheckedService {
    /// What the others of its group see of it, if it has one.
    pub fn member(&self) -> Option<Member> {
        Some(Member { service: self.name.clone(), lockstep: self.lockstep.clone()?, is_good: true })
    }
}

fn identity(file: &ServiceFile) -> Span {
    match (file.hosts.first(), file.paths.first()) {
        (_, Some(first)) | (Some(first), None) => first.span,
        (None, None) => Span { end: file.span.start, ..file.span },
    }
}

/// The tree of one file; nothing where reading it from the disk was an error already.
fn read(service: &ServiceSources, id: SourceId, limits: Limits, diagnostics: &mut Diagnostics) -> Option<yaml::Node> {
    if service.diagnostics.iter().any(|one| one.span.source == id) {
        return None;
    }
    yaml::parse(id, &service.sources.get(id)?.text, limits, diagnostics)
}

/// Reads `service.yaml` and the rule files beside it; says whether every rule file could be read.
fn parse_service(
    service: &ServiceSources,
    diagnostics: &mut Diagnostics,
) -> (Option<ServiceFile>, Vec<RuleFile>, bool) {
    let read = |id, diagnostics: &mut Diagnostics| read(service, id, Limits::RULES, diagnostics);
    let main = service.find("service.yaml").and_then(|id| read(id, diagnostics));
    let file = main.and_then(|node| parse::parse_service(&node, diagnostics));
    let mut rules = Vec::new();
    let mut rules_left = parse::MAX_RULES;
    let mut all_read = true;
    for (id, path) in service.iter() {
        let Some(stem) = path.strip_suffix(".yaml").filter(|stem| !stem.contains('/') && *stem != "service") else {
            continue;
        };
        let node = read(id, diagnostics);
        let named = file.as_ref().map_or(parse::Named::Unknown, |file| versions_of(stem, file));
        let parsed = node.and_then(|node| parse::parse_rule_file(&node, named, &mut rules_left, diagnostics));
        all_read &= parsed.is_some();
        rules.extend(parsed);
    }
    (file, rules, all_read)
}

/// The two declared versions that a file's name `<old>-<new>` says. Version names may hold `-` themselves.
fn versions_of(stem: &str, service: &ServiceFile) -> parse::Named {
    let versions = || service.versions.iter().map(|version| version.name.value.as_str());
    let found = stem
        .match_indices('-')
        .filter_map(|(at, _)| Some((stem.get(..at)?, stem.get(at + 1..)?)))
        .find(|(old, new)| versions().any(|one| one == *old) && versions().any(|one| one == *new));
    if let Some((old, new)) = found {
        return parse::Named::Pair(old.to_owned(), new.to_owned());
    }
    let pairs = versions().zip(versions().skip(1)).take(4);
    parse::Named::Other(pairs.map(|(old, new)| format!("{old}-{new}.yaml")).collect())
}

/// Reads the interface of every version that names a file.
fn parse_interfaces(
    file: &ServiceFile,
    service: &ServiceSources,
    held: &Held,
    diagnostics: &mut Diagnostics,
) -> Vec<Option<Interface>> {
    let versions = file.versions.iter().map(|version| {
        let (id, name) = (service.find(&version.openapi.as_ref()?.value)?, version.name.value.as_str());
        held.interface_or_read(service, (id, name), || {
            let mut found = Diagnostics::default();
            let node = read(service, id, Limits::OPENAPI, &mut found);
            let interface = node.and_then(|node| contract::parse_interface(name, &node, &mut found));
            let has_findings = !found.is_empty();
            diagnostics.append(found);
            (interface, has_findings)
        })
    });
    versions.collect()
}

/// The interface files that `openapi:` names must be there.
fn check_interfaces(file: &ServiceFile, service: &ServiceSources, diagnostics: &mut Diagnostics) {
    let known: HashMap<&str, SourceId> = service.interfaces().map(|(id, path)| (path, id)).collect();
    for named in file.versions.iter().filter_map(|version| version.openapi.as_ref()) {
        let path = named.value.strip_prefix("./").unwrap_or(&named.value);
        if known.contains_key(path) {
            continue;
        }
        let found = diagnostics.error(codes::R16, named.span, format!("no interface file `{}`", named.value));
        let mut candidates: Vec<&str> = known.keys().copied().collect();
        candidates.sort_unstable();
        match suggest::help(path, candidates) {
            Some(help) => found.help(help),
            None => found.help("put it into a subfolder, such as `openapi/v1.yaml`, beside `service.yaml`"),
        };
    }
}
