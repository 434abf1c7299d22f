//! Source texts and places in them.

/// Which source text, as an index into [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);

/// A range of bytes in one source text, end exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The text.
    pub source: SourceId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// For what is written nowhere.
    pub const NOWHERE: Self = Self { source: SourceId(0), start: 0, end: 0 };

    /// Whether two spans have a byte in common.
    pub fn meets(self, other: Self) -> bool {
        self.source == other.source && self.start < other.end && other.start < self.end
    }

    /// A part of this span, `start..end` counted in bytes from this span's start.
    #[must_use]
    pub fn slice(self, start: usize, end: usize) -> Self {
        let at = |offset: usize| self.start.saturating_add(u32::try_from(offset).unwrap_or(u32::MAX)).min(self.end);
        Self { source: self.source, start: at(start), end: at(end) }
    }
}

/// One file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Path relative to the rules folder, `/` between segments.
    pub path: String,
    /// The whole text.
    pub text: String,
}

/// Every file that was read, in a fixed order (by path).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// Adds a text and names it.
    pub fn add(&mut self, path: impl Into<String>, text: impl Into<String>) -> SourceId {
        let id = SourceId(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        self.0.push(Source { path: path.into(), text: text.into() });
        id
    }

    /// The text of a name that [`Sources::add`] gave.
    pub fn get(&self, id: SourceId) -> Option<&Source> {
        self.0.get(id.0 as usize)
    }

    /// All texts with their names.
    pub fn iter(&self) -> impl Iterator<Item = (SourceId, &Source)> {
        (0_u32..).map(SourceId).zip(&self.0)
    }
}
