//! Edits such as an old client makes: one value changed, lists in another order.

use super::super::documents::{Random, Value};

/// Changes one value to the donor's at the same place, never a key; lists on the way there are shuffled too.
///
/// Recursion follows the document.
pub(super) fn edit(value: &mut Value, donor: &Value, keys: &[&str], random: &mut Random) {
    match (value, donor) {
        (Value::Object(members), Value::Object(theirs)) => {
            let names: Vec<String> = members
                .iter()
                .map(|(name, _)| name)
                .chain(
                    theirs.iter().map(|(name, _)| name).filter(|name| !members.iter().any(|(mine, _)| mine == *name)),
                )
                .filter(|name| !keys.contains(&name.as_str()))
                .cloned()
                .collect();
            let Some(name) = random.pick(&names) else { return };
            let new = theirs.iter().find(|(other, _)| other == name).map(|(_, value)| value);
            match (members.iter().position(|(mine, _)| mine == name), new) {
                (Some(at), Some(new)) => {
                    if let Some((_, mine)) = members.get_mut(at) {
                        edit(mine, new, keys, random);
                    }
                }
                (Some(at), None) => {
                    members.remove(at);
                }
                (None, Some(new)) => members.push((name.clone(), new.clone())),
                (None, None) => {}
            }
        }
        (Value::Array(mine), Value::Array(theirs)) if !mine.is_empty() => {
            let at = random.below(mine.len());
            if let (Some(mine), Some(theirs)) = (mine.get_mut(at), random.pick(theirs)) {
                edit(mine, theirs, keys, random);
            }
            random.shuffle(mine);
        }
        (mine, theirs) => *mine = theirs.clone(),
    }
}
