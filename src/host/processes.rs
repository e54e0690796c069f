//! What the machines that a process holds cost this computer, from `/proc` (proc(5)).
//!
//! Only what the host sees is told: time of the VM's process, and the memory that it has taken. Deliberately not here: what
//! a guest makes of it, and which process holds machines (`control`).

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// Ticks a second in which the kernel tells times of processes; the same on every x86-64.
const USER_HZ: u64 = 100;

/// A VM's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmProcess {
    /// Machine that it runs.
    pub machine: String,
    /// Its number.
    pub pid: u32,
    /// Time that its threads have run.
    pub cpu: Duration,
    /// Memory that it has of the host, in bytes.
    pub memory: u64,
}

/// The VMs that a process, or one that it started, runs now; in no order. What is gone meanwhile is left out.
pub fn vm_processes(holder: u32) -> Vec<VmProcess> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let stats: HashMap<u32, Stat> = pids.filter_map(|pid| Some((pid, stat(pid)?))).collect();
    let is_below = |pid: u32| {
        let mut next = stats.get(&pid).map(|stat| stat.parent);
        // As many as there are processes: a number that was given out again makes no ring.
        for _ in 0..stats.len() {
            match next {
                Some(parent) if parent == holder => return true,
                Some(parent) => next = stats.get(&parent).map(|stat| stat.parent),
                None => return false,
            }
        }
        false
    };
    let process = |(pid, stat): (&u32, &Stat)| {
        let machine = machine_of(&fs::read(format!("/proc/{pid}/cmdline")).ok()?)?;
        let memory = memory(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)?;
        Some(VmProcess { machine, pid: *pid, cpu: stat.cpu, memory })
    };
    stats.iter().filter(|(pid, _)| is_below(**pid)).filter_map(process).collect()
}

struct Stat {
    parent: u32,
    cpu: Duration,
}

fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name may hold anything, parentheses too; numbers follow the last one.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()?.checked_add(fields.get(12)?.parse().ok()?)?;
    let cpu = Duration::from_millis(ticks.checked_mul(1000)? / USER_HZ);
    Some(Stat { parent: fields.get(1)?.parse().ok()?, cpu })
}

/// The machine that QEMU was told to run, by its command line.
fn machine_of(command: &[u8]) -> Option<String> {
    let mut words = command.split(|byte| *byte == 0);
    words.find(|word| *word == b"-name")?;
    let name = std::str::from_utf8(words.next()?).ok()?.strip_prefix("guest=")?;
    Some(name.replace(",,", ","))
}

fn memory(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_a_name_that_may_hold_anything() {
        let text = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 1 0 1 1 1";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.parent, stat.cpu), (7, Duration::from_secs(2)));
        assert!(parse_stat("42 (a) S").is_none());
    }

    #[test]
    fn a_vm_is_known_by_its_name() {
        assert_eq!(machine_of(b"qemu\0-name\0guest=test[a,,b]\0-m\0").as_deref(), Some("test[a,b]"));
        assert_eq!(machine_of(b"sh\0-c\0true\0"), None);
        assert_eq!(memory("Name:\tx\nVmRSS:\t    1024 kB\n"), Some(1 << 20));
    }

    #[test]
    fn a_process_without_vms_has_none() {
        assert_eq!(vm_processes(std::process::id()), Vec::new());
        assert!(stat(std::process::id()).is_some());
    }
}
