//! Bodies that are a sequence of documents, cut at their ends as they come: lines of JSON, and server-sent events.

use http::{HeaderMap, header};

/// How the documents of a body follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Framing {
    /// One JSON document a line (NDJSON, JSON Lines).
    Lines,
    /// `text/event-stream` (HTML, 9.2).
    Events,
}

impl Framing {
    /// The framing of a body of this media type (lower case, without parameters), if it has one.
    pub(in crate::gateway) fn of(media_type: &str) -> Option<Self> {
        match media_type {
            "text/event-stream" => Some(Self::Events),
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonl"
            | "application/jsonlines"
            | "application/x-jsonlines" => Some(Self::Lines),
            _ => None,
        }
    }

    /// Whether a request says that it would take such a body.
    pub(in crate::gateway) fn is_accepted(headers: &HeaderMap) -> bool {
        let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut types = values.flat_map(|value| value.split(',')).filter_map(|range| range.split(';').next());
        types.any(|name| Self::of(&name.trim().to_ascii_lowercase()).is_some())
    }
}

/// Cuts a stream into records. Joined again, records are the stream, byte for byte.
#[derive(Debug)]
pub(in crate::gateway) struct Cutter {
    framing: Framing,
    text: Vec<u8>,
    /// Where the record begins that is not complete yet.
    start: usize,
    /// Where the line begins that is not complete yet.
    line: usize,
    /// What has been looked at in vain.
    seen: usize,
}

impl Cutter {
    pub(in crate::gateway) fn new(framing: Framing) -> Self {
        Self { framing, text: Vec::new(), start: 0, line: 0, seen: 0 }
    }

    pub(in crate::gateway) fn push(&mut self, data: &[u8]) {
        self.text.drain(..self.start);
        self.line -= self.start;
        self.seen -= self.start;
        self.start = 0;
        self.text.extend_from_slice(data);
    }

    /// Bytes of the record that is not complete yet.
    pub(in crate::gateway) fn pending(&self) -> usize {
        self.text.len() - self.start
    }

    /// The next complete record, with what ends it.
    pub(in crate::gateway) fn cut(&mut self) -> Option<&[u8]> {
        loop {
            let rest = self.text.get(self.seen..)?;
            let found = match self.framing {
                Framing::Lines => memchr::memchr(b'\n', rest),
                Framing::Events => memchr::memchr2(b'\n', b'\r', rest),
            };
            let Some(found) = found else {
                self.seen = self.text.len();
                return None;
            };
            let at = self.seen + found;
            let is_empty = at == self.line;
            let length = match (self.text.get(at), self.text.get(at + 1)) {
                (Some(b'\r'), Some(b'\n')) => 2,
                // A line feed may follow, and belongs to this line then.
                (Some(b'\r'), None) if !is_empty => {
                    self.seen = at;
                    return None;
                }
                _ => 1,
            };
            (self.line, self.seen) = (at + length, at + length);
            if self.framing == Framing::Lines || is_empty {
                let record = self.text.get(self.start..self.line);
                self.start = self.line;
                return record;
            }
        }
    }

    /// What is left at the end, where the last record was not ended.
    pub(in crate::gateway) fn rest(&mut self) -> Option<&[u8]> {
        let rest = self.text.get(self.start..).filter(|rest| !rest.is_empty());
        (self.start, self.line, self.seen) = (self.text.len(), self.text.len(), self.text.len());
        rest
    }
}

/// Writes a record again with the document in it exchanged; what has no document stays as it is. `exchange` appends to
/// its second argument, or answers `false` where the text is no document and stays, too.
///
/// # Errors
/// Those of `exchange`.
pub(in crate::gateway) fn rewrite<E>(
    framing: Framing,
    record: &[u8],
    out: &mut Vec<u8>,
    mut exchange: impl FnMut(&[u8], &mut Vec<u8>) -> Result<bool, E>,
) -> Result<(), E> {
    match framing {
        Framing::Lines => {
            let document = record.trim_ascii();
            if document.is_empty() || !exchange(document, out)? {
                out.extend_from_slice(record);
                return Ok(());
            }
            let end = record.iter().rposition(|byte| !byte.is_ascii_whitespace()).map_or(0, |last| last + 1);
            out.extend_from_slice(record.get(end..).unwrap_or_default());
            Ok(())
        }
        Framing::Events => rewrite_event(record, out, exchange),
    }
}

fn rewrite_event<E>(
    event: &[u8],
    out: &mut Vec<u8>,
    mut exchange: impl FnMut(&[u8], &mut Vec<u8>) -> Result<bool, E>,
) -> Result<(), E> {
    let values: Vec<&[u8]> = lines(event).filter_map(|(line, _)| data(line)).collect();
    let joined = values.join(&b'\n');
    let mut document = Vec::new();
    if values.is_empty() || !exchange(&joined, &mut document)? {
        out.extend_from_slice(event);
        return Ok(());
    }
    let mut written = false;
    for (line, end) in lines(event) {
        if data(line).is_none() {
            out.extend_from_slice(line);
            out.extend_from_slice(end);
        } else if !written {
            written = true;
            for (text, _) in lines(&document) {
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(text);
                out.extend_from_slice(if end.is_empty() { b"\n" } else { end });
            }
        }
    }
    Ok(())
}

/// The value of a `data` field.
fn data(line: &[u8]) -> Option<&[u8]> {
    // The stream's first line may begin with a byte order mark.
    let line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
    match line.strip_prefix(b"data")? {
        [] => Some(&[]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

/// Lines and what ends them.
fn lines(mut text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let end = text.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(text.len());
        let (line, rest) = text.split_at(end);
        let length = if rest.starts_with(b"\r\n") { 2 } else { rest.len().min(1) };
        let (ending, rest) = rest.split_at(length);
        text = rest;
        Some((line, ending))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every way of cutting the stream into two chunks, and one byte at a time, must give the same records.
    fn cut_all(framing: Framing, stream: &str) -> Vec<String> {
        let run = |chunks: &[&[u8]]| {
            let mut cutter = Cutter::new(framing);
            let mut records = Vec::new();
            for chunk in chunks {
                cutter.push(chunk);
                while let Some(record) = cutter.cut() {
                    records.push(record.to_vec());
                }
            }
            records.extend(cutter.rest().map(<[u8]>::to_vec));
            assert_eq!(records.concat(), stream.as_bytes());
            records.into_iter().map(|record| String::from_utf8(record).unwrap()).collect::<Vec<_>>()
        };
        let whole = run(&[stream.as_bytes()]);
        for at in 0..stream.len() {
            // A line feed that comes late belongs to the next record; there it means nothing.
            if !stream.contains('\r') {
                assert_eq!(run(&[&stream.as_bytes()[..at], &stream.as_bytes()[at..]]), whole, "{at}");
            }
        }
        let single: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        run(&single);
        whole
    }

    #[test]
    fn lines_are_cut_at_line_feeds() {
        assert_eq!(cut_all(Framing::Lines, "{}\n\n{\"a\":1}\n[2]"), ["{}\n", "\n", "{\"a\":1}\n", "[2]"]);
        assert_eq!(cut_all(Framing::Lines, "{}\r\n1"), ["{}\r\n", "1"]);
    }

    #[test]
    fn events_are_cut_at_empty_lines() {
        assert_eq!(
            cut_all(Framing::Events, "event: a\ndata: 1\n\n: ping\n\ndata: 2"),
            ["event: a\ndata: 1\n\n", ": ping\n\n", "data: 2"]
        );
        assert_eq!(cut_all(Framing::Events, "data: 1\r\n\r\ndata: 2\r\rx"), ["data: 1\r\n\r\n", "data: 2\r\r", "x"]);
    }

    fn rewritten(framing: Framing, record: &str) -> String {
        let mut out = Vec::new();
        let upper = |text: &[u8], out: &mut Vec<u8>| {
            let known = text.starts_with(b"{");
            out.extend(if known { text.to_ascii_uppercase() } else { Vec::new() });
            Ok::<_, ()>(known)
        };
        rewrite(framing, record.as_bytes(), &mut out, upper).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_documents_are_exchanged() {
        for (record, expected) in [("{a}\r\n", "{A}\r\n"), ("\n", "\n"), ("x\n", "x\n"), (" {a}", "{A}")] {
            assert_eq!(rewritten(Framing::Lines, record), expected);
        }
        for (record, expected) in [
            ("id: 1\ndata: {a}\nretry: 2\n\n", "id: 1\ndata: {A}\nretry: 2\n\n"),
            ("data:{a\nevent: b\ndata: ,c}\n\n", "data: {A\ndata: ,C}\nevent: b\n\n"),
            ("data: [DONE]\n\n", "data: [DONE]\n\n"),
            (": {a}\r\n\r\n", ": {a}\r\n\r\n"),
            ("database: {a}\n\n", "database: {a}\n\n"),
            ("data: {a}\r\r", "data: {A}\r\r"),
        ] {
            assert_eq!(rewritten(Framing::Events, record), expected);
        }
    }

    #[test]
    fn media_types_say_how_to_cut() {
        assert_eq!(Framing::of("application/x-ndjson"), Some(Framing::Lines));
        assert_eq!(Framing::of("text/event-stream"), Some(Framing::Events));
        assert_eq!(Framing::of("application/json"), None);
        let accepts =
            |value: &str| Framing::is_accepted(&HeaderMap::from_iter([(header::ACCEPT, value.parse().unwrap())]));
        assert!(accepts("a/b, Text/Event-Stream;q=0.5"));
        assert!(!accepts("application/json, */*"));
    }
}
