//! What is wrong, where, and how to mend it: codes, source texts, spans and their rendering.

pub mod codes;
mod json;
mod render;
mod source;
pub mod suggest;

pub use json::{Finding, Position, Related};
pub use render::{Style, to_text};
pub use source::{Source, SourceId, Sources, Span};

/// How bad a diagnostic is. Only [`Severity::Error`] keeps a service's new state from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The rule set must not be used.
    Error,
    /// The rule set works, but its author will want to know.
    Warning,
}

/// A stable name for one kind of mistake; `bifocal explain CODE` prints its story. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub &'static str);

/// One mistake at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Which kind of mistake.
    pub code: Code,
    /// Whether it refuses the rule set.
    pub severity: Severity,
    /// What is wrong, in one line, with names in backquotes.
    pub message: String,
    /// Where the caret goes.
    pub span: Span,
    /// The words beside the caret; may be empty.
    pub label: String,
    /// Other places that explain it.
    pub related: Vec<(Span, String)>,
    /// How to mend it.
    pub help: Option<String>,
    /// Lines that show it, such as a document or a difference; empty: none.
    pub note: Vec<String>,
}

/// Every diagnostic of one run, in the order found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Adds an error and hands it back for `.label(…)`, `.help(…)` and `.related(…)`.
    pub fn error(&mut self, code: Code, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Error, code, span, &message.into())
    }

    /// Adds a warning.
    pub fn warning(&mut self, code: Code, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Warning, code, span, &message.into())
    }

    #[expect(clippy::indexing_slicing, reason = "the element was pushed one line before")]
    fn add(&mut self, severity: Severity, code: Code, span: Span, message: &str) -> &mut Diagnostic {
        let message = one_line(message);
        let found = Diagnostic {
            code,
            severity,
            message,
            span,
            label: String::new(),
            related: Vec::new(),
            help: None,
            note: Vec::new(),
        };
        let at = self.0.len();
        self.0.push(found);
        &mut self.0[at]
    }

    /// Whether anything found here refuses the rule set.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|one| one.severity == Severity::Error)
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// How many errors there are.
    pub fn errors(&self) -> usize {
        self.0.iter().filter(|one| one.severity == Severity::Error).count()
    }

    /// In the order of the files and of the places in them, without repetitions, at most `limit` of them.
    ///
    /// Errors come before warnings where not all have room.
    #[must_use]
    pub fn sorted(mut self, limit: usize) -> Self {
        let order = |one: &Diagnostic| (one.span, one.severity, one.code);
        self.0.sort_by(|left, right| order(left).cmp(&order(right)).then_with(|| left.message.cmp(&right.message)));
        self.0.dedup_by(|left, right| order(left) == order(right) && left.message == right.message);
        if self.0.len() > limit {
            self.0.sort_by_key(|one| one.severity);
            self.0.truncate(limit);
            self.0.sort_by_key(order);
        }
        self
    }

    /// Those for which `keep` holds.
    #[must_use]
    pub fn filter(mut self, keep: impl Fn(&Diagnostic) -> bool) -> Self {
        self.0.retain(keep);
        self
    }

    /// Takes over another run's findings.
    pub fn append(&mut self, mut other: Diagnostics) {
        self.0.append(&mut other.0);
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Messages quote what was written: line ends and other control characters are escaped, the length is bounded.
fn one_line(text: &str) -> String {
    const MOST: usize = 300;
    let mut line = String::with_capacity(text.len().min(MOST));
    for (index, one) in text.chars().enumerate() {
        if index == MOST {
            line.push('…');
            break;
        }
        if one.is_control() {
            line.extend(one.escape_default());
        } else {
            line.push(one);
        }
    }
    line
}

impl Diagnostic {
    /// Sets the words beside the caret.
    pub fn label(&mut self, text: impl Into<String>) -> &mut Self {
        self.label = one_line(&text.into());
        self
    }

    /// Sets the lines that show it; at most 60 of them are kept.
    pub fn note(&mut self, text: &str) -> &mut Self {
        self.note = text.lines().take(60).map(one_line).collect();
        self
    }

    /// Sets how to mend it.
    pub fn help(&mut self, text: impl Into<String>) -> &mut Self {
        self.help = Some(one_line(&text.into()));
        self
    }

    /// Points to another place that explains it.
    pub fn related(&mut self, span: Span, text: impl Into<String>) -> &mut Self {
        self.related.push((span, one_line(&text.into())));
        self
    }
}

#[cfg(test)]
mod tests;
