//! Flows against the least that could carry messages: `cargo bench --bench messages`.
//!
//! A row is one pair of brokers, `RabbitMQ` to `RabbitMQ` and NATS to NATS. In each, a process that carries messages by a
//! flow, with the shipped rules for an order of 1 KB, takes turns with one that carries them as they are, by the same client
//! library ([`plain`]). What is compared is the CPU time that the kernel accounts to the process for a message: messages a
//! second and core, whatever else the machine does. `--help` says what can be chosen.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a measurement that cannot be made ends")]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "small counts and times"
)]
#![expect(clippy::indexing_slicing, reason = "there are two sides")]

#[path = "../../tests/it/messaging/broker_process.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod broker_process;
mod carrier;
mod plain;
mod sample;
mod soak;

use std::path::PathBuf;

use broker_process::{Kind, More, Process};
use carrier::Told;
use clap::Parser;
use mimalloc::MiMalloc;

/// As the program has it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Messages a second and core: a flow against the least that could carry them.
#[derive(Debug, Parser)]
struct Options {
    /// Pairs of runs for each broker.
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Messages in each run.
    #[arg(long, default_value_t = 20_000)]
    messages: usize,
    /// What remembers ids for the flow: `disk` (as the gateway does), `memory`, or `none`.
    #[arg(long, default_value = "disk")]
    seen: String,
    /// Only this broker: `rabbit` or `nats`.
    #[arg(long)]
    only: Option<String>,
    /// Instead: lets flows run for so many minutes, and watches their memory.
    #[arg(long)]
    minutes: Option<f64>,
    /// What `cargo bench` says.
    #[arg(long, hide = true)]
    bench: bool,
    /// Carries messages, as another of these processes has said.
    #[arg(long, hide = true)]
    carry: Option<String>,
}

fn main() {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Some(told) = &options.carry {
        runtime.block_on(carrier::carry(&Told::parse(told)));
        return;
    }
    let kinds = [(Kind::Rabbit, "rabbit"), (Kind::Nats, "nats")];
    for (kind, name) in kinds {
        if options.only.as_deref().is_some_and(|only| only != name) {
            continue;
        }
        let Some(process) = Process::start_with(kind, More::default()) else { panic!("{name} is not installed") };
        if let Some(minutes) = options.minutes {
            runtime.block_on(soak::run(&process, kind, minutes, &options.seen));
        } else {
            runtime.block_on(compare(&process, kind, &options));
        }
    }
}

async fn compare(process: &Process, kind: Kind, options: &Options) {
    let client = carrier::broker(kind, process.port);
    let mut ratios = Vec::new();
    let mut sides = [Vec::new(), Vec::new()];
    for pair in 0..options.pairs {
        let mut costs = [0.0; 2];
        for (side, how) in ["plain", "flow"].into_iter().enumerate() {
            let (from, to) = (format!("from-{how}-{pair}"), format!("to-{how}-{pair}"));
            for name in [&from, &to] {
                client.make(&carrier::address(kind, name)).await.unwrap();
            }
            carrier::fill(&*client, &carrier::address(kind, &from), 0..options.messages).await;
            let told = Told {
                how: how.to_owned(),
                kind,
                port: process.port,
                from,
                to: to.clone(),
                count: options.messages,
                seen: options.seen.clone(),
            };
            let (micros, seconds) = told.run_apart();
            eprintln!(
                "{kind:?} {how:<5} {micros:>6.1} us of CPU a message, {:>6.0} messages a second",
                options.messages as f64 / seconds
            );
            let arrived = carrier::waiting(&*client, &carrier::address(kind, &to), options.messages).await;
            assert!(arrived, "not all have arrived");
            costs[side] = micros;
            sides[side].push(micros);
        }
        ratios.push(costs[0] / costs[1]);
    }
    let rate = |all: &[f64]| 1e6 / median(all);
    println!(
        "{kind:?}: plain {:.0}, flow {:.0} messages a second and core; ratio {:.2} ({:.2} to {:.2}), median of {} pairs",
        rate(&sides[0]),
        rate(&sides[1]),
        median(&ratios),
        ratios.iter().copied().fold(f64::INFINITY, f64::min),
        ratios.iter().copied().fold(0.0, f64::max),
        ratios.len()
    );
}

fn median(all: &[f64]) -> f64 {
    let mut sorted = all.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// This program.
fn own_path() -> PathBuf {
    std::env::current_exe().unwrap()
}
