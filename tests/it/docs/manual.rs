//! The examples of the manual do what they say.

use bifocal::diagnostic::{Style, to_text};
use bifocal::rules::check_service;
use bifocal::rules::load::ServiceSources;
use bifocal::rules::manual;

use crate::corpus_documents::{check_pair, compile, compile_file};
use crate::corpus_rules::SERVICE;

use super::fenced;

#[test]
fn every_example_works() {
    let mut pairs = 0;
    for page in manual::all() {
        let mut step = None;
        let blocks = fenced(page.manual);
        assert!(blocks.iter().any(|(info, _)| *info == "yaml"), "`{}` has no example", page.name);
        for (info, body) in blocks {
            match info {
                "yaml" if body.starts_with("versions:") => of_channels(page.name, &body),
                "yaml" if body.contains("\nmessages:") => {
                    let report = check_service(&ServiceSources::from_texts(
                        "shop",
                        [("service.yaml", CHANNELS), ("v1-v2.yaml", &body)],
                    ));
                    assert!(
                        report.checked.is_some(),
                        "{}",
                        to_text(&report.diagnostics, &report.sources, Style::Plain)
                    );
                }
                "yaml" if body.starts_with("types:") => step = Some(compile_file(&body)),
                "yaml" if body.starts_with("- ") => {
                    let rules: String = body.lines().flat_map(|line| ["  ", line, "\n"]).collect();
                    step = Some(compile(&format!("T:\n{rules}")));
                }
                "yaml" => accepted(page.name, &body),
                "pairs" => {
                    for line in body.lines() {
                        check_pair(step.as_ref().unwrap(), line, page.name);
                        pairs += 1;
                    }
                }
                other => unreachable!("`{}`: a block of `{other}`", page.name),
            }
        }
    }
    assert!(pairs > 60, "{pairs}");
}

/// A service with the channel of the pages about channels.
const CHANNELS: &str = "versions: {v1: , v2: }\nchannels:\n  orders:\n    versions:\n      \
    v1: {egress: {broker: m, queue: a}}\n      v2: {ingress: {broker: m, queue: b}}\n";

/// A service whose channels have the same messages in both versions.
fn of_channels(name: &str, service: &str) {
    let channels = service.lines().filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    let rules: String = channels.fold(String::new(), |all, line| format!("{all}  {line} same\n"));
    let rules = format!("messages:\n{rules}");
    let report =
        check_service(&ServiceSources::from_texts("shop", [("service.yaml", service), ("v1-v2.yaml", &rules)]));
    assert!(report.checked.is_some(), "{name}\n{}", to_text(&report.diagnostics, &report.sources, Style::Plain));
}

fn accepted(name: &str, rules: &str) {
    let report = check_service(&ServiceSources::from_texts("shop", [("service.yaml", SERVICE), ("v1-v2.yaml", rules)]));
    assert!(report.checked.is_some(), "{name}\n{}", to_text(&report.diagnostics, &report.sources, Style::Plain));
}

#[test]
fn no_two_things_have_one_name() {
    let codecs = bifocal::codecs::ALL.iter().map(|info| info.name);
    let mut names: Vec<&str> = manual::all().map(|page| page.name).chain(codecs).collect();
    names.sort_unstable();
    let before = names.len();
    names.dedup();
    assert_eq!(names.len(), before);
}
