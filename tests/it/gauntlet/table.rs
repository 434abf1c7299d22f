//! `docs/gauntlet.md`: what each case came to.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bifocal::rules::checked::Verdict;

use super::case::{Case, Way};
use super::run::Outcome;

const BEGIN: &str = "<!-- Made by tests/it/gauntlet: UPDATE=1 cargo test gauntlet -->

# Real changes

Documented breaking changes of public APIs and formats, with a file of rules for each in `tests/gauntlet/`. A case is
*bridged* where every one of its exchanges translates exactly in every direction that it asks for: requests of old callers
up, responses down, and the same for new callers of an old service. A case that is not is listed with its reason at the end.

The exchanges come from elsewhere and are not part of this repository: where they are not at hand, the test that makes this
page is skipped. What a case itself says is lost by the change is left out of the comparison.
";

const COLUMNS: &str = "\
*Old callers* counts the cases all of whose exchanges are right for old callers of the new service, *without `cel`* the
bridged cases whose rules have no expressions. An exchange in which one old call is several new ones cannot be bridged both
ways, since several calls never become one: its case counts in neither column, although its way for old callers works
(tests/it/calls.rs).
";

/// Fails where the page is stale; `UPDATE=1` writes it.
pub(super) fn check(cases: &[Case], outcomes: &[Option<Outcome>], missed: &BTreeMap<String, String>) {
    crate::generated::check("docs/gauntlet.md", &page(cases, outcomes, missed));
}

fn page(cases: &[Case], outcomes: &[Option<Outcome>], missed: &BTreeMap<String, String>) -> String {
    let mut page = format!("{BEGIN}\n{}\n{COLUMNS}\n", totals(cases, outcomes));
    page.push_str("## Cases\n\nLines of rules are without comments and without the file that names the versions.\n\n");
    page.push_str("| case | family | difficulty | bridged | verdict | lines of rules | needs `cel` |\n");
    page.push_str("|---|---|---|---|---|---|---|\n");
    for (case, outcome) in cases.iter().zip(outcomes) {
        let family: Vec<&str> = case.tags.iter().filter(|tag| *tag != "path").take(2).map(String::as_str).collect();
        let rest = match outcome {
            None => "no: no rules | | | ".to_owned(),
            Some(outcome) => format!(
                "{} | {} | {} | {}",
                bridged(outcome),
                verdict(outcome.verdict),
                outcome.lines,
                if outcome.has_cel { "yes" } else { "no" }
            ),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(page, "| {} | {} | {} | {rest} |", case.id, family.join(", "), case.difficulty);
    }
    if !missed.is_empty() {
        page.push_str("\n## Not bridged\n\n");
        for (id, reason) in missed {
            let _ = writeln!(page, "- {id}: {reason}");
        }
    }
    page
}

/// `yes`, or which ways fail and how often.
fn bridged(outcome: &Outcome) -> String {
    if outcome.is_bridged() {
        return "yes".to_owned();
    }
    let failing = Way::ALL.into_iter().filter_map(|way| {
        let wrong = outcome.wrong.iter().filter(|(_, at, _)| *at == way).count();
        let asked = outcome.asked.get(way as usize)?;
        (wrong > 0).then(|| format!("{} ({wrong} of {asked})", way.name()))
    });
    let calls = match outcome.unasked.len() {
        0 => None,
        1 => Some("several calls as one (1 exchange)".to_owned()),
        count => Some(format!("several calls as one ({count} exchanges)")),
    };
    let all: Vec<String> = failing.chain(calls).collect();
    format!("no: {}", all.join(", "))
}

fn verdict(verdict: Option<Verdict>) -> &'static str {
    match verdict {
        Some(Verdict::Proven) => "proven",
        Some(Verdict::Tested) => "tested",
        Some(Verdict::Refuted) => "refuted",
        None => "refused",
    }
}

/// By difficulty: how many there are and how many are bridged.
fn totals(cases: &[Case], outcomes: &[Option<Outcome>]) -> String {
    let mut table =
        "| difficulty | cases | bridged | old callers | without `cel` |\n|---|---|---|---|---|\n".to_owned();
    for level in ["easy", "medium", "hard", "all"] {
        let of: Vec<Option<&Outcome>> = cases
            .iter()
            .zip(outcomes)
            .filter(|(case, _)| level == "all" || case.difficulty == level)
            .map(|(_, outcome)| outcome.as_ref())
            .collect();
        let count = |test: &dyn Fn(&Outcome) -> bool| of.iter().flatten().filter(|one| test(one)).count();
        let all = count(&Outcome::is_bridged);
        let gate = count(&|one| {
            one.unasked.is_empty() && !one.wrong.iter().any(|(_, way, _)| matches!(way, Way::Up | Way::Down))
        });
        let plain = count(&|one| one.is_bridged() && !one.has_cel);
        let _ = writeln!(table, "| {level} | {} | {all} | {gate} | {plain} |", of.len());
    }
    table
}
