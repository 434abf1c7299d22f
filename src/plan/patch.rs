//! JSON Patch (RFC 6902) between two versions: a list of operations whose paths name fields, so paths are translated
//! like the fields that they name, and values like those fields' values.
//!
//! A path must lead, in the other version, to exactly one place that has the same meaning. What cannot be said so is
//! refused and named: a field that one rule joins with others, an object whose parts rules move, a part of a value that is
//! converted as a whole.

use std::borrow::Cow;

use super::engine;
use super::lens::{ActionKind, Lens, Lenses, Nested, Source, Write};
use super::{Direction, Exchange, Fault, FaultKind, Limits, Scratch, StepPlan, TypeId, Unplaced};
use crate::codecs::Codec;
use crate::json::{self, Tree, separate, unescape, write_string};

impl Exchange<'_> {
    /// Translates the JSON Patch that is a request's body to the service's version.
    ///
    /// # Errors
    /// The first [`Fault`]; its place is the path as the patch has it.
    pub fn patch(&self, patch: &[u8], scratch: &mut Scratch, limits: Limits) -> Result<Vec<u8>, Fault> {
        let limits = Limits { unplaced: Unplaced::Refuse, ..limits };
        let mut current = patch.to_vec();
        for (step, of, direction) in self.request_steps() {
            let Some(of) = of else { continue };
            if step.general.has(of) {
                let detail = "the rules of this document do not say what a path in it becomes; send the document";
                return Err(Fault::new(FaultKind::Guard, detail));
            }
            let patcher = Patcher::new(step, of, direction, limits);
            current = patcher.patch(&current, scratch)?;
        }
        Ok(current)
    }
}

/// The way of one request's body through one step.
struct Patcher<'p> {
    lenses: &'p Lenses,
    /// The message's type, as whole documents.
    of: TypeId,
    direction: Direction,
    limits: Limits,
}

/// What a path leads to in the other version.
enum Led<'p> {
    /// One place.
    To(Target<'p>),
    /// Nothing: the other version has no such field, and its rule says that this is no loss.
    Nowhere,
}

struct Target<'p> {
    path: Vec<String>,
    value: Value<'p>,
    /// What is there where the source has nothing.
    default: Option<&'p [u8]>,
}

/// How a value goes to its place.
#[derive(Clone, Copy, PartialEq)]
enum Value<'p> {
    Codec(&'p Codec),
    As(TypeId),
    Each(TypeId),
}

const SAME: Value<'static> = Value::Codec(&Codec::Same);

impl<'p> Patcher<'p> {
    fn new(step: &'p StepPlan, of: TypeId, direction: Direction, limits: Limits) -> Self {
        let lenses = match direction {
            Direction::Up => &step.up,
            Direction::Down => &step.down,
        };
        // Values in a patch are whole ones, even where the method makes bodies partial.
        let whole = lenses.by_type.len() / 2;
        let of = if of.0 >= whole { TypeId(of.0 - whole) } else { of };
        Self { lenses, of, direction, limits }
    }

    fn patch(&self, patch: &[u8], scratch: &mut Scratch) -> Result<Vec<u8>, Fault> {
        let tree = Tree::parse_within(patch, self.limits.depth, self.limits.nodes)?;
        let refuse = || Fault::guard("expected a list of operations (RFC 6902)".into());
        let mut out = vec![b'['];
        for operation in tree.elements().ok_or_else(refuse)? {
            if !operation.is_object() {
                return Err(refuse());
            }
            let before = out.len();
            separate(&mut out);
            let pointer = pointer_of(operation, "path")?;
            let written =
                self.operation(operation, &pointer, &mut out, scratch).map_err(|fault| fault.within(&pointer))?;
            if !written {
                out.truncate(before);
            }
            if out.len() > self.limits.output {
                return Err(Fault::new(FaultKind::TooLarge, "the translated patch is larger than the limit"));
            }
        }
        out.push(b']');
        Ok(out)
    }

    /// Writes one operation anew; `false` where the other version needs none.
    fn operation(
        &self,
        operation: &Tree<'_>,
        path: &str,
        out: &mut Vec<u8>,
        scratch: &mut Scratch,
    ) -> Result<bool, Fault> {
        let name = operation.get("op").and_then(Tree::text).unwrap_or_default();
        let led = self.lead(path)?;
        match (&*name, led) {
            ("add" | "replace" | "remove", Led::Nowhere) => Ok(false),
            (_, Led::Nowhere) => Err(Fault::guard("expected a field that the other version has, too".into())),
            ("remove", Led::To(target)) => {
                let mut value = Vec::new();
                let left = match (target.default, target.value) {
                    (Some(default), _) => {
                        value.extend_from_slice(default);
                        true
                    }
                    (None, Value::Codec(codec)) => {
                        codec.convert(self.direction, None, &mut value).map_err(Fault::guard)?
                    }
                    (None, _) => false,
                };
                let (name, value) = if left { ("replace", Some(value)) } else { ("remove", None) };
                write(operation, name, &target.path, None, value.as_deref(), out);
                Ok(true)
            }
            ("test", Led::To(Target { value: Value::As(_) | Value::Each(_), .. })) => Err(Fault::guard(
                "expected a test of a single field, since rules translate this one part by part".into(),
            )),
            ("add" | "replace" | "test", Led::To(target)) => {
                let missing = || Fault::new(FaultKind::Missing, "the operation has no value");
                let value = operation.get("value").ok_or_else(missing)?;
                let mut translated = Vec::new();
                self.value(target.value, value, &mut translated, scratch)?;
                write(operation, &name, &target.path, None, Some(&translated), out);
                Ok(true)
            }
            ("move" | "copy", Led::To(target)) => {
                let from = pointer_of(operation, "from")?;
                match self.lead(&from).map_err(|fault| fault.within(&from))? {
                    Led::To(source) if source.value == target.value && source.default.is_none() => {
                        write(operation, &name, &target.path, Some(&source.path), None, out);
                        Ok(true)
                    }
                    _ => Err(Fault::guard("expected two fields that rules convert in the same way".into())),
                }
            }
            _ => Err(Fault::guard("expected add, remove, replace, move, copy or test".into())),
        }
    }

    fn value(&self, how: Value<'_>, value: &Tree<'_>, out: &mut Vec<u8>, scratch: &mut Scratch) -> Result<(), Fault> {
        match how {
            Value::Codec(codec) => codec.convert(self.direction, Some(value.raw), out).map(drop).map_err(Fault::guard),
            Value::As(of) => engine::translate(self.lenses, of, self.direction, value.raw, out, scratch, self.limits),
            Value::Each(of) => {
                let Some(elements) = value.elements() else {
                    out.extend_from_slice(value.raw);
                    return Ok(());
                };
                out.push(b'[');
                for (index, element) in elements.iter().enumerate() {
                    separate(out);
                    self.value(Value::As(of), element, out, scratch)
                        .map_err(|fault| fault.within(&format!("[{index}]")))?;
                }
                out.push(b']');
                Ok(())
            }
        }
    }

    /// Where a path of the body leads.
    fn lead(&self, pointer: &str) -> Result<Led<'p>, Fault> {
        let mut tokens = vec!["body".to_owned()];
        tokens.extend(tokens_of(pointer)?);
        // No document has anything deeper, and following a path takes a step of its own for each level.
        if tokens.len() > self.limits.depth.min(json::MAX_DEPTH) {
            return Err(Fault::guard("expected a path within the depth that documents may have".into()));
        }
        let mut led = self.walk(self.of, &tokens, Vec::new())?;
        if let Led::To(target) = &mut led {
            if target.path.first().is_none_or(|part| part != "body") {
                return Err(Fault::guard("expected a field that is in the body of the other version, too".into()));
            }
            target.path.remove(0);
        }
        Ok(led)
    }

    /// Where the `tokens` of a path lead from a document of a type, which is at `base` in the other version.
    fn walk(&self, of: TypeId, mut tokens: &[String], base: Vec<String>) -> Result<Led<'p>, Fault> {
        let Some(lens) = self.lenses.by_type.get(of.0) else { return Ok(Led::to(base, SAME)) };
        if tokens.is_empty() {
            return Ok(Led::to(base, Value::As(of)));
        }
        if lens.whole_source.is_some() || lens.whole_target.is_some() {
            return Err(Fault::guard("expected the whole value, since rules convert it as one".into()));
        }
        let (mut node, mut path) = (0, base.clone());
        while let ([name, rest @ ..], Some(here)) = (tokens, lens.nodes.get(node)) {
            let action = here.keys.get(name.as_bytes()).and_then(|index| here.actions.get(index));
            match action.map(|action| &action.kind) {
                None if here.closed => {
                    return Err(Fault::guard("expected a field that has a place in the other version".into()));
                }
                None => {
                    path.extend_from_slice(tokens);
                    return Ok(Led::to(path, SAME));
                }
                Some(ActionKind::Taken) => {
                    let detail = "the other version has another field of this name";
                    return Err(Fault::new(FaultKind::Collision, detail));
                }
                Some(ActionKind::Rename { write }) => {
                    let write = here.writes.get(*write);
                    let default = match write.map(|write| &write.source) {
                        Some(Source::Slot { default, .. }) if rest.is_empty() => default.as_deref(),
                        _ => None,
                    };
                    path.extend(write.and_then(name_of));
                    path.extend_from_slice(rest);
                    return Ok(Led::To(Target { path, value: SAME, default }));
                }
                Some(ActionKind::Enter { node: below, .. }) => {
                    path.push(name.clone());
                    (node, tokens) = (*below, rest);
                }
                Some(ActionKind::Slot { slot, nested, .. }) => return self.slot(lens, (*slot, *nested), rest, base),
            }
        }
        Err(Fault::guard("expected one of its fields, since rules move some of them".into()))
    }

    /// Where the value of a slot goes, or what the `rest` of a path names in it.
    fn slot(
        &self,
        lens: &'p Lens,
        (slot, nested): (usize, Nested),
        rest: &[String],
        mut path: Vec<String>,
    ) -> Result<Led<'p>, Fault> {
        if lens.preparations.iter().any(|preparation| preparation.inputs.contains(&slot)) {
            return Err(Fault::guard("expected a field of its own, since one rule converts several together".into()));
        }
        let Some(Written { path: within, codec, default }) = written(lens, 0, slot) else { return Ok(Led::Nowhere) };
        path.extend(within);
        let whole = |path, value| Ok(Led::To(Target { path, value, default }));
        match (nested, rest) {
            (Nested::No, []) => whole(path, Value::Codec(codec)),
            (Nested::No, rest) if *codec == Codec::Same => {
                path.extend_from_slice(rest);
                Ok(Led::to(path, SAME))
            }
            (Nested::No, _) => Err(Fault::guard("expected the whole value, since a rule converts it as one".into())),
            (Nested::As(of), []) => whole(path, Value::As(of)),
            (Nested::As(of), rest) => self.walk(of, rest, path),
            (Nested::Each(of), []) => whole(path, Value::Each(of)),
            (Nested::Each(of), [index, rest @ ..]) => {
                if index != "-" && !index.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(Fault::guard("expected an index of a list".into()));
                }
                path.push(index.clone());
                self.walk(of, rest, path)
            }
        }
    }
}

impl<'p> Led<'p> {
    fn to(path: Vec<String>, value: Value<'p>) -> Self {
        Self::To(Target { path, value, default: None })
    }
}

/// The place that is written from a slot.
struct Written<'p> {
    path: Vec<String>,
    codec: &'p Codec,
    default: Option<&'p [u8]>,
}

fn written(lens: &Lens, node: usize, slot: usize) -> Option<Written<'_>> {
    lens.nodes.get(node)?.writes.iter().find_map(|write| {
        let mut found = match &write.source {
            Source::Slot { slot: fed, codec, default } if *fed == slot => {
                Written { path: Vec::new(), codec, default: default.as_deref() }
            }
            Source::Group(below) => written(lens, *below, slot)?,
            Source::Slot { .. } | Source::Constant(_) => return None,
        };
        found.path.insert(0, name_of(write)?);
        Some(found)
    })
}

fn name_of(write: &Write) -> Option<String> {
    unescape(&write.key).map(Cow::into_owned)
}

fn pointer_of(operation: &Tree<'_>, member: &str) -> Result<String, Fault> {
    let text = operation.get(member).and_then(Tree::text);
    let missing = || Fault::new(FaultKind::Missing, format!("an operation has no `{member}`"));
    text.map(Cow::into_owned).ok_or_else(missing)
}

/// The names in a JSON Pointer (RFC 6901).
fn tokens_of(pointer: &str) -> Result<Vec<String>, Fault> {
    let wrong = || Fault::guard("expected a JSON Pointer (RFC 6901)".into());
    let mut parts = pointer.split('/');
    if parts.next() != Some("") {
        return Err(wrong());
    }
    let token = |part: &str| {
        let plain = part.replace("~1", "").replace("~0", "");
        if plain.contains('~') { Err(wrong()) } else { Ok(part.replace("~1", "/").replace("~0", "~")) }
    };
    parts.map(token).collect()
}

fn pointer(tokens: &[String]) -> String {
    tokens.iter().flat_map(|token| ["/".to_owned(), token.replace('~', "~0").replace('/', "~1")]).collect()
}

/// Writes an operation; what RFC 6902 does not know of it passes.
fn write(
    operation: &Tree<'_>,
    name: &str,
    path: &[String],
    from: Option<&[String]>,
    value: Option<&[u8]>,
    out: &mut Vec<u8>,
) {
    let mut member = |key: &str, raw: &dyn Fn(&mut Vec<u8>)| {
        out.push(if key == "op" { b'{' } else { b',' });
        write_string(key, out);
        out.push(b':');
        raw(out);
    };
    member("op", &|out| write_string(name, out));
    if let Some(from) = from {
        member("from", &|out| write_string(&pointer(from), out));
    }
    member("path", &|out| write_string(&pointer(path), out));
    if let Some(value) = value {
        member("value", &|out| out.extend_from_slice(value));
    }
    for (key, tree) in operation.members() {
        if !matches!(&**key, "op" | "from" | "path" | "value") {
            member(key, &|out| out.extend_from_slice(tree.raw));
        }
    }
    out.push(b'}');
}
