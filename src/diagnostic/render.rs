//! Diagnostics for people: the text, the caret, the help. The only file that names the rendering crate.

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{Annotation, AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};

use super::{Diagnostic, Diagnostics, Severity, Source, Sources, Span};

/// Where colours go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Text alone: files, pipes, logs.
    Plain,
    /// A terminal.
    Colour,
}

/// Lines between two places of one file that are still shown as one excerpt.
const NEAR: usize = 40;
/// Longer lines are not quoted: a one-line JSON file would fill the screen.
const LINE: usize = 400;
/// A span of more lines than this is cut to its first line.
const TALL: usize = 12;

/// Every diagnostic with an excerpt of its source, one blank line between.
pub fn to_text(diagnostics: &Diagnostics, sources: &Sources, style: Style) -> String {
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Colour => Renderer::styled(),
    }
    .decor_style(DecorStyle::Ascii);
    let blocks: Vec<String> = diagnostics.iter().map(|one| render(&renderer, one, sources)).collect();
    blocks.join("\n\n")
}

fn render(renderer: &Renderer, one: &Diagnostic, sources: &Sources) -> String {
    let level = match one.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(one.message.as_str()).id(one.code.0));
    let marks = std::iter::once((one.span, one.label.as_str(), AnnotationKind::Primary))
        .chain(one.related.iter().map(|(span, text)| (*span, text.as_str(), AnnotationKind::Context)));
    // Places near each other in one file share an excerpt.
    let mut excerpts: Vec<Excerpt<'_>> = Vec::new();
    for (span, label, kind) in marks {
        let Some(source) = sources.get(span.source) else { continue };
        let mark = Mark { range: range(source, span), label, kind };
        match excerpts.iter_mut().find(|excerpt| excerpt.takes(span, &mark.range)) {
            Some(excerpt) => excerpt.add(mark),
            None => excerpts.push(Excerpt::new(span, source, mark)),
        }
    }
    for excerpt in excerpts {
        group = group.element(excerpt.element());
    }
    let note = one.note.join("\n");
    if !note.is_empty() {
        group = group.element(Level::NOTE.message(note.as_str()));
    }
    if let Some(help) = &one.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    renderer.render(&[group])
}

struct Mark<'d> {
    range: Range<usize>,
    label: &'d str,
    kind: AnnotationKind,
}

/// Some whole lines of one source with the places to point at.
struct Excerpt<'d> {
    of: Span,
    source: &'d Source,
    lines: Range<usize>,
    marks: Vec<Mark<'d>>,
}

impl<'d> Excerpt<'d> {
    fn new(of: Span, source: &'d Source, mark: Mark<'d>) -> Self {
        Self { of, source, lines: whole_lines(&source.text, &mark.range), marks: vec![mark] }
    }

    fn takes(&self, span: Span, range: &Range<usize>) -> bool {
        let both = self.lines.start.min(range.start)..self.lines.end.max(range.end);
        span.source == self.of.source
            && self.source.text.get(both).is_some_and(|text| text.len() < NEAR * LINE && text.lines().count() <= NEAR)
    }

    fn add(&mut self, mark: Mark<'d>) {
        let more = whole_lines(&self.source.text, &mark.range);
        self.lines = self.lines.start.min(more.start)..self.lines.end.max(more.end);
        self.marks.push(mark);
    }

    fn element(self) -> Element<'d> {
        let text = self.source.text.get(self.lines.clone()).unwrap_or_default();
        let first = self.marks.first().map_or(0, |mark| mark.range.start);
        if text.lines().any(|line| line.len() > LINE) {
            let (line, column) = position(&self.source.text, first);
            return Origin::path(self.source.path.as_str()).line(line).char_column(column).into();
        }
        let (line, _) = position(&self.source.text, self.lines.start);
        let start = self.lines.start;
        Snippet::source(text)
            .path(self.source.path.as_str())
            .line_start(line)
            .annotations(self.marks.into_iter().map(|mark| -> Annotation<'d> {
                let within = mark.range.start.saturating_sub(start)..mark.range.end.saturating_sub(start);
                mark.kind.span(within).label(Some(mark.label).filter(|label| !label.is_empty()))
            }))
            .into()
    }
}

/// The span as a range that is surely inside the text and on character boundaries.
fn range(source: &Source, span: Span) -> Range<usize> {
    let text = &source.text;
    let floor = |offset: u32| {
        let offset = (offset as usize).min(text.len());
        (0..=offset).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
    };
    let start = floor(span.start);
    let end = floor(span.end).max(start);
    let covered = text.get(start..end).unwrap_or_default();
    let tall = covered.lines().nth(TALL).is_some();
    match covered.find('\n') {
        Some(first) if tall => start..start + first,
        _ => start..end,
    }
}

fn whole_lines(text: &str, range: &Range<usize>) -> Range<usize> {
    let start = text.get(..range.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let end = text.get(range.end..).and_then(|after| after.find('\n')).map_or(text.len(), |at| range.end + at);
    start..end
}

/// Line and column (both from 1, the column in characters) of a byte offset.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line = 1 + memchr::memchr_iter(b'\n', before.as_bytes()).count();
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let start = if start == 0 && text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { start };
    let column = 1 + before.get(start..).map_or(0, |rest| rest.chars().count());
    (line, column)
}
