//! Header values: AMQP's own types are kept as they are, and have a text where one can be made.

use lapin::types::{AMQPValue, FieldArray, FieldTable, LongString, ShortString};

use super::super::super::broker::Unpublished;
use super::super::super::message::{Headers, Value};
use crate::json::write_string;

/// What the broker writes into headers of what it gives out: not the writer's, and wrong once the message is elsewhere.
const BROKERS_OWN: [&str; 2] = ["x-delivery-count", "x-acquired-count"];
/// Names that make a broker of this kind put a message into further queues; under another name they are only headers.
const ROUTING: [(&str, &str); 2] = [("CC", "bifocal-cc"), ("BCC", "bifocal-bcc")];

/// Headers as they come.
pub(super) fn read(table: &FieldTable) -> Headers {
    let mut headers = Headers::default();
    for (name, value) in table.inner() {
        if BROKERS_OWN.contains(&name.as_str()) {
            continue;
        }
        headers.push(name.as_str(), read_value(value));
    }
    headers
}

fn read_value(value: &AMQPValue) -> Value {
    match value {
        AMQPValue::LongString(text) => match std::str::from_utf8(text.as_bytes()) {
            Ok(text) => Value::text(text),
            Err(_) => Value::native(value.clone(), None),
        },
        other => Value::native(other.clone(), to_text(other)),
    }
}

/// Headers as they go. Two of one name, which AMQP does not have, become a list.
pub(super) fn write(headers: &Headers) -> Result<FieldTable, Unpublished> {
    let mut all: std::collections::BTreeMap<ShortString, AMQPValue> = std::collections::BTreeMap::new();
    for (name, value) in headers.iter() {
        let name = ROUTING.iter().find(|(known, _)| *known == name).map_or(name, |(_, harmless)| harmless);
        let unwritable = || Unpublished::Unwritable(format!("header {name}"));
        let value = match (value.as_native::<AMQPValue>(), value.as_text()) {
            (Some(native), _) => native.clone(),
            (None, Some(text)) => AMQPValue::LongString(LongString::from(text)),
            (None, None) => return Err(unwritable()),
        };
        let name = ShortString::try_new(name).map_err(|_| unwritable())?;
        let both = match all.remove(&name) {
            None => value,
            Some(AMQPValue::FieldArray(mut list)) => {
                list.push(value);
                AMQPValue::FieldArray(list)
            }
            Some(first) => AMQPValue::FieldArray(FieldArray::from(vec![first, value])),
        };
        all.insert(name, both);
    }
    Ok(FieldTable::from(all))
}

/// About how many bytes a table takes on the way; never fewer.
pub(super) fn size(table: &FieldTable) -> usize {
    table.inner().iter().map(|(name, value)| name.as_str().len() + 1 + value_size(value)).sum::<usize>() + 4
}

fn value_size(value: &AMQPValue) -> usize {
    match value {
        AMQPValue::LongString(text) => text.len() + 5,
        AMQPValue::ShortString(text) => text.as_str().len() + 2,
        AMQPValue::ByteArray(bytes) => bytes.len() + 5,
        AMQPValue::FieldArray(list) => list.as_slice().iter().map(value_size).sum::<usize>() + 5,
        AMQPValue::FieldTable(table) => size(table) + 1,
        _ => 9,
    }
}

/// A scalar as itself, a list or table as JSON; none: it has bytes that are no text.
fn to_text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::FieldArray(_) | AMQPValue::FieldTable(_) => {
            let mut json = Vec::new();
            write_json(value, &mut json)?;
            String::from_utf8(json).ok()
        }
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        other => scalar(other),
    }
}

fn scalar(value: &AMQPValue) -> Option<String> {
    Some(match value {
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::ShortShortInt(value) => value.to_string(),
        AMQPValue::ShortShortUInt(value) => value.to_string(),
        AMQPValue::ShortInt(value) => value.to_string(),
        AMQPValue::ShortUInt(value) => value.to_string(),
        AMQPValue::LongInt(value) => value.to_string(),
        AMQPValue::LongUInt(value) => value.to_string(),
        AMQPValue::LongLongInt(value) => value.to_string(),
        AMQPValue::Timestamp(value) => value.to_string(),
        AMQPValue::Float(value) if value.is_finite() => value.to_string(),
        AMQPValue::Double(value) if value.is_finite() => value.to_string(),
        AMQPValue::DecimalValue(value) => decimal(value.value, value.scale),
        _ => return None,
    })
}

fn decimal(value: u32, scale: u8) -> String {
    let digits = value.to_string();
    let scale = usize::from(scale);
    if scale == 0 {
        return digits;
    }
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, part) = padded.split_at(padded.len() - scale);
    format!("{whole}.{part}")
}

fn write_json(value: &AMQPValue, out: &mut Vec<u8>) -> Option<()> {
    match value {
        AMQPValue::FieldTable(table) => {
            out.push(b'{');
            for (index, (name, value)) in table.inner().iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(name.as_str(), out);
                out.push(b':');
                write_json(value, out)?;
            }
            out.push(b'}');
        }
        AMQPValue::FieldArray(list) => {
            out.push(b'[');
            for (index, value) in list.as_slice().iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_json(value, out)?;
            }
            out.push(b']');
        }
        AMQPValue::LongString(text) => write_string(std::str::from_utf8(text.as_bytes()).ok()?, out),
        AMQPValue::ShortString(text) => write_string(text.as_str(), out),
        AMQPValue::Void => out.extend_from_slice(b"null"),
        other => out.extend_from_slice(scalar(other)?.as_bytes()),
    }
    Some(())
}
