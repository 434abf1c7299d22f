//! `bifocal serve`

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::{CLEAN, FINDINGS, cannot_run, finish};
use crate::gateway::{Brokers, Levels, Lines, MESSAGES, Predecessor, Server, Sockets, Stop, Succession, Surroundings};
use crate::settings::{DEFAULTS, Log, LogFormat, Settings, Sources, Value};

/// Run the gateway
///
/// Serves until SIGTERM or Ctrl-C, then finishes what is in flight; a second one ends it at once. Settings are looked for in this order, the last one
/// found wins: built-in defaults (`--print-defaults` lists every setting), `bifocal.toml`, environment variables such as
/// `BIFOCAL_LIMITS__BODY="1 MiB"`, flags. Rules are read again when they change, on SIGHUP, and on `POST /reload` of the
/// admin address; SIGUSR1 has more told in messages for a while, SIGUSR2 replaces the program by the file that is now in
/// its place, without refusing a connection.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bifocal serve --rules rules
  bifocal serve --config bifocal.toml --listen 0.0.0.0:8080
  bifocal serve --print-defaults > bifocal.toml
  curl -X POST http://127.0.0.1:9901/reload")]
pub(super) struct Args {
    /// Settings file; without it `bifocal.toml`, if there is one
    #[arg(long, value_name = "FILE", env = "BIFOCAL_CONFIG")]
    config: Option<PathBuf>,
    /// The rules folder: one subfolder a service [setting: rules]
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Address that callers reach; may be repeated [setting: listen]
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// Address of the admin interface, or `unix:` and a path [setting: admin]
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// Where the last good state survives a restart [setting: state]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Level of messages on standard error [setting: log.level]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Where the access log goes: stdout, stderr, off, or a file [setting: log.access]
    #[arg(long, value_name = "WHERE")]
    access_log: Option<String>,
    /// Print every setting with its default and its story, and end
    #[arg(long)]
    print_defaults: bool,
    /// Standard input has the sockets of the process before
    #[arg(long, hide = true)]
    takeover: bool,
}

impl Args {
    fn into_sources(self) -> Sources {
        let path = |path: PathBuf| Value::from(path.to_string_lossy().into_owned());
        let mut flags = Vec::new();
        flags.extend(self.rules.map(|rules| ("rules", path(rules))));
        flags.extend((!self.listen.is_empty()).then(|| ("listen", Value::from(self.listen))));
        flags.extend(self.admin.map(|admin| ("admin", Value::from(admin))));
        flags.extend(self.state.map(|state| ("state", path(state))));
        flags.extend(self.log_level.map(|level| ("log.level", Value::from(level))));
        flags.extend(self.access_log.map(|to| ("log.access", Value::from(to))));
        sources(self.config, flags)
    }
}

/// Settings of this process: a file, by default `bifocal.toml` if there is one; the environment; flags.
pub(super) fn sources(file: Option<PathBuf>, flags: Vec<(&'static str, Value)>) -> Sources {
    let usual = PathBuf::from("bifocal.toml");
    // A variable that is not Unicode cannot be one of ours.
    let environment =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Sources { file: file.or_else(|| usual.is_file().then_some(usual)), environment: environment.collect(), flags }
}

pub(super) fn run(args: Args) -> ExitCode {
    if args.print_defaults {
        return finish(DEFAULTS, CLEAN);
    }
    let is_takeover = args.takeover;
    let settings = match Settings::load(args.into_sources()) {
        Ok(settings) => settings,
        Err(mistakes) => return cannot_run(&format!("the settings are not valid\n{mistakes}")),
    };
    let (levels, messages) = match start_log(&settings.log) {
        Ok(started) => started,
        Err(error) => return cannot_run(&format!("cannot start: {error}")),
    };
    let (predecessor, sockets) = if is_takeover {
        match Predecessor::meet() {
            Ok((predecessor, sockets)) => (Some(predecessor), sockets),
            Err(error) => return cannot_run(&format!("nothing can be taken over: {error}")),
        }
    } else {
        (None, Sockets::from_service_manager())
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cannot_run(&format!("cannot start: {error}")),
    };
    let surroundings = Surroundings { levels, messages: Some(messages.clone()), sockets, predecessor };
    let code = runtime.block_on(serve(settings, surroundings));
    // What still runs there runs for nobody.
    runtime.shutdown_background();
    messages.flush();
    code
}

async fn serve(settings: Settings, surroundings: Surroundings) -> ExitCode {
    // Listened for from here on: a signal before anybody listens would end the process at once.
    let signals = Signals::listen();
    let server = match Server::bind_in(settings, surroundings, Brokers::new()).await {
        Ok(server) => server,
        Err(error) => return cannot_run(&error.to_string()),
    };
    for address in server.addrs() {
        tracing::info!("listening on http://{address}");
    }
    for address in server.tls_addrs() {
        tracing::info!("listening on https://{address}");
    }
    tracing::info!("admin on {}", server.admin());
    if server.generation() == 0 {
        tracing::error!("no service can be served: not ready until the rules are mended");
    }
    let succession = match server.succession() {
        Ok(succession) => Arc::new(succession),
        Err(error) => return cannot_run(&format!("cannot start: {error}")),
    };
    let (impatient, told_again) = oneshot::channel();
    let waiting = succession.clone();
    tokio::select! {
        drained = server.run(signals.stop(succession, impatient)) => {
            ExitCode::from(if drained { CLEAN } else { FINDINGS })
        }
        Ok(()) = told_again => {
            tracing::warn!("told to stop once more: ending at once");
            waiting.flush();
            ExitCode::from(FINDINGS)
        }
    }
}

/// Messages go to standard error, by a thread of their own: a reader that does not read stops nobody. The access log has
/// a way of its own.
pub(super) fn start_log(log: &Log) -> io::Result<(Levels, Arc<Lines>)> {
    let lines = Arc::new(Lines::to(MESSAGES, Box::new(io::stderr()), Duration::ZERO)?);
    let (filter, handle) = tracing_subscriber::reload::Layer::new(Targets::default());
    let registry = tracing_subscriber::registry().with(filter);
    let layer =
        tracing_subscriber::fmt::layer().with_ansi(io::stderr().is_terminal()).with_writer(Writer(lines.clone()));
    // A second start in one process (a test) keeps the first one's log.
    let _ = match log.format {
        LogFormat::Text => registry.with(layer.with_target(false)).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
    let levels = Levels::new(&log.level, move |filter| {
        // It fails where the first start's log was kept.
        let _ = handle.reload(filter);
    });
    Ok((levels, lines))
}

/// Gives each message a way to the lines.
struct Writer(Arc<Lines>);

impl<'w> MakeWriter<'w> for Writer {
    type Writer = &'w Lines;

    fn make_writer(&'w self) -> Self::Writer {
        &self.0
    }
}

/// What a serving process listens for, from the call on.
struct Signals {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
    replace: Option<Signal>,
}

impl Signals {
    fn listen() -> Self {
        let listen = |kind| signal(kind).ok();
        let (terminate, interrupt) = (listen(SignalKind::terminate()), listen(SignalKind::interrupt()));
        Self { terminate, interrupt, replace: listen(SignalKind::user_defined2()) }
    }

    /// Over when the process is to end; from then on, a second signal ends it at once.
    async fn stop(mut self, succession: Arc<Succession>, impatient: oneshot::Sender<()>) -> Stop {
        let why = loop {
            tokio::select! {
                () = heard(&mut self.terminate) => break Stop::Told,
                () = heard(&mut self.interrupt) => break Stop::Told,
                () = heard(&mut self.replace) => {
                    if succession.replace().await {
                        break Stop::Replaced;
                    }
                }
            }
        };
        succession.end();
        tokio::spawn(async move {
            tokio::select! {
                () = heard(&mut self.terminate) => {}
                () = heard(&mut self.interrupt) => {}
            }
            // Nobody listens any more where all is over.
            let _ = impatient.send(());
        });
        why
    }
}

/// Over when it comes; never, where it cannot be heard.
async fn heard(signal: &mut Option<Signal>) {
    let told = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if told.is_none() {
        std::future::pending::<()>().await;
    }
}

/// Over when SIGTERM or Ctrl-C comes, counted from the call on.
#[cfg(unix)]
pub(super) fn told_to_stop() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async move {
        let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) else {
            // Where no signal can be heard, only the end of the process ends it.
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}

/// Over when Ctrl-C comes.
#[cfg(not(unix))]
pub(super) async fn told_to_stop() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
