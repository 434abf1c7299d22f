//! How much memory another process has had.

/// The most that it ever had of its own, in MiB; none: this system does not tell. The pages of the program itself are
/// left out: in a build for tests they are most of it, and grow with every dependency.
pub(crate) fn peak(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let of = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().trim_end_matches(" kB").parse().unwrap())
    };
    Some(of("VmHWM:")?.saturating_sub(of("RssFile:")?) >> 10)
}
