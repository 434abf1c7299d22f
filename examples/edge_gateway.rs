//! The gateway inside a program of your own: settings from code, a shutdown of your own, the state read while it runs.
//!
//! ```sh
//! cargo run --example edge_gateway -- rules http://127.0.0.1:9101 http://127.0.0.1:9102
//! ```

#![expect(clippy::print_stdout, reason = "an example tells what it does")]

use std::error::Error;

use bifocal::gateway::Server;
use bifocal::settings::{Settings, Sources, Value};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = |default: &str| arguments.next().unwrap_or_else(|| default.to_owned());
    let settings = Settings::load(Sources {
        flags: vec![
            ("rules", Value::from(argument("rules"))),
            // Where the services of the sample run, whatever its rules say.
            ("upstreams.orders.v1", Value::from(argument("http://127.0.0.1:9101"))),
            ("upstreams.orders.v2", Value::from(argument("http://127.0.0.1:9102"))),
            ("listen", Value::from("127.0.0.1:0")),
            ("admin", Value::from("127.0.0.1:0")),
            ("state", Value::from("")),
        ],
        ..Sources::default()
    })?;

    let server = Server::bind(settings).await?;
    for complaint in server.complaints() {
        println!("{complaint}");
    }
    println!("generation {} on http://{}", server.generation(), server.addr());
    println!("admin on http://{}", server.admin_addr());

    let drained = server.run(async { drop(tokio::signal::ctrl_c().await) }).await;
    println!("{}", if drained { "everything was finished" } else { "some requests were cut" });
    Ok(())
}
