//! Diagnostics for programs. The shape is part of the interface: add keys, never change them.

use serde::Serialize;

use super::render::position;
use super::{Diagnostic, Severity, Sources, Span};

/// One diagnostic with its place counted in lines and columns (from 1; columns in characters; ends exclusive).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// For example `E2`.
    pub code: &'static str,
    /// `error` or `warning`.
    pub severity: &'static str,
    /// Where.
    #[serde(flatten)]
    pub place: Position,
    /// What is wrong.
    pub message: String,
    /// The words beside the caret; may be empty.
    pub label: String,
    /// How to mend it.
    pub help: Option<String>,
    /// Lines that show it, such as a document or a difference; left out where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub note: Vec<String>,
    /// Other places that explain it.
    pub related: Vec<Related>,
}

/// A range of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Position {
    /// Relative to the rules folder.
    pub file: String,
    /// First line.
    pub line: usize,
    /// First column.
    pub column: usize,
    /// Last line.
    pub end_line: usize,
    /// One past the last column.
    pub end_column: usize,
}

/// Another place that explains a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Related {
    /// Where.
    #[serde(flatten)]
    pub place: Position,
    /// What is there.
    pub message: String,
}

impl Finding {
    /// Resolves a diagnostic's places.
    pub fn new(one: &Diagnostic, sources: &Sources) -> Self {
        Self {
            code: one.code.0,
            severity: match one.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            place: Position::new(one.span, sources),
            message: one.message.clone(),
            label: one.label.clone(),
            help: one.help.clone(),
            note: one.note.clone(),
            related: one
                .related
                .iter()
                .map(|(span, text)| Related { place: Position::new(*span, sources), message: text.clone() })
                .collect(),
        }
    }
}

impl Position {
    /// Counts lines and columns.
    pub fn new(span: Span, sources: &Sources) -> Self {
        let (file, text) = sources.get(span.source).map_or(("", ""), |source| (&source.path, &source.text));
        let (line, column) = position(text, span.start as usize);
        let (end_line, end_column) = position(text, span.end as usize);
        Self { file: file.to_owned(), line, column, end_line, end_column }
    }
}
