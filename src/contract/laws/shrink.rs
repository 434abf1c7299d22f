//! The smallest document that still breaks a law.

use super::super::documents::{End, Value};
use super::law::{Broken, Law, Sample, Subject, Translator};

/// Trials of one counter-example.
const TRIALS: usize = 3_000;

/// Makes a failing sample smaller while it fails in the same way and stays valid.
pub(super) fn shrink(
    subject: &Subject<'_>,
    law: Law,
    sample: Sample,
    broken: Broken,
    engine: &mut dyn Translator,
) -> (Sample, Broken) {
    let (mut sample, mut broken) = (sample, broken);
    let mut left = TRIALS;
    'again: loop {
        for end in [End::Old, End::New] {
            let current = match end {
                End::Old => &sample.old,
                End::New => &sample.new,
            };
            for smaller in smaller(current) {
                if left == 0 {
                    return (sample, broken);
                }
                left -= 1;
                if subject.allows(end, current) && !subject.allows(end, &smaller) {
                    continue;
                }
                let mut trial = sample.clone();
                match end {
                    End::Old => trial.old = smaller,
                    End::New => trial.new = smaller,
                }
                if let Some(again) = subject.broken(law, &trial, engine)
                    && again.kind == broken.kind
                {
                    (sample, broken) = (trial, again);
                    continue 'again;
                }
            }
        }
        return (sample, broken);
    }
}

/// Documents that are one step smaller, the boldest steps first. Recursion follows the document.
fn smaller(value: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    match value {
        Value::Null | Value::Bool(false) => {}
        Value::Bool(true) => all.push(Value::Bool(false)),
        Value::Number(text) => {
            for simple in ["0", "1"] {
                if text != simple && !(simple == "1" && text == "0") {
                    all.push(Value::Number(simple.to_owned()));
                }
            }
        }
        Value::String(text) => {
            let length = text.chars().count();
            for keep in [0, 1, length / 2, length.saturating_sub(1)] {
                if keep < length {
                    all.push(Value::String(text.chars().take(keep).collect()));
                    all.push(Value::String(text.chars().skip(length - keep).collect()));
                }
            }
            if text.chars().any(|one| !one.is_ascii_alphanumeric() && one != ' ') {
                all.push(Value::String(
                    text.chars().map(|one| if one.is_ascii() && !one.is_ascii_control() { one } else { 'a' }).collect(),
                ));
            }
        }
        Value::Array(elements) => {
            if elements.len() > 1 {
                all.push(Value::Array(Vec::new()));
            }
            for at in 0..elements.len() {
                let mut fewer = elements.clone();
                fewer.remove(at);
                all.push(Value::Array(fewer));
            }
            for (at, element) in elements.iter().enumerate() {
                for one in smaller(element) {
                    let mut with = elements.clone();
                    if let Some(place) = with.get_mut(at) {
                        *place = one;
                    }
                    all.push(Value::Array(with));
                }
            }
        }
        Value::Object(members) => {
            for at in 0..members.len() {
                let mut fewer = members.clone();
                fewer.remove(at);
                all.push(Value::Object(fewer));
            }
            for (at, (_, member)) in members.iter().enumerate() {
                for one in smaller(member) {
                    let mut with = members.clone();
                    if let Some((_, place)) = with.get_mut(at) {
                        *place = one;
                    }
                    all.push(Value::Object(with));
                }
            }
        }
    }
    // `text == current` candidates would shrink for ever.
    all.retain(|one| one != value);
    all
}
