//! From the parser's character counts to byte offsets.

/// Every `STEP`th character's byte offset; the rest is walked.
const STEP: usize = 64;

/// Where each character of a text starts, in bytes.
pub(super) struct Offsets<'t> {
    text: &'t str,
    steps: Vec<usize>,
}

impl<'t> Offsets<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        // Pure ASCII needs no table: characters are bytes.
        let steps = if text.is_ascii() {
            Vec::new()
        } else {
            text.char_indices().step_by(STEP).map(|(offset, _)| offset).collect()
        };
        Self { text, steps }
    }

    /// The byte offset of a character, or the text's end.
    pub(super) fn byte(&self, character: usize) -> usize {
        if self.steps.is_empty() {
            return character.min(self.text.len());
        }
        let Some(&from) = self.steps.get(character / STEP) else { return self.text.len() };
        let rest = self.text.get(from..).unwrap_or_default();
        rest.char_indices().nth(character % STEP).map_or(self.text.len(), |(offset, _)| from + offset)
    }
}
