//! Runs a case: every question that it asks, through `bifocal translate` and the rules of its folder.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use bifocal::rules::check_folder;
use bifocal::rules::checked::Verdict;
use bifocal::rules::load::load_folder;

use super::case::{Case, Question, Way};

/// What a case came to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Questions, by way.
    pub(super) asked: [usize; 4],
    /// Those that were not answered rightly, each with its exchange, way and what was wrong.
    pub(super) wrong: Vec<(String, Way, String)>,
    /// What the command said where it could not run.
    refusal: String,
    /// Exchanges that could not be asked.
    pub(super) unasked: Vec<String>,
    /// How far the rules' laws are shown; nothing where they are refused.
    pub(super) verdict: Option<Verdict>,
    /// Lines of rules, without comments.
    pub(super) lines: usize,
    /// Whether they need expressions.
    pub(super) has_cel: bool,
}

impl Outcome {
    pub(super) fn is_bridged(&self) -> bool {
        self.wrong.is_empty() && self.unasked.is_empty()
    }

    /// Everything that is wrong, for people.
    pub(super) fn story(&self) -> String {
        let wrong = self.wrong.iter().map(|(exchange, way, why)| format!("{exchange}, {}: {why}\n", way.name()));
        let unasked = self.unasked.iter().map(|exchange| format!("{exchange}: needs several calls\n"));
        std::iter::once(self.refusal.clone()).chain(wrong).chain(unasked).collect()
    }
}

/// Runs a case by the rules in `folder`; `options` go to the command.
pub(super) fn run(case: &Case, folder: &Path, options: &[&str]) -> Outcome {
    // A rules folder of this service alone.
    let rules = tempfile::tempdir().unwrap();
    let own = rules.path().join(&case.id);
    fs::create_dir(&own).unwrap();
    let mut outcome = Outcome::default();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "yaml") {
            let text = fs::read_to_string(&path).unwrap();
            if path.file_stem().is_some_and(|name| name != "service") {
                let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
                outcome.lines += lines.count();
                outcome.has_cel |= text.contains("cel:");
            }
            fs::write(own.join(path.file_name().unwrap()), text).unwrap();
        }
    }
    let report = check_folder(&load_folder(rules.path()).unwrap());
    let service = report.services.get(&case.id);
    outcome.verdict = service.and_then(|one| one.verdicts().iter().map(|one| one.verdict).max());

    let (questions, unasked) = case.questions();
    outcome.unasked = unasked.into_iter().map(str::to_owned).collect();
    for is_from_old in [true, false] {
        let asked: Vec<&Question> = questions.iter().filter(|one| one.way.is_from_old() == is_from_old).collect();
        if asked.is_empty() {
            continue;
        }
        let answers = translate((rules.path(), &case.id), is_from_old, &asked, options).unwrap_or_else(|told| {
            outcome.refusal = told;
            vec![Err("the rules do not run".to_owned()); asked.len()]
        });
        for (question, answer) in asked.iter().zip(answers) {
            if let Some(count) = outcome.asked.get_mut(question.way as usize) {
                *count += 1;
            }
            if let Err(why) = answer.and_then(|came| question.compare(&came)) {
                outcome.wrong.push((question.exchange.clone(), question.way, why));
            }
        }
    }
    outcome
}

/// The translation of each message, or why there is none.
type Answers = Vec<Result<String, String>>;

/// # Errors
/// What the command said where it could not run.
fn translate(
    (rules, service): (&Path, &str),
    is_from_old: bool,
    questions: &[&Question],
    options: &[&str],
) -> Result<Answers, String> {
    let (from, to) = if is_from_old { ("old", "new") } else { ("new", "old") };
    let mut child = Command::new(env!("CARGO_BIN_EXE_bifocal"))
        .args(["translate", "--service", service, "--from", from, "--to", to, "--rules"])
        .arg(rules)
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: Vec<String> = questions.iter().map(|one| one.given.to_string()).collect();
    let lines = lines.join("\n");
    let mut input = child.stdin.take().unwrap();
    // Written beside, so that neither side waits for the other; a command that cannot run reads nothing.
    let writer = std::thread::spawn(move || drop(input.write_all(lines.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    if output.status.code() == Some(2) {
        return Err(told);
    }
    let mut came = out.lines();
    let answer = |number: usize| {
        // Not translated, or translated but not traced.
        let begins = [format!("bifocal: line {number}: "), format!("line {number}: no trace: ")];
        let reason = |line: &str| begins.iter().find_map(|begin| line.strip_prefix(begin)).map(str::to_owned);
        match told.lines().find_map(reason) {
            Some(reason) => Err(reason),
            None => Ok(came.next().unwrap_or_default().to_owned()),
        }
    };
    Ok((1..=questions.len()).map(answer).collect())
}
