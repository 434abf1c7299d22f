//! Both directions of one connection to a service at once, and connections that outlive their answers.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::support::*;

const CHUNK: usize = 64 << 10;
/// More than all the sockets on the way hold.
const CHUNKS: usize = 8 << 20 >> 16;

/// A service that answers before it has read the whole request, and sends as much as it gets, each at its own pace.
async fn talkative() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // Before it is asked, a word of its would be nobody's answer.
            if stream.read(&mut [0; 64]).await.is_err() {
                continue;
            }
            let (mut read, mut write) = stream.into_split();
            tokio::spawn(async move {
                let mut thrown_away = vec![0; CHUNK];
                while read.read(&mut thrown_away).await.is_ok_and(|read| read > 0) {}
            });
            tokio::spawn(async move {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 4 * CHUNKS * CHUNK);
                let _ = write.write_all(head.as_bytes()).await;
                for _ in 0..4 * CHUNKS {
                    let _ = write.write_all(&vec![b'a'; CHUNK]).await;
                }
                // Open until the other side goes.
                std::future::pending::<()>().await;
            });
        }
    });
    addr
}

#[tokio::test]
async fn a_caller_that_reads_only_once_it_has_sent_everything_is_served() {
    let gateway = Gateway::start(&orders(None, Some(talkative().await), "v2"), vec![]).await;
    let mut caller = TcpStream::connect(gateway.addr).await.unwrap();
    let exchange = async {
        let head = format!("POST /v2/a HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", CHUNKS * CHUNK);
        caller.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..CHUNKS {
            caller.write_all(&vec![b'b'; CHUNK]).await.unwrap();
        }
        let (mut left, mut read) = (4 * CHUNKS * CHUNK, vec![0; CHUNK]);
        while left > 0 {
            let got = caller.read(&mut read).await.unwrap();
            assert!(got > 0, "{left} bytes are missing");
            left = left.saturating_sub(got);
        }
    };
    tokio::time::timeout(PATIENCE, exchange).await.expect("neither side goes on");
}

#[tokio::test]
async fn a_connection_serves_callers_one_after_another() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    // A service that has one connection, ever.
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        drop(listener);
        let mut head = [0; 4096];
        while stream.read(&mut head).await.is_ok_and(|read| read > 0) {
            for piece in ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "2\r\n{}\r\n", "0\r\n\r\n"] {
                stream.write_all(piece.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    });
    let gateway = Gateway::start(&orders(None, Some(addr), "v2"), vec![]).await;
    let mut caller = TcpStream::connect(gateway.addr).await.unwrap();
    for _ in 0..50 {
        caller.write_all(b"GET /v2/a HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        while !answer.ends_with("0\r\n\r\n") {
            let mut read = [0; 4096];
            let got = tokio::time::timeout(PATIENCE, caller.read(&mut read)).await.unwrap().unwrap();
            assert!(got > 0, "{answer}");
            answer.push_str(std::str::from_utf8(&read[..got]).unwrap());
        }
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}
