//! Where callers and operators come in: sockets that the service manager or a process before has opened, or our own.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::listener::BindError;
use super::presence::Asking;
use crate::settings::{AdminListen, Settings};

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Callers without TLS.
    Plain,
    /// Callers with TLS.
    Tls,
    /// Operators.
    Admin,
}

impl Use {
    /// The setting that names its addresses.
    pub(super) fn setting(self) -> &'static str {
        match self {
            Self::Plain => "listen",
            Self::Tls => "tls.listen",
            Self::Admin => "admin",
        }
    }

    /// By the name that a service manager (`FileDescriptorName=`) or a process before gives it.
    fn named(name: &str) -> Self {
        match name {
            "tls" | "tls.listen" => Self::Tls,
            "admin" => Self::Admin,
            // A socket unit names its sockets after itself where it is not told otherwise.
            _ => Self::Plain,
        }
    }
}

/// A socket that was open before this process was.
#[derive(Debug)]
pub(super) struct Inherited {
    pub(super) socket: OwnedFd,
    pub(super) of: Use,
    /// Whether the service manager opened it, so that it counts whatever the settings say.
    pub(super) is_activated: bool,
    /// The path of a UNIX socket. It was bound under another name, so the system does not know.
    pub(super) path: Option<PathBuf>,
}

/// Sockets that were open before this process was.
#[derive(Debug, Default)]
pub(crate) struct Sockets(pub(super) Vec<Inherited>);

impl Sockets {
    /// Those that the service manager has opened for this process (`LISTEN_FDS`, `LISTEN_FDNAMES`), if it has.
    pub(crate) fn from_service_manager() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut passed = listenfd::ListenFd::from_env();
        let mut found = Vec::new();
        for index in 0..passed.len() {
            let of = Use::named(names.next().unwrap_or_default());
            let socket = match passed.take_tcp_listener(index) {
                Ok(listener) => listener.map(OwnedFd::from),
                Err(_) => passed.take_unix_listener(index).ok().flatten().map(OwnedFd::from),
            };
            if let Some(socket) = socket {
                found.push(Inherited { socket, of, is_activated: true, path: None });
            } else {
                tracing::warn!(index, "a socket of the service manager is no listening socket; it is not used");
            }
        }
        Self(found)
    }

    /// By name, from a process before.
    pub(super) fn add(&mut self, socket: OwnedFd, name: &str, is_activated: bool, path: Option<PathBuf>) {
        self.0.push(Inherited { socket, of: Use::named(name), is_activated, path });
    }

    fn take(&mut self, is_wanted: impl Fn(&Inherited) -> bool) -> Option<Inherited> {
        let index = self.0.iter().position(is_wanted)?;
        Some(self.0.swap_remove(index))
    }
}

/// An open socket.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) of: Use,
    pub(super) socket: Listening,
    pub(super) is_activated: bool,
    /// The path of a UNIX socket that the settings name.
    pub(super) path: Option<PathBuf>,
}

/// Of either kind.
#[derive(Debug)]
pub(super) enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listening {
    fn of(socket: OwnedFd) -> io::Result<Self> {
        let listening = if TcpListener::from(socket.try_clone()?).local_addr().is_ok() {
            Self::Tcp(TcpListener::from(socket))
        } else {
            Self::Unix(UnixListener::from(socket))
        };
        match &listening {
            Self::Tcp(listener) => listener.set_nonblocking(true)?,
            Self::Unix(listener) => listener.set_nonblocking(true)?,
        }
        Ok(listening)
    }

    fn tcp(&self) -> Option<&TcpListener> {
        match self {
            Self::Tcp(listener) => Some(listener),
            Self::Unix(_) => None,
        }
    }

    /// Where it is, if it is TCP.
    pub(super) fn addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// Another handle on the same socket.
    pub(super) fn share(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp(listener) => listener.as_fd().try_clone_to_owned(),
            Self::Unix(listener) => listener.as_fd().try_clone_to_owned(),
        }
    }
}

/// Opens everything that the settings name, with what is open already.
pub(super) fn open(settings: &Settings, mut sockets: Sockets) -> Result<Vec<Door>, BindError> {
    let mut doors = Vec::new();
    for (of, addresses) in [(Use::Plain, &settings.listen), (Use::Tls, &settings.tls.listen)] {
        if !take_activated(of, &mut sockets, &mut doors)? {
            for address in addresses {
                doors.push(open_tcp(of, *address, &mut sockets)?);
            }
        }
    }
    if !take_activated(Use::Admin, &mut sockets, &mut doors)? {
        doors.push(match &settings.admin.listen {
            AdminListen::Tcp(address) => open_tcp(Use::Admin, *address, &mut sockets)?,
            AdminListen::Unix { path, mode } => open_unix(path, *mode, &mut sockets)?,
        });
    }
    // Before anybody is let in: what is accepted is as the socket is.
    for listener in doors.iter().filter(|door| door.of != Use::Admin).filter_map(|door| door.socket.tcp()) {
        if let Err(error) = Asking::within(settings.timeouts.peer).callers_of(listener) {
            tracing::warn!(%error, "callers that vanish without a word are not noticed");
        }
    }
    Ok(doors)
}

/// Takes what the service manager has opened for this use; false: it has nothing of the kind.
fn take_activated(of: Use, sockets: &mut Sockets, doors: &mut Vec<Door>) -> Result<bool, BindError> {
    let mut some = false;
    while let Some(inherited) = sockets.take(|one| one.is_activated && one.of == of) {
        let failed = |error| BindError::new("a socket of the service manager", of.setting(), error);
        let socket = Listening::of(inherited.socket).map_err(failed)?;
        doors.push(Door { of, socket, is_activated: true, path: None });
        some = true;
    }
    Ok(some)
}

fn open_tcp(of: Use, address: SocketAddr, sockets: &mut Sockets) -> Result<Door, BindError> {
    let failed = |error| BindError::at(address, of.setting(), error);
    let same = |one: &Inherited| {
        let there = one.socket.try_clone().map(TcpListener::from).and_then(|listener| listener.local_addr());
        let is_there = there.is_ok_and(|there| there.ip() == address.ip() && (address.port() == 0 || there == address));
        is_there && one.of == of
    };
    let socket = match sockets.take(same) {
        Some(inherited) => Listening::of(inherited.socket).map_err(failed)?,
        None => Listening::Tcp(bind_tcp(address).map_err(failed)?),
    };
    Ok(Door { of, socket, is_activated: false, path: None })
}

/// As tokio binds: an address that was in use a moment ago can be used again, and many callers may wait.
fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1024)?.into_std()
}

fn open_unix(path: &Path, mode: u32, sockets: &mut Sockets) -> Result<Door, BindError> {
    let failed = |error| BindError::new(path.display().to_string(), "admin", error);
    let same = |one: &Inherited| one.of == Use::Admin && one.path.as_deref() == Some(path);
    let place = Some(path.to_owned());
    if let Some(inherited) = sockets.take(same) {
        let socket = Listening::of(inherited.socket).map_err(failed)?;
        return Ok(Door { of: Use::Admin, socket, is_activated: false, path: place });
    }
    let listener = bind_unix(path, mode).map_err(failed)?;
    Ok(Door { of: Use::Admin, socket: Listening::Unix(listener), is_activated: false, path: place })
}

/// Makes the socket under a name of its own and moves it to its place: nobody ever meets it with other permissions, and
/// what a process before has left behind is replaced, but not what somebody still listens on, and not another file.
fn bind_unix(path: &Path, mode: u32) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(ErrorKind::AlreadyExists, "there is something else than a socket"));
        }
        Ok(_) if UnixStream::connect(path).is_ok() => {
            return Err(io::Error::new(ErrorKind::AddrInUse, "another process listens there"));
        }
        _ => {}
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let private = tempfile::Builder::new().prefix(".bifocal-").tempdir_in(folder)?;
    let unready = private.path().join("s");
    let listener = UnixListener::bind(&unready)?;
    fs::set_permissions(&unready, fs::Permissions::from_mode(mode))?;
    fs::rename(&unready, path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
