//! Reading a codec's arguments from the map that a rule gives it.

use crate::diagnostic::{Code, Diagnostics, Span, codes};
use crate::rules::yaml::{Node, get, to_json};

/// A codec's argument is not what the codec takes.
const BAD_ARGUMENT: Code = codes::R11;

/// The map of one rule, seen by one codec.
pub(super) struct Arguments<'a> {
    /// The codec's own value (`{split: " "}`: the `" "`).
    pub(super) own: &'a Node,
    map: &'a [(Node, Node)],
    diagnostics: &'a mut Diagnostics,
}

impl<'a> Arguments<'a> {
    pub(super) fn new(name: &str, map: &'a [(Node, Node)], diagnostics: &'a mut Diagnostics) -> Option<Self> {
        let own = get(map, name)?;
        Some(Self { own, map, diagnostics })
    }

    /// An option beside the codec's own value.
    pub(super) fn option(&self, name: &str) -> Option<&'a Node> {
        get(self.map, name)
    }

    /// Reports a bad argument and answers `None`.
    pub(super) fn refuse<T>(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) -> Option<T> {
        self.diagnostics.error(BAD_ARGUMENT, span, message).help(help);
        None
    }

    /// Whether the rule's author accepts that something is lost: old values may then be spelled in ways that the way
    /// back does not write.
    pub(super) fn accepts_loss(&self) -> bool {
        self.option("loss").is_some()
    }

    /// A value as exact JSON text.
    pub(super) fn json(&mut self, node: &Node) -> Option<String> {
        match to_json(node) {
            Ok(text) => Some(text),
            Err(error) => self.refuse(error.span, error.message, error.help),
        }
    }

    /// The own value as `true`: for codecs without arguments.
    pub(super) fn switch(&mut self, name: &str) -> Option<()> {
        if self.own.as_bool() == Some(true) {
            return Some(());
        }
        self.refuse(self.own.span, format!("`{name}` takes no argument"), format!("write `{name}: true`"))
    }

    /// The own value as a list of two words.
    pub(super) fn pair(&mut self, help: &str) -> Option<[&'a Node; 2]> {
        if let Some([old, new]) = self.own.as_list() {
            return Some([old, new]);
        }
        self.refuse(self.own.span, format!("expected a list of two, old then new, found {}", self.own.describe()), help)
    }
}
