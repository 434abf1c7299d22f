//! A caller's connection that speaks HTTP/2.

use std::sync::Arc;

use bytes::Bytes;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::watch;

use super::connection::{Answering, Conn, Protocol, answer, boxed, stopped};
use super::frames::Frames;
use super::tls::Stream;
use super::wire::{Watch, Wire};
use crate::settings::{Limits, Timeouts};

/// What a sender may have on its way to us unasked: of one HTTP/2 stream, and of a connection.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// Serves it to its end.
pub(super) async fn serve(
    stream: Stream,
    before: Bytes,
    conn: Arc<Conn>,
    answering: impl Answering,
    limits: Limits,
    timeouts: Timeouts,
    mut stop: watch::Receiver<bool>,
) {
    let wire = Wire::new(stream, before, Watch::Http2(Frames::default()), conn.clone(), timeouts.stream);
    let service = {
        let (conn, bounds) = (conn.clone(), (limits, timeouts));
        service_fn(move |request| answer(&conn, &answering, Protocol::Http2, &bounds, boxed(request)))
    };
    let http = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        // WebSockets (RFC 8441); every other CONNECT is refused.
        .enable_connect_protocol()
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        // A peer that has vanished without a word is found out.
        .keep_alive_interval(timeouts.idle)
        .keep_alive_timeout(timeouts.header)
        .serve_connection(TokioIo::new(wire), service);
    let mut http = std::pin::pin!(http);
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = http.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(peer = %conn.caller.peer, %error, "connection ended");
                }
                return;
            }
            () = conn.silent(&timeouts), if !stopping => {
                stopping = true;
                http.as_mut().graceful_shutdown();
            }
            () = conn.worn.notified(), if !stopping => {
                stopping = true;
                http.as_mut().graceful_shutdown();
            }
            () = stopped(&mut stop), if !stopping => {
                stopping = true;
                http.as_mut().graceful_shutdown();
            }
        }
    }
}
