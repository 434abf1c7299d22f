//! A caller's handshake.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::names::Names;
use super::stream::{Secured, Stream};
use crate::gateway::connection::linger;

/// What every TLS record of a handshake begins with (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;

/// Why a caller did not get in.
#[derive(Debug)]
pub(in crate::gateway) enum Refused {
    /// It was too slow.
    Late,
    /// It does not speak TLS.
    Plain,
    /// The two could not agree, or one does not trust the other.
    Failed(io::Error),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => f.write_str("too slow"),
            Self::Plain => f.write_str("does not speak TLS"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl Refused {
    /// For metrics.
    pub(in crate::gateway) fn word(&self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Plain => "plain",
            Self::Failed(_) => "failed",
        }
    }
}

/// Shakes hands within `patience`. `tells`: services are told of the caller's certificate.
pub(super) async fn accept(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    tells: bool,
    patience: Duration,
) -> Result<Stream, Refused> {
    let shaking = async {
        let mut first = [0];
        if stream.peek(&mut first).await.map_err(Refused::Failed)? == 0 {
            return Err(Refused::Failed(io::ErrorKind::UnexpectedEof.into()));
        }
        if first != [HANDSHAKE] {
            turn_away(stream, first).await;
            return Err(Refused::Plain);
        }
        TlsAcceptor::from(config).accept(stream).await.map_err(Refused::Failed)
    };
    let accepted = timeout(patience, shaking).await.map_err(|_| Refused::Late)??;
    let (_, session) = accepted.get_ref();
    let names = session.peer_certificates().and_then(|chain| chain.first()).and_then(Names::of);
    let secured = Secured {
        certificate: names.as_ref().filter(|_| tells).and_then(Names::forwarded),
        certified: names.map(|names| Arc::new(names.certified())),
        http2: session.alpn_protocol() == Some(b"h2"),
    };
    Ok(Stream::Tls(Box::new(TlsStream::Server(accepted)), secured))
}

/// Tells a caller that speaks HTTP what is wrong. Others could not read it.
async fn turn_away(mut stream: TcpStream, [first]: [u8; 1]) {
    const WORDS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 35\r\n\
        Connection: close\r\n\r\nThis port speaks TLS: use https://\n";
    if first.is_ascii_uppercase() && stream.write_all(WORDS).await.is_ok() {
        linger(Stream::Plain(stream)).await;
    }
}
