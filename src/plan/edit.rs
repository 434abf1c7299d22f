//! Changes to a document, applied so that everything else keeps its bytes.

use crate::json::{Tree, separate, write_name};

/// What becomes of one value.
#[derive(Debug, Default)]
pub(super) enum Edit {
    /// It stays.
    #[default]
    Leave,
    /// It becomes this JSON text.
    Set(Vec<u8>),
    /// It goes.
    Remove,
    /// Some of its members change.
    Members(Vec<(String, Edit)>),
}

impl Edit {
    /// Notes that the value at a path becomes a text, or goes.
    pub(super) fn set(&mut self, path: &[String], text: Option<Vec<u8>>) {
        let Some((name, rest)) = path.split_first() else {
            *self = text.map_or(Self::Remove, Self::Set);
            return;
        };
        if !matches!(self, Self::Members(_)) {
            *self = Self::Members(Vec::new());
        }
        let Self::Members(members) = self else { return };
        let index = members.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            members.push((name.clone(), Self::Leave));
            members.len() - 1
        });
        if let Some((_, member)) = members.get_mut(index) {
            member.set(rest, text);
        }
    }

    /// Appends the changed value; answers whether there is one.
    pub(super) fn apply(&self, base: Option<&Tree<'_>>, out: &mut Vec<u8>) -> bool {
        match (self, base) {
            (Self::Leave, None) | (Self::Remove, _) => false,
            (Self::Leave, Some(base)) => {
                out.extend_from_slice(base.raw);
                true
            }
            (Self::Set(text), _) => {
                out.extend_from_slice(text);
                true
            }
            (Self::Members(edits), Some(base)) if base.is_object() => {
                apply_members(edits, base, out);
                true
            }
            (Self::Members(edits), base) => {
                let before = out.len();
                out.push(b'{');
                for (name, edit) in edits {
                    append(name, edit, out);
                }
                if out.len() == before + 1 {
                    out.truncate(before);
                    if let Some(base) = base {
                        out.extend_from_slice(base.raw);
                    }
                    return base.is_some();
                }
                out.push(b'}');
                true
            }
        }
    }
}

/// Writes a member behind the others, where there is anything to write.
fn append(name: &str, edit: &Edit, out: &mut Vec<u8>) {
    let before = out.len();
    write_name(name, out);
    if !edit.apply(None, out) {
        out.truncate(before);
    }
}

/// Copies an object member by member, white space and names as they are, changing what the edits name.
fn apply_members(edits: &[(String, Edit)], base: &Tree<'_>, out: &mut Vec<u8>) {
    let offset_of = |value: &Tree<'_>| value.raw.as_ptr() as usize - base.raw.as_ptr() as usize;
    out.push(b'{');
    let mut behind = 1;
    for (name, value) in base.members() {
        let start = offset_of(value);
        // From behind the last value: perhaps white space and a comma, white space, the name, the colon.
        let lead = base.raw.get(behind..start).unwrap_or_default();
        let name_at = lead.iter().position(|&byte| byte == b'"').unwrap_or(0);
        let (space, label) = lead.split_at(name_at);
        let space = space.split(|&byte| byte == b',').next_back().unwrap_or_default();
        let before = out.len();
        separate(out);
        out.extend_from_slice(space);
        out.extend_from_slice(label);
        let edit = edits.iter().find(|(known, _)| known == name).map_or(&Edit::Leave, |(_, edit)| edit);
        if !edit.apply(Some(value), out) {
            out.truncate(before);
        }
        behind = start + value.raw.len();
    }
    for (name, edit) in edits {
        if base.get(name).is_none() {
            append(name, edit, out);
        }
    }
    // White space before the closing brace; an object without members had it before the brace, too.
    out.extend_from_slice(base.raw.get(behind..).filter(|rest| !rest.is_empty()).unwrap_or(b"}"));
}
