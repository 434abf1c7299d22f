//! Bodies: streamed under guard, or collected within bounds; content codings.

pub(super) mod coding;
mod gathered;
pub(super) mod inflow;
pub(super) mod media;
pub(super) mod records;
mod stream;
mod translated;
mod unbrotli;

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::Body as _;
use http_body_util::BodyExt;

use gathered::Gathered;

use super::overload::{Full, Held};
pub(super) use stream::{Guarded, StreamFault, find_stream_fault};
pub(super) use translated::{From, Translated, begun, find_fault, look};

/// Reads a whole body of at most `limit` bytes within `time`, and counts what it holds.
///
/// # Errors
/// [`StreamFault`].
pub(super) async fn collect(body: Body, limit: usize, time: Duration, held: &mut Held) -> Result<Bytes, StreamFault> {
    if body.size_hint().lower() > limit as u64 {
        return Err(StreamFault::TooLarge);
    }
    tokio::time::timeout(time, collect_untimed(body, limit, held)).await.unwrap_or(Err(StreamFault::Silent))
}

async fn collect_untimed(mut body: Body, limit: usize, held: &mut Held) -> Result<Bytes, StreamFault> {
    let told = body.size_hint().exact().and_then(|length| usize::try_from(length).ok());
    let mut gathered = Gathered::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| find_stream_fault(&error).unwrap_or(StreamFault::Broken))?;
        let Ok(data) = frame.into_data() else { continue };
        if gathered.len() + data.len() > limit {
            return Err(StreamFault::TooLarge);
        }
        held.add(data.len()).map_err(|Full| StreamFault::NoRoom)?;
        gathered.push(data, told, limit);
    }
    Ok(gathered.finish())
}
