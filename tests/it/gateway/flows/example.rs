//! The example of the guide to messages, as it is typed.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::messaging::broker_process::{Kind, is_installed};

#[test]
fn an_old_consumer_reads_what_a_new_producer_writes_over_a_kill() {
    let has_clients = Command::new("python3").args(["-c", "import pika, nats"]).stderr(Stdio::null()).status();
    if !has_clients.is_ok_and(|status| status.success()) {
        eprintln!("skipped: pika and nats-py are not installed");
        return;
    }
    if !(is_installed(Kind::Rabbit) && is_installed(Kind::Nats)) {
        return;
    }
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/messages/run"));
    command.env("BIFOCAL", env!("CARGO_BIN_EXE_bifocal")).env("MESSAGES", "900");
    let output = command.stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("kill -9 of the gateway"), "{told}");
    let row = |name: &str| {
        let line = told.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{told}"));
        line.split_whitespace().skip(1).map(|cell| cell.parse().unwrap()).collect::<Vec<usize>>()
    };
    let (rabbit, nats) = (row("RabbitMQ"), row("NATS"));
    assert_eq!(nats, [900, 0, 0, 0, 0], "{told}");
    assert_eq!((rabbit[0], rabbit[1], &rabbit[3..]), (900, 0, &[0, 0][..]), "{told}");
}
