//! Raw settings -> sizes, numbers and times, within what can be kept.

use std::time::Duration;

use figment::value::Value;

use super::read::Reader;
use super::{Limits, Memory, Timeouts};

impl Reader {
    pub(super) fn limits(&mut self) -> Limits {
        let limits = Limits {
            header_bytes: self.size("limits.header_bytes"),
            header_count: self.size("limits.header_count"),
            uri: self.size("limits.uri"),
            body: self.size("limits.body"),
            streamed: self.size("limits.streamed"),
            decoded: self.size("limits.decoded"),
            translated: self.size("limits.translated"),
            ratio: self.size("limits.ratio"),
            depth: self.size("limits.depth"),
            nodes: self.size("limits.nodes"),
            body_rate: self.size_or_zero("limits.body_rate"),
            in_flight: self.size("limits.in_flight"),
            connections: self.size("limits.connections"),
            streams: u32::try_from(self.size("limits.streams")).unwrap_or(u32::MAX),
            tunnels: self.size("limits.tunnels"),
            share: self.size_or_zero("limits.share"),
            connection_requests: self.size("limits.connection_requests"),
            bodies: self.size("limits.bodies"),
            memory: self.memory(),
        };
        // hyper cannot go below its own smallest buffer, and a deeper document than this could end a thread's stack.
        for (key, value, range) in [
            ("limits.header_bytes", limits.header_bytes, 8192..=1 << 20),
            ("limits.header_count", limits.header_count, 8..=4096),
            ("limits.depth", limits.depth, 1..=crate::json::MAX_DEPTH),
            ("limits.nodes", limits.nodes, 1..=1 << 30),
            ("limits.connection_requests", limits.connection_requests, 1..=1 << 30),
            ("limits.in_flight", limits.in_flight, 1..=1 << 20),
            ("limits.tunnels", limits.tunnels, 1..=1 << 20),
            ("limits.connections", limits.connections, 1..=1 << 20),
        ] {
            if value != 0 && !range.contains(&value) {
                self.wrong(key, &format!("must be between {} and {}", range.start(), range.end()));
            }
        }
        limits
    }

    pub(super) fn timeouts(&mut self) -> Timeouts {
        Timeouts {
            handshake: self.time("timeouts.handshake"),
            header: self.time("timeouts.header"),
            idle: self.time("timeouts.idle"),
            connection_age: self.time("timeouts.connection_age"),
            body: self.time("timeouts.body"),
            body_gap: self.time("timeouts.body_gap"),
            connect: self.time("timeouts.connect"),
            response: self.time("timeouts.response"),
            response_body: self.time("timeouts.response_body"),
            stream: self.time("timeouts.stream"),
            peer: self.peer(),
            leave: self.time_or_zero("timeouts.leave"),
            tunnel: self.time("timeouts.tunnel"),
            drain: self.time("timeouts.drain"),
        }
    }

    fn peer(&mut self) -> Duration {
        let peer = self.time("timeouts.peer");
        // TCP asks in whole seconds, and what is asked too often is traffic of its own.
        if !peer.is_zero() && !(Duration::from_secs(3)..=Duration::from_secs(3600)).contains(&peer) {
            self.wrong("timeouts.peer", "must be between 3s and 1h");
        }
        peer
    }

    fn memory(&mut self) -> Memory {
        match self.value("limits.memory").as_ref().and_then(Value::as_str) {
            Some("cgroup") => Memory::Cgroup,
            Some("none") => Memory::Unlimited,
            _ => Memory::Bytes(self.size("limits.memory")),
        }
    }
}
