//! A TCP proxy that hurts what passes through it: from a certain byte on, in one direction, in one way.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// Nothing.
    Pass,
    /// Both ends are closed in order.
    Truncate,
    /// Both ends are reset.
    Reset,
    /// Nothing more comes, and nothing ends.
    Stall,
    /// One byte at a time.
    Drip,
}

/// Which bytes it happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Towards the service.
    There,
    /// From it.
    Back,
}

/// What is to happen, from which byte on.
pub(super) type Fault = (Way, How, usize);

/// Stands between the gateway and a service.
pub(super) struct FaultyProxy {
    pub(super) addr: SocketAddr,
    fault: Arc<Mutex<Fault>>,
}

impl FaultyProxy {
    pub(super) async fn start(service: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let fault = Arc::new(Mutex::new((Way::There, How::Pass, 0)));
        let next = fault.clone();
        tokio::spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                let fault = *next.lock().unwrap();
                tokio::spawn(connect(caller, service, fault));
            }
        });
        Self { addr, fault }
    }

    /// What happens to connections from now on.
    pub(super) fn hurt(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }
}

async fn connect(caller: TcpStream, service: SocketAddr, (way, how, at): Fault) {
    let Ok(service) = TcpStream::connect(service).await else { return };
    for stream in [&caller, &service] {
        stream.set_nodelay(true).unwrap();
        if how == How::Reset {
            stream.set_zero_linger().unwrap();
        }
    }
    let ((from_caller, to_caller), (from_service, to_service)) = (caller.into_split(), service.into_split());
    let hurt = |its| if its == way { (how, at) } else { (How::Pass, usize::MAX) };
    // The first that ends takes the other with it, but for the end of what passes whole.
    let there = pass(from_caller, to_service, hurt(Way::There));
    let back = pass(from_service, to_caller, hurt(Way::Back));
    if how == How::Pass || how == How::Drip {
        tokio::join!(there, back);
    } else {
        tokio::select! {
            _ = there => {}
            _ = back => {}
        }
    }
}

/// Passes bytes on until they end or are to be hurt. Both halves are held until then.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    (how, at): (How, usize),
) -> (OwnedReadHalf, OwnedWriteHalf) {
    let mut left = at;
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if read == 0 {
            let _ = to.shutdown().await;
            return (from, to);
        }
        let whole = if how == How::Pass { read } else { read.min(left) };
        if to.write_all(&buffer[..whole]).await.is_err() {
            return (from, to);
        }
        left -= whole.min(left);
        match how {
            How::Drip => {
                for byte in &buffer[whole..read] {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    if to.write_all(&[*byte]).await.is_err() {
                        return (from, to);
                    }
                }
            }
            How::Stall if whole < read => std::future::pending().await,
            How::Truncate | How::Reset if whole < read || left == 0 => return (from, to),
            _ => {}
        }
    }
}
