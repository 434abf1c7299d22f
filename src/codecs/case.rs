//! `case: [old, new]`

use super::argument::Arguments;
use super::{Direction, Guard, Info};
use crate::json::unescape;
use crate::json::write_string;

pub(super) const INFO: Info = Info {
    name: "case",
    options: &[],
    places: (1, 1),
    manual: "\
`case: [lower, upper]` changes a text's letter case: the old side is written in the first, the new side in the second.

```yaml
- currency = price.currency: {case: [lower, upper]}     # usd <-> USD
- kind = kind: {case: [snake, pascal]}                  # line_item <-> LineItem
```

| case | |
|---|---|
| `lower`, `upper` | every letter |
| `snake`, `kebab`, `constant` | `line_item`, `line-item`, `LINE_ITEM` |
| `camel`, `pascal` | `lineItem`, `LineItem` |

* up: the old text must already be in the old case, or it is refused, since its case could not be given back. So is a
  text of words that cannot be told apart in the new case: `a_1` and `a1` are both `a1` in `camel`.
* down: the text in the old case, whatever it was.
* words are of ASCII letters and digits; in `camel` and `pascal` a capital begins a word.

Old-exact only if the old schema fixes the case (an enum, a pattern, a format); otherwise say `loss:`.
",
};

/// A way to write letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letters {
    /// Lower case.
    Lower,
    /// Upper case.
    Upper,
    /// `line_item`
    Snake,
    /// `lineItem`
    Camel,
    /// `LineItem`
    Pascal,
    /// `line-item`
    Kebab,
    /// `LINE_ITEM`
    Constant,
}

/// All of them.
const ALL: [Letters; 7] = [
    Letters::Lower,
    Letters::Upper,
    Letters::Snake,
    Letters::Camel,
    Letters::Pascal,
    Letters::Kebab,
    Letters::Constant,
];

impl Letters {
    /// A text in this case.
    pub(crate) fn apply(self, text: &str) -> String {
        match self {
            Self::Lower => text.to_lowercase(),
            Self::Upper => text.to_uppercase(),
            _ => self.join(&words(text)),
        }
    }

    /// Small words, written in this case.
    fn join(self, words: &[String]) -> String {
        match self {
            Self::Lower | Self::Snake => words.join("_"),
            Self::Kebab => words.join("-"),
            Self::Upper | Self::Constant => words.join("_").to_ascii_uppercase(),
            Self::Camel | Self::Pascal => {
                let capital = |(index, word): (usize, &String)| match word.split_at_checked(1) {
                    Some((first, rest)) if index > 0 || self == Self::Pascal => first.to_ascii_uppercase() + rest,
                    _ => word.clone(),
                };
                words.iter().enumerate().map(capital).collect()
            }
        }
    }

    /// Whether it is a way to join words.
    pub(crate) fn is_of_words(self) -> bool {
        !matches!(self, Self::Lower | Self::Upper)
    }

    fn apply_ascii(self, byte: u8) -> u8 {
        match self {
            Self::Upper => byte.to_ascii_uppercase(),
            _ => byte.to_ascii_lowercase(),
        }
    }

    /// Its word in a rule.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lower => "lower",
            Self::Upper => "upper",
            Self::Snake => "snake",
            Self::Camel => "camel",
            Self::Pascal => "pascal",
            Self::Kebab => "kebab",
            Self::Constant => "constant",
        }
    }
}

/// The words of a text in any of the cases, in small letters: they end at `_`, `-` and before a capital that follows a
/// small letter or a digit.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = '_';
    for letter in text.chars() {
        if matches!(letter, '_' | '-') || (letter.is_ascii_uppercase() && !matches!(before, '_' | '-' | 'A'..='Z')) {
            words.push(String::new());
        }
        if let (Some(word), false) = (words.last_mut(), matches!(letter, '_' | '-')) {
            word.push(letter.to_ascii_lowercase());
        }
        before = letter;
    }
    words
}

/// A text in two letter cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// The old side's case.
    pub old: Letters,
    /// The new side's case.
    pub new: Letters,
}

impl Case {
    pub(super) fn parse(arguments: &mut Arguments<'_>) -> Option<Self> {
        let [old, new] = arguments.pair("write for example `case: [lower, upper]`")?.map(|node| {
            let name = node.as_str();
            ALL.into_iter().find(|letters| Some(letters.name()) == name).ok_or(node.span)
        });
        match (old, new) {
            (Ok(old), Ok(new)) => Some(Self { old, new }),
            (Err(span), _) | (_, Err(span)) => arguments.refuse(
                span,
                "not a letter case",
                "the cases are `lower`, `upper`, `snake`, `camel`, `pascal`, `kebab` and `constant`",
            ),
        }
    }

    pub(super) fn convert(self, direction: Direction, value: &[u8], out: &mut Vec<u8>) -> Result<(), Guard> {
        if value.first() != Some(&b'"') {
            return Err(EXPECTED);
        }
        let target = match direction {
            Direction::Up => self.new,
            Direction::Down => self.old,
        };
        let is_of_words = self.old.is_of_words() || self.new.is_of_words();
        if !is_of_words && value.is_ascii() && !value.contains(&b'\\') {
            if direction == Direction::Up && value.iter().any(|&byte| self.old.apply_ascii(byte) != byte) {
                return Err(self.wrong_case());
            }
            out.extend(value.iter().map(|&byte| target.apply_ascii(byte)));
            return Ok(());
        }
        self.convert_letters(direction, target, value, out)
    }

    /// The same for texts of any letters.
    #[inline(never)]
    fn convert_letters(
        self,
        direction: Direction,
        target: Letters,
        value: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Guard> {
        let text = unescape(value).ok_or(EXPECTED)?;
        let converted = target.apply(&text);
        // Some letters have no single partner (`ß` becomes `SS`): those could not be given back either.
        if direction == Direction::Up && (self.old.apply(&text) != *text || self.old.apply(&converted) != *text) {
            return Err(self.wrong_case());
        }
        write_string(&converted, out);
        Ok(())
    }

    #[cold]
    fn wrong_case(self) -> Guard {
        format!("expected text in {} case", self.old.name()).into()
    }
}

const EXPECTED: Guard = Guard::Borrowed("expected a string");
