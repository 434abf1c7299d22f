//! The memory of this process, and what its control group allows.

use std::fs;

/// Larger than any machine's: what "no limit" looks like in version 1.
const NO_LIMIT: usize = 1 << 60;

/// Bytes that the control group of this process allows, in version 2 or 1; `None`: nothing is said, or all is allowed.
pub(super) fn limit() -> Option<usize> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    files(&groups).iter().filter_map(|file| read(&fs::read_to_string(file).ok()?)).min()
}

/// Where limits may stand: of the group itself, of those above it, and where a container sees itself as the root.
fn files(groups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { continue };
        let (root, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            list if list.split(',').any(|one| one == "memory") => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        let mut group = group.trim_end_matches('/');
        loop {
            files.push(format!("{root}{group}/{name}"));
            let Some((above, _)) = group.rsplit_once('/') else { break };
            group = above;
        }
    }
    files
}

fn read(text: &str) -> Option<usize> {
    text.trim().parse().ok().filter(|limit| *limit < NO_LIMIT)
}

/// Bytes of this process that are in memory now and nowhere else; `None` where the system does not say.
pub(super) fn resident() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_found_in_both_versions() {
        assert_eq!(
            files("4:cpu,memory:/a/b\n1:name=systemd:/x\n0::/c\n"),
            [
                "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "/sys/fs/cgroup/c/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
        assert_eq!(read("134217728\n"), Some(134_217_728));
        assert_eq!(read("max\n"), None);
        assert_eq!(read("9223372036854771712\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory() {
        assert!(resident().unwrap() > 1 << 20);
    }
}
