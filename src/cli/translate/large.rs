//! A document that is translated while it is read.

use std::io::{self, Read, Write};

use super::documents::{Bad, Document, Documents};
use crate::plan::{Fault, Stream};

/// Translates a document that has begun, and reads on to its end.
///
/// What is wrong with it is found when a part of its translation has been written, which cannot be taken back: the run
/// ends there.
pub(super) fn translate<R: Read>(
    mut stream: Stream,
    begun: &Document,
    documents: &mut Documents<R>,
    output: &mut impl Write,
) -> io::Result<Result<(), Bad>> {
    let bad = |reason: &str| Bad {
        line: begun.line,
        reason: format!("{reason}; its translation is incomplete, and what is behind it is not read"),
    };
    let faulty = |fault: Fault| Ok(Err(bad(&fault.to_string())));
    let mut translated = Vec::new();
    if let Err(fault) = stream.take(&begun.text, &mut translated) {
        return faulty(fault);
    }
    while !stream.is_whole() {
        output.write_all(&translated)?;
        translated.clear();
        let piece = documents.piece()?;
        let is_end = piece.is_empty();
        let taken =
            if is_end { stream.finish(&mut translated).map(|()| 0) } else { stream.take(piece, &mut translated) };
        match taken {
            Ok(taken) => documents.take(taken),
            Err(fault) => {
                output.write_all(&translated)?;
                return faulty(fault);
            }
        }
        if is_end {
            break;
        }
    }
    output.write_all(&translated)?;
    output.write_all(b"\n")?;
    if documents.end_line()? { Ok(Ok(())) } else { Ok(Err(bad("not JSON: expected nothing after the document"))) }
}
