//! Pages are counted, cursors are not: who has one cannot work out the other.

use crate::codecs::Codec;
use crate::diagnostic::{Diagnostics, codes};
use crate::path::Place;

/// Whether `page` is asked to count with what its name calls a cursor (R11).
pub(super) fn check_cursors<'p>(
    codec: &Codec,
    places: impl IntoIterator<Item = &'p Place>,
    diagnostics: &mut Diagnostics,
) {
    if !matches!(codec, Codec::Page(_)) {
        return;
    }
    for place in places {
        if place.segments.last().is_some_and(|name| is_cursor(name)) {
            diagnostics
                .error(codes::R11, place.span, format!("`page` cannot count with a cursor, as `{place}` is called"))
                .label("no page but the next can be reached by it")
                .help("let old clients walk: `bifocal explain page`; if it is an offset all the same, say so: `loss: \"…\"`");
            return;
        }
    }
}

/// Whether a name ends in a word for what only the service can read: `cursor`, `nextCursor`, `page_token`.
fn is_cursor(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with("cursor") || name.ends_with("token")
}
