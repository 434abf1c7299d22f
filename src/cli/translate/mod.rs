//! `bifocal translate`

mod calls;
mod documents;
mod large;
mod types;

mod incoming;
mod message;
mod outgoing;
mod trace;

use std::io::{self, BufReader, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;

use self::documents::{Bad, Document, Documents};
use self::message::{Messages, Part as MessagePart};
use self::trace::Tracing;
use self::types::TypeLine;
use super::{CLEAN, FINDINGS, cannot_run};
use crate::diagnostic::{Sources, Span, Style, suggest, to_text};
use crate::path::template::Template;
use crate::plan::{Limits, ServicePlan, Stream};
use crate::rules::check_folder;
use crate::rules::checked::CheckedService;
use crate::rules::load::load_folder;

/// Translate documents or messages from one version to another
///
/// Reads JSON from standard input, one document a line (or one that takes several lines), and writes each translation
/// to standard output as soon as it is done. With `--type` a document is one of that type. Without it a document is a
/// message: a request `{method, path, query, headers, body}` or a response `{status, headers, body, request}`, where
/// `request` is the exchange's request as its caller sent it. A response goes back to its caller, so its `--from` is
/// the version of the service that gave it. Where one old call becomes several, a request gives `{calls: [...]}`, those
/// that can be made at once, and `{request, calls: [{response}, ...]}` (`--from` the newer version) what the answers
/// so far come to: the next calls, or the old response. Ends with 0 where every document was translated, 1 where one was not, 2
/// where it could not run.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bifocal translate --service orders --from v1 --to v2 --type Order < orders.ndjson
  bifocal translate --service orders --from v1 --to v2 --type Order --base live.json < edited.json
  bifocal translate --service orders --from v1 --to v2 --type Order --trace < orders.ndjson
  bifocal translate --service orders --from v1 --to v2 < requests.ndjson
  bifocal translate --service orders --from v2 --to v1 --route 'GET /orders/{id}' --part response < answers.ndjson")]
pub(super) struct Args {
    /// The rules folder: one subfolder a service
    #[arg(long, value_name = "DIR", default_value = "rules", env = "BIFOCAL_RULES")]
    rules: PathBuf,
    /// The service's name: its folder
    #[arg(long, value_name = "S")]
    service: String,
    /// The version that the documents are in
    #[arg(long, value_name = "V")]
    from: String,
    /// The version that they are to be in
    #[arg(long, value_name = "V")]
    to: String,
    /// Documents of this type, named as the rules of `--from` name it; without it documents are messages
    #[arg(long = "type", value_name = "T", conflicts_with_all = ["route", "part"])]
    of: Option<String>,
    /// The messages' route in either version's terms; without it each message says its own
    #[arg(long, value_name = "ROUTE")]
    route: Option<String>,
    /// Which messages; without it those with `status` are responses
    #[arg(long, value_enum)]
    part: Option<Part>,
    /// The live document of the newer version, onto which an old one is put: what that leaves unchanged stays
    #[arg(long, value_name = "FILE")]
    base: Option<PathBuf>,
    /// Tell on standard error which rule made each place, and how many values no rule touched
    #[arg(long, conflicts_with = "base")]
    trace: bool,
    /// End at the first document that cannot be translated
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Requests
    Request,
    /// Responses
    Response,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let (checked, sources) = match load(args) {
        Ok(loaded) => loaded,
        Err(message) => return cannot_run(&message),
    };
    let plan = ServicePlan::compile(&checked);
    let base = match args.base.as_ref().map(|path| std::fs::read(path).map_err(|error| (path, error))).transpose() {
        Ok(base) => base,
        Err((path, error)) => return cannot_run(&format!("cannot read {}: {error}", path.display())),
    };
    let job = match Job::new(args, &checked, &plan, base) {
        Ok(job) => job,
        Err(message) => return cannot_run(&message),
    };
    let traced = args.trace.then(|| ServicePlan::traced(&checked));
    let tracing = match traced.as_ref().map(|plan| Tracing::new(args, &checked, plan, &sources)).transpose() {
        Ok(tracing) => tracing,
        Err(message) => return cannot_run(&message),
    };
    match stream(job, tracing, args.strict) {
        Ok(true) => ExitCode::from(CLEAN),
        Ok(false) => ExitCode::from(FINDINGS),
        // A reader that has gone away (`| head`) is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(CLEAN),
        Err(error) => cannot_run(&error.to_string()),
    }
}

/// What every document is put through.
enum Job<'p> {
    Type(TypeLine<'p>),
    Message(Messages<'p>),
}

impl<'p> Job<'p> {
    fn new(
        args: &Args,
        checked: &'p CheckedService,
        plan: &'p ServicePlan,
        base: Option<Vec<u8>>,
    ) -> Result<Self, String> {
        let (from, to) = way(args, plan)?;
        if let Some(of) = &args.of {
            return TypeLine::new(checked, plan, (from, to), of, base).map(Self::Type);
        }
        let here = Span { source: crate::diagnostic::SourceId(0), start: 0, end: 0 };
        let route = args
            .route
            .as_ref()
            .map(|text| Template::parse(text, here).map_err(|error| format!("--route `{text}`: {}", error.message)));
        let part = args.part.map(|part| match part {
            Part::Request => MessagePart::Request,
            Part::Response => MessagePart::Response,
        });
        Messages::new(checked, plan, (from, to), (route.transpose()?, part), base).map(Self::Message)
    }

    /// Whether large documents can be translated while they are read.
    fn streams(&self) -> bool {
        matches!(self, Self::Type(line) if line.streams())
    }

    /// Begins a document that is translated while it is read.
    fn begin(&self, text: &[u8]) -> Option<Stream> {
        match self {
            Self::Type(line) => line.begin(text),
            Self::Message(_) => None,
        }
    }

    /// Translates one document; what is left to say of it, if anything.
    fn translate(&mut self, document: &[u8], out: &mut Vec<u8>) -> Result<Option<String>, String> {
        match self {
            Self::Type(line) => line.translate(document, out).map(|()| None),
            Self::Message(messages) => messages.translate(document, out),
        }
    }
}

/// The versions that documents come from and go to.
fn way(args: &Args, plan: &ServicePlan) -> Result<(usize, usize), String> {
    let version = |name: &str| {
        let found = plan.versions.iter().position(|one| one.name == name || one.aliases.iter().any(|a| a == name));
        found.ok_or_else(|| {
            let known = plan.versions.iter().map(|one| one.name.as_str());
            unknown("version", name, known)
        })
    };
    Ok((version(&args.from)?, version(&args.to)?))
}

/// Limits of one document: those of the gateway do not hold for files.
fn limits() -> Limits {
    Limits::default()
}

/// The service, checked.
fn load(args: &Args) -> Result<(CheckedService, Arc<Sources>), String> {
    let rules = args.rules.display();
    let folder = load_folder(&args.rules).map_err(|error| format!("cannot read the rules folder {rules}: {error}"))?;
    let mut report = check_folder(&folder);
    let Some(service) = report.services.get_mut(&args.service) else {
        return Err(unknown("service", &args.service, report.services.keys().map(String::as_str)));
    };
    match service.checked.take() {
        Some(checked) => Ok((checked, Arc::clone(&service.sources))),
        None => Err(format!(
            "the rules of `{}` are refused\n\n{}",
            args.service,
            to_text(&service.diagnostics, &service.sources, Style::Plain)
        )),
    }
}

/// `no version is called `v3`; did you mean `v2`?`
fn unknown<'n>(what: &str, name: &str, known: impl Iterator<Item = &'n str>) -> String {
    let help = suggest::help(name, known).map(|help| format!("; {help}")).unwrap_or_default();
    format!("no {what} is called `{name}`{help}")
}

/// Translates everything; says whether all of it could be.
fn stream(mut job: Job<'_>, mut tracing: Option<Tracing<'_>>, strict: bool) -> io::Result<bool> {
    let input = BufReader::with_capacity(64 << 10, io::stdin());
    let mut documents = Documents::new(input, job.streams() && tracing.is_none());
    let mut output = io::BufWriter::new(io::stdout().lock());
    let mut translated = Vec::new();
    let mut all = true;
    while let Some(next) = documents.next()? {
        if let Ok(document) = &next
            && document.goes_on
            && let Some(stream) = job.begin(&document.text)
        {
            if let Err(bad) = large::translate(stream, document, &mut documents, &mut output)? {
                output.flush()?;
                tell(&bad);
                return Ok(false);
            }
            continue;
        }
        translated.clear();
        let done = next.and_then(|Document { line, text, .. }| {
            let note = job.translate(&text, &mut translated).map_err(|reason| Bad { line, reason })?;
            Ok((line, note, tracing.as_mut().map(|tracing| tracing.tell(line, &text))))
        });
        match done {
            Ok((line, note, traced)) => {
                output.write_all(&translated)?;
                output.write_all(b"\n")?;
                if note.is_some() || traced.is_some() {
                    output.flush()?;
                }
                if let Some(traced) = traced {
                    // Where standard error is closed there is nobody left to tell.
                    let _ = io::stderr().lock().write_all(traced.as_bytes());
                }
                if let Some(note) = note {
                    let _ = writeln!(io::stderr().lock(), "bifocal: line {line}: {note}");
                }
            }
            Err(bad) => {
                all = false;
                output.flush()?;
                tell(&bad);
                if strict {
                    break;
                }
            }
        }
        // Whoever waits for the translation of what they sent gets it before they send more.
        if documents.would_wait() {
            output.flush()?;
        }
    }
    output.flush()?;
    Ok(all)
}

fn tell(Bad { line, reason }: &Bad) {
    // Where standard error is closed there is nobody left to tell.
    let _ = writeln!(io::stderr().lock(), "bifocal: line {line}: {reason}");
}
