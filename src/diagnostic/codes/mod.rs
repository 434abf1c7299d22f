//! Every code there is, each with its story: `bifocal explain CODE` prints it.
//!
//! `R` codes come from reading rules, `E` codes from checking what they mean, `S` codes from reading interfaces
//! (OpenAPI files), `W` codes are warnings. A code's meaning never changes and a retired code is never used again.

mod interfaces;
mod meaning;
mod reading;
mod warnings;

use super::Code;

pub use interfaces::*;
pub use meaning::*;
pub use reading::*;
pub use warnings::*;

/// A code's story.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The code.
    pub code: Code,
    /// What is wrong, in a few words.
    pub title: &'static str,
    /// Why it is refused and how to mend it.
    pub explanation: &'static str,
    /// A text that gets this code.
    pub wrong: &'static str,
    /// The same text, mended.
    pub mended: &'static str,
}

/// Every entry, in the order of the manual.
pub fn all() -> impl Iterator<Item = &'static Entry> {
    READING.iter().chain(MEANING).chain(INTERFACES).chain(WARNINGS)
}

/// The story of a code, by its name in any letter case.
pub fn find(name: &str) -> Option<&'static Entry> {
    all().find(|entry| entry.code.0.eq_ignore_ascii_case(name))
}

/// Declares codes: a constant and an entry each, so that neither can be forgotten.
macro_rules! codes {
    ($entries:ident; $($code:ident $title:literal, $explanation:literal, wrong $wrong:literal, mended $mended:literal;)*) => {
        $(
            #[doc = $title]
            pub const $code: $crate::diagnostic::Code = $crate::diagnostic::Code(stringify!($code));
        )*

        /// The entries of this part.
        pub(super) const $entries: &[$crate::diagnostic::codes::Entry] = &[$(
            $crate::diagnostic::codes::Entry {
                code: $code,
                title: $title,
                explanation: $explanation,
                wrong: $wrong,
                mended: $mended,
            },
        )*];
    };
}
use codes;

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes are part of the interface: add at the end of each letter, never rename, never reuse.
    #[test]
    fn the_set_of_codes_is_stable() {
        let names: Vec<&str> = all().map(|entry| entry.code.0).collect();
        assert_eq!(
            names.join(" "),
            "R1 R2 R3 R4 R5 R6 R7 R8 R9 R10 R11 R12 R13 R14 R15 R16 R17 R18 R19 R20 R21 \
             E1 E2 E3 E4 E5 E6 E7 E8 E9 E10 E11 E12 E13 E14 E15 E16 E17 S1 S2 S3 S4 W1 W2 W3 W4"
        );
    }

    #[test]
    fn every_story_is_told() {
        for entry in all() {
            let Entry { code, title, explanation, wrong, mended } = entry;
            assert!(!title.is_empty() && !title.ends_with('.') && title.len() < 80, "{code:?}");
            assert!(explanation.ends_with('.') && explanation.len() > 60, "{code:?}");
            assert!(!wrong.is_empty() && !mended.is_empty() && wrong != mended, "{code:?}");
        }
    }
}
