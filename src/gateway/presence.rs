//! Other ends of connections that vanish without a word: a machine that is switched off, a firewall that forgets. Who is
//! silent is asked whether it is still there.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use rustix::net::sockopt;

/// How many times the other end's system is asked (TCP).
const TIMES: u32 = 3;

/// When who is silent is asked, and how long it may take to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asking {
    /// Silence before the first question.
    pub(super) after: Duration,
    /// From the first question to the end, where there is no answer.
    pub(super) patience: Duration,
}

impl Asking {
    /// So that nobody is taken for present for longer than this.
    pub(super) fn within(time: Duration) -> Self {
        let patience = time / 3;
        Self { after: time.saturating_sub(patience), patience }
    }

    /// Between two questions of TCP, which knows whole seconds only.
    fn every(self) -> Duration {
        (self.patience / TIMES).max(Duration::from_secs(1))
    }

    /// Has the system ask, on every connection that comes from here on.
    ///
    /// # Errors
    /// The system knows nothing of this.
    pub(super) fn callers_of(self, listener: impl AsFd) -> io::Result<()> {
        // What is accepted is as the socket is that it came through.
        let listener = listener.as_fd();
        sockopt::set_socket_keepalive(listener, true)?;
        sockopt::set_tcp_keepidle(listener, self.after)?;
        sockopt::set_tcp_keepintvl(listener, self.every())?;
        sockopt::set_tcp_keepcnt(listener, TIMES)?;
        Ok(())
    }

    /// The same for connections to services.
    pub(super) fn services_of(self, connector: &mut HttpConnector) {
        connector.set_keepalive(Some(self.after));
        connector.set_keepalive_interval(Some(self.every()));
        connector.set_keepalive_retries(Some(TIMES));
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn accepted_connections_are_asked_as_their_listener_says() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Asking::within(Duration::from_secs(15)).callers_of(&listener).unwrap();
        let _caller = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert!(sockopt::socket_keepalive(&accepted).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&accepted).unwrap(), Duration::from_secs(10));
        assert_eq!(sockopt::tcp_keepintvl(&accepted).unwrap(), Duration::from_secs(2));
        assert_eq!(sockopt::tcp_keepcnt(&accepted).unwrap(), 3);
    }
}
