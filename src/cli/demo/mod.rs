//! `bifocal demo`: two sample services, the gateway between them, a few calls, and a tour to take.

mod calls;
mod columns;
mod orders_v1;
mod orders_v2;
mod record;
mod service;
mod words;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use axum::Router;
use tokio::net::TcpListener;

use self::calls::Recorders;
use self::columns::Screen;
use self::record::Recorder;
use self::words::Addresses;
use super::serve::{start_log, told_to_stop};
use super::{CLEAN, cannot_run, print, style};
use crate::diagnostic::Style;
use crate::gateway::{Server, StartError};
use crate::settings::{Settings, Sources, Value};

/// See it work: two services, one gateway, old beside new
///
/// Starts an old and a new orders service and the gateway in front of them with the rules of the folder, makes a few
/// calls as an old client of the new service and as a new client of the old one, shows each exchange side by side, and
/// serves until Ctrl-C. Nothing is kept: every demo starts afresh.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bifocal demo
  bifocal demo --port 0 --admin-port 0   on free ports")]
pub(super) struct Args {
    /// Port that callers reach on loopback; 0 picks a free one
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    port: u16,
    /// Port of /generation, /reload, /metrics, /livez and /readyz; 0 picks a free one
    #[arg(long, value_name = "PORT", default_value_t = 8081)]
    admin_port: u16,
    /// The rules folder, with the sample service `orders` in it
    #[arg(long, value_name = "DIR", default_value = "rules", env = "BIFOCAL_RULES")]
    rules: PathBuf,
}

pub(super) fn run(args: &Args) -> ExitCode {
    if !args.rules.join("orders/service.yaml").is_file() {
        let rules = args.rules.display();
        return cannot_run(&format!(
            "{rules}/orders/service.yaml is not there: start the demo in the project's folder, or say where its rules \
             are with --rules"
        ));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cannot_run(&format!("cannot start: {error}")),
    };
    match runtime.block_on(demonstrate(args)) {
        Ok(()) => ExitCode::from(CLEAN),
        Err(message) => cannot_run(&message),
    }
}

async fn demonstrate(args: &Args) -> Result<(), String> {
    let screen = Screen::of_stdout(style() == Style::Colour);
    let recorders = Recorders { old: Recorder::new(), new: Recorder::new() };
    let old = start(service::service::<orders_v1::Order>(), &recorders.old).await?;
    let new = start(service::service::<orders_v2::Order>(), &recorders.new).await?;

    let settings = settings(args, old, new)?;
    start_log(&settings.log).map_err(|error| error.to_string())?;
    let server = Server::bind(settings).await.map_err(|error| match &error {
        StartError::Bind(address) => {
            address.told(if address.setting() == "admin" { "`--admin-port`" } else { "`--port`" })
        }
        StartError::Certificates(_) | StartError::Log(_) | StartError::Store(_) | StartError::Thread(_) => {
            error.to_string()
        }
    })?;
    if server.generation() == 0 {
        let complaints = server.complaints().join("\n\n");
        return Err(format!("the rules are refused; mend them, or take back what was changed\n\n{complaints}"));
    }
    let at = Addresses { gateway: server.addr(), admin: server.admin_addr(), old, new };
    let say = |text: &str| print(text).map_err(|error| format!("cannot write: {error}"));

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(async move {
        // A sender that is dropped says the same.
        let _ = stopped.await;
    }));
    say(&words::start(&at, &args.rules))?;
    let page = tokio::select! {
        page = calls::tour(at.gateway, &recorders, screen) => page?,
        () = told_to_stop() => String::new(),
    };
    recorders.old.stop();
    recorders.new.stop();
    if !page.is_empty() {
        say(&page)?;
        say(&words::end(&at, &args.rules, screen))?;
        told_to_stop().await;
    }
    drop(stop);
    serving.await.map(drop).map_err(|error| format!("the gateway failed: {error}"))
}

/// Serves a sample service on a free port of this machine.
async fn start(service: Result<Router, serde_json::Error>, recorder: &Recorder) -> Result<SocketAddr, String> {
    let failed = |error: &dyn std::error::Error| format!("a sample service cannot start: {error}");
    let router = recorder.around(service.map_err(|error| failed(&error))?);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| failed(&error))?;
    let address = listener.local_addr().map_err(|error| failed(&error))?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

/// The gateway's settings: the defaults, and what the demo needs. Neither files nor the environment have a say.
fn settings(args: &Args, old: SocketAddr, new: SocketAddr) -> Result<Settings, String> {
    let flags = vec![
        ("listen", Value::from(format!("127.0.0.1:{}", args.port))),
        ("admin", Value::from(format!("127.0.0.1:{}", args.admin_port))),
        ("rules", Value::from(args.rules.to_string_lossy().into_owned())),
        ("state", Value::from("")),
        ("upstreams.orders.v1", Value::from(format!("http://{old}"))),
        ("upstreams.orders.v2", Value::from(format!("http://{new}"))),
        ("log.access", Value::from("off")),
        // What is told once is told below; what changes is news.
        ("log.level", Value::from("info")),
    ];
    Settings::load(Sources { flags, ..Sources::default() }).map_err(|mistakes| mistakes.to_string())
}
