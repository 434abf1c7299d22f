//! Whether memory stays what it is while a flow carries for a long time.

use std::time::{Duration, Instant};

use super::broker_process::{Kind, Process};
use super::carrier::{self, Told};

/// Messages that are published at a time; each batch is carried and read before the next.
const BATCH: usize = 2000;

pub(super) async fn run(process: &Process, kind: Kind, minutes: f64, seen: &str) {
    let client = carrier::broker(kind, process.port);
    let (from, to) = ("from-soak".to_owned(), "to-soak".to_owned());
    let (source, target) = (carrier::address(kind, &from), carrier::address(kind, &to));
    for at in [&source, &target] {
        client.make(at).await.unwrap();
    }
    let told = Told { how: "flow".to_owned(), kind, port: process.port, from, to, count: 0, seen: seen.to_owned() };
    let mut child = told.command().spawn().unwrap();
    let mut reader = client.source(&target, "soak", 512).await.unwrap();
    let (began, until) = (Instant::now(), Duration::from_secs_f64(minutes * 60.0));
    let (mut carried, mut said, mut samples) = (0, 0, Vec::new());
    while began.elapsed() < until {
        carrier::fill(&*client, &source, carried..carried + BATCH).await;
        for _ in 0..BATCH {
            let patience = Duration::from_secs(60);
            let one = tokio::time::timeout(patience, reader.next()).await.unwrap().unwrap();
            one.settle.done().await.unwrap();
        }
        carried += BATCH;
        samples.push(resident(child.id()));
        let tenths = began.elapsed().as_secs_f64() * 10.0 / until.as_secs_f64();
        if tenths as usize > said {
            said = tenths as usize;
            println!(
                "{kind:?}: after {:>4.0} s {carried:>9} messages, {:>6} KiB",
                began.elapsed().as_secs_f64(),
                samples.last().copied().unwrap_or_default()
            );
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // The first fifth fills caches and buffers.
    let (filling, settled) = samples.split_at(samples.len() / 5);
    let (first, last) = settled.split_at(settled.len() / 2);
    let most = |all: &[u64]| all.iter().copied().max().unwrap_or_default();
    println!(
        "{kind:?}: at most {} KiB in the first fifth, {} KiB up to the middle of the rest, {} KiB after it",
        most(filling),
        most(first),
        most(last)
    );
}

/// KiB of a process in memory.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
