//! How much memory machines can get: that of the computer, or the limit of a cgroup that we are in.

use std::fs;
use std::path::{Path, PathBuf};

/// Memory in MiB; 0 where nothing says how much there is.
pub(super) fn memory_mib() -> u64 {
    memory_bytes(Path::new("/")) >> 20
}

fn memory_bytes(root: &Path) -> u64 {
    let total = total(&read(&root.join("proc/meminfo"))).unwrap_or(0);
    limits(root).into_iter().fold(total, |least, limit| if least == 0 { limit } else { least.min(limit) })
}

/// `MemTotal:  24581234 kB`
fn total(meminfo: &str) -> Option<u64> {
    let value = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    value.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The limits of our cgroup and of all above it, in version 2 and version 1 of the hierarchy.
fn limits(root: &Path) -> Vec<u64> {
    let mut found = Vec::new();
    for line in read(&root.join("proc/self/cgroup")).lines() {
        // `0::/a/b` in version 2, `9:memory:/a/b` in version 1.
        let mut fields = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let (top, file) = if number == "0" && controllers.is_empty() {
            ("sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            continue;
        };
        let top = root.join(top);
        let own: PathBuf = top.join(path.trim_start_matches('/'));
        let above = own.ancestors().take_while(|folder| folder.starts_with(&top));
        // "max", and the huge number that version 1 means it by, are no limit.
        found.extend(above.filter_map(|folder| read(&folder.join(file)).trim().parse::<u64>().ok()));
    }
    found.retain(|limit| *limit < 1 << 60);
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn computer(files: &[(&str, &str)]) -> u64 {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        memory_bytes(root.path()) >> 20
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:        8388608 kB\nMemFree: 1 kB\n");

    #[test]
    fn computer_without_limits_gives_all() {
        assert_eq!(computer(&[MEMINFO]), 8192);
        assert_eq!(computer(&[MEMINFO, ("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "max\n")]), 8192);
    }

    #[test]
    fn limit_of_any_cgroup_above_counts() {
        let cgroup = ("proc/self/cgroup", "0::/ci/job\n");
        let (own, above) = ("sys/fs/cgroup/ci/job/memory.max", "sys/fs/cgroup/ci/memory.max");
        assert_eq!(computer(&[MEMINFO, cgroup, (own, "max\n"), (above, "1073741824\n")]), 1024);
        assert_eq!(computer(&[MEMINFO, cgroup, (own, "536870912\n"), (above, "1073741824\n")]), 512);
    }

    #[test]
    fn first_version_of_cgroups_counts_too() {
        let cgroup = ("proc/self/cgroup", "11:cpuset:/\n9:memory:/docker/x\n");
        let limit = "sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes";
        assert_eq!(computer(&[MEMINFO, cgroup, (limit, "2147483648\n")]), 2048);
        assert_eq!(computer(&[MEMINFO, cgroup, (limit, "9223372036854771712\n")]), 8192);
    }

    #[test]
    fn nothing_known_is_zero() {
        assert_eq!(computer(&[]), 0);
    }
}
