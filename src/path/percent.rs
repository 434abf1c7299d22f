//! Percent-encoding (RFC 3986, 2.1).

/// Stands for nothing but itself in every part of an address, besides ASCII letters and digits (RFC 3986, 2.3).
pub const UNRESERVED: &[u8] = b"-._~";
/// What one segment of a path may hold bare, besides ASCII letters and digits (RFC 3986, 3.3): all else is encoded, so
/// what a document says cannot add a segment, a query or a header.
pub const SEGMENT: &[u8] = b"-._~!$&'()*+,;=:@";

/// Decodes `%41`. `None` where it is broken or not UTF-8.
pub fn decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    String::from_utf8(decode_bytes(text.as_bytes())?).ok()
}

/// Decodes `%41`. `None` where a `%` has no two hexadecimal digits behind it.
pub(crate) fn decode_bytes(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return Some(bytes),
            [b'%', high, low, after @ ..] => {
                bytes.push(byte(*high, *low)?);
                after
            }
            [b'%', ..] => return None,
            [plain, after @ ..] => {
                bytes.push(*plain);
                after
            }
        };
    }
}

/// Appends a text whose bytes are encoded, but for ASCII letters, digits and those of `bare`.
pub fn encode(text: &str, bare: &[u8], out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || bare.contains(&byte) {
            out.push(char::from(byte));
        } else {
            encode_byte(byte, out);
        }
    }
}

/// Appends `%41`, with capital digits.
pub(crate) fn encode_byte(byte: u8, out: &mut String) {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0').to_ascii_uppercase();
    out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
}

/// The byte that two hexadecimal digits spell.
pub(crate) fn byte(high: u8, low: u8) -> Option<u8> {
    let digit = |letter: u8| char::from(letter).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back() {
        let encoded = |text: &str, bare: &[u8]| {
            let mut out = String::new();
            encode(text, bare, &mut out);
            assert_eq!(decode(&out).as_deref(), Some(text));
            out
        };
        assert_eq!(encoded("a é/%~", UNRESERVED), "a%20%C3%A9%2F%25~");
        assert_eq!(encoded("a;b=c/d?", SEGMENT), "a;b=c%2Fd%3F");
        assert_eq!(encoded("", UNRESERVED), "");
    }

    #[test]
    fn broken_escapes_have_no_text() {
        for text in ["%", "%4", "a%zz", "%+1", "%ff"] {
            assert_eq!(decode(text), None, "{text}");
        }
        assert_eq!(decode("%4a%4B").as_deref(), Some("JK"));
    }
}
