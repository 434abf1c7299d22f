//! String literals: reading their escapes, writing them.

use std::borrow::Cow;

use memchr::memchr;

use super::block::is_plain;

/// The text of a string literal that a scanner has accepted, quotes included. Borrows where there are no escapes.
///
/// `None` if the bytes are not an accepted string literal.
pub fn unescape(literal: &[u8]) -> Option<Cow<'_, str>> {
    let inner = literal.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let inner = std::str::from_utf8(inner).ok()?;
    if memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    let Some((plain, mut rest)) = inner.split_once('\\') else {
        return Some(Cow::Borrowed(inner));
    };
    let mut text = String::with_capacity(inner.len());
    text.push_str(plain);
    loop {
        let mut letters = rest.chars();
        match letters.next()? {
            'b' => text.push('\u{8}'),
            'f' => text.push('\u{c}'),
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            'u' => {
                let (first, after) = read_hex(letters.as_str())?;
                letters = after.chars();
                let code = if (0xD800..0xDC00).contains(&first) {
                    let (second, after) = read_hex(after.strip_prefix("\\u")?)?;
                    letters = after.chars();
                    0x10000 + ((first - 0xD800) << 10) + second.checked_sub(0xDC00)?
                } else {
                    first
                };
                text.push(char::from_u32(code)?);
            }
            other @ ('"' | '\\' | '/') => text.push(other),
            _ => return None,
        }
        rest = letters.as_str();
        let Some((plain, after)) = rest.split_once('\\') else {
            text.push_str(rest);
            return Some(Cow::Owned(text));
        };
        text.push_str(plain);
        rest = after;
    }
}

fn read_hex(text: &str) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    Some((u32::from_str_radix(digits, 16).ok()?, rest))
}

/// What stands between the quotes of a string literal that a scanner has accepted, if that is its text: there are no
/// escapes. Written between quotes again, any part of it that is whole letters is a literal.
pub(crate) fn plain_inner(literal: &[u8]) -> Option<&[u8]> {
    let inner = literal.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    memchr(b'\\', inner).is_none().then_some(inner)
}

/// Appends a string literal: escapes only what JSON demands.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    write_escaped(text, out);
    out.push(b'"');
}

/// Writes the comma between what is written of a list or an object and what comes next; nothing right behind its bracket.
pub(crate) fn separate(out: &mut Vec<u8>) {
    if !matches!(out.last(), Some(b'[' | b'{')) {
        out.push(b',');
    }
}

/// Begins the next member of an object that is being written: its value comes right behind.
pub(crate) fn write_name(name: &str, out: &mut Vec<u8>) {
    separate(out);
    write_string(name, out);
    out.push(b':');
}

/// Appends the inside of a string literal.
pub(crate) fn write_escaped(text: &str, out: &mut Vec<u8>) {
    // Most texts are as they are written.
    if is_plain(text.as_bytes()) {
        return out.extend_from_slice(text.as_bytes());
    }
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(br#"\""#),
            b'\\' => out.extend_from_slice(br"\\"),
            b'\n' => out.extend_from_slice(br"\n"),
            b'\r' => out.extend_from_slice(br"\r"),
            b'\t' => out.extend_from_slice(br"\t"),
            0..0x20 => {
                out.extend_from_slice(br"\u00");
                out.extend(
                    [byte >> 4, byte & 15].map(|digit| if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }),
                );
            }
            _ => out.push(byte),
        }
    }
}
