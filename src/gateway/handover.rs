//! Replacing the program without closing a door: the new process gets the listening sockets of the old one, which stops
//! only when the new one serves.
//!
//! The old process starts the program anew with one end of a pair of sockets as its standard input, and sends the
//! listening sockets over it (`SCM_RIGHTS`). The new one answers with a line when it is ready. Both accept for a moment, so
//! no connection is ever refused; one that fails to start leaves the old one as it is. The old one keeps its end open for as
//! long as it has what only one process may have, the store and the flows of messages: the new one waits for that end.

use std::ffi::OsString;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use super::doors::{Door, Sockets};

/// The flag that tells the new process what its standard input is.
const FLAG: &str = "--takeover";
/// Most sockets that are handed over.
const MOST: usize = 64;
/// What the new process says.
const READY: &[u8] = b"ready\n";

/// A listening socket on its way.
#[derive(Debug, Serialize, Deserialize)]
struct Label {
    name: String,
    is_activated: bool,
    path: Option<PathBuf>,
}

/// What a process needs to start its successor.
#[derive(Debug)]
pub(super) struct Handover {
    sockets: Vec<(Label, OwnedFd)>,
    program: io::Result<PathBuf>,
}

impl Handover {
    /// Remembers the doors, and where the program is: later, when it was replaced, the system would name the old file.
    pub(super) fn of(doors: &[Door]) -> io::Result<Self> {
        let label = |door: &Door| Label {
            name: door.of.setting().to_owned(),
            is_activated: door.is_activated,
            path: door.path.clone(),
        };
        let sockets = doors.iter().map(|door| Ok((label(door), door.socket.share()?)));
        Ok(Self { sockets: sockets.collect::<io::Result<_>>()?, program: std::env::current_exe() })
    }

    /// Starts the program anew, with the same arguments, and waits until it serves. Blocks. Gives its process id, and what
    /// keeps it waiting.
    ///
    /// # Errors
    /// It cannot be started, ends, or is not ready in time. It is gone then.
    pub(super) fn start(&self, patience: Duration) -> io::Result<(u32, Heir)> {
        let program = self.program.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
        let (ours, theirs) = UnixStream::pair()?;
        let mut arguments: Vec<OsString> = std::env::args_os().skip(1).filter(|argument| argument != FLAG).collect();
        arguments.push(FLAG.into());
        let mut child = Command::new(program)
            .args(arguments)
            // Whom the service manager watches is told anew; without a process named, it is whoever reads this.
            .env_remove("WATCHDOG_PID")
            .env_remove("LISTEN_PID")
            .env_remove("LISTEN_FDS")
            .env_remove("LISTEN_FDNAMES")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()?;
        let served = self.send(&ours).and_then(|()| {
            ours.set_read_timeout(Some(patience))?;
            let mut said = [0; READY.len()];
            (&ours).read_exact(&mut said)?;
            if said == *READY { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
        });
        match served {
            Ok(()) => Ok((child.id(), Heir { _line: ours })),
            Err(error) => {
                let _ = child.kill();
                let ended = child.wait()?;
                let why = match error.kind() {
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                        format!("the new process ended: {ended}")
                    }
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                        format!("the new process was not ready within {} s", patience.as_secs())
                    }
                    _ => error.to_string(),
                };
                Err(io::Error::new(error.kind(), why))
            }
        }
    }

    fn send(&self, to: &UnixStream) -> io::Result<()> {
        let labels: Vec<&Label> = self.sockets.iter().map(|(label, _)| label).collect();
        let text = serde_json::to_vec(&labels)?;
        let sockets: Vec<BorrowedFd<'_>> = self.sockets.iter().map(|(_, socket)| socket.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if sockets.len() > MOST || !control.push(SendAncillaryMessage::ScmRights(&sockets)) {
            return Err(io::Error::other(format!("more than {MOST} sockets cannot be handed over")));
        }
        let sent = sendmsg(to, &[IoSlice::new(&text)], &mut control, SendFlags::empty())?;
        if sent == text.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }
}

/// The line to a process that has taken over. Until it is dropped, the heir leaves alone what one process at a time may
/// have; the end of this process drops it, too.
#[derive(Debug)]
pub(super) struct Heir {
    _line: UnixStream,
}

/// The end of the new process.
#[derive(Debug)]
pub(crate) struct Predecessor(OwnedFd);

impl Predecessor {
    /// Takes the sockets from standard input.
    ///
    /// # Errors
    /// It is not what a predecessor has put there.
    pub(crate) fn meet() -> io::Result<(Self, Sockets)> {
        let from = io::stdin().as_fd().try_clone_to_owned()?;
        let mut text = vec![0; 16 << 10];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let got = recvmsg(&from, &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::empty())?;
        let labels: Vec<Label> = serde_json::from_slice(text.get(..got.bytes).unwrap_or_default())?;
        let mut passed = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(sockets) = message {
                passed.extend(sockets);
            }
        }
        if passed.len() != labels.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not every socket has come"));
        }
        let mut sockets = Sockets::default();
        for (socket, label) in passed.into_iter().zip(labels) {
            // A successor gets its own.
            rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
            sockets.add(socket, &label.name, label.is_activated, label.path);
        }
        Ok((Self(from), sockets))
    }

    /// Tells the process before that it may go. What is given waits until it has let go of everything.
    ///
    /// # Errors
    /// It is gone already.
    pub(super) fn relieve(self) -> io::Result<impl Future<Output = ()> + Send + use<>> {
        let mut line = UnixStream::from(self.0);
        line.write_all(READY)?;
        line.set_nonblocking(true)?;
        let mut line = tokio::net::UnixStream::from_std(line)?;
        Ok(async move {
            // Nothing more is said: it ends when the other end is dropped.
            let _ = tokio::io::copy(&mut line, &mut tokio::io::sink()).await;
        })
    }
}
