//! What the verdict on `/dev/kvm` means, and what helps.

use std::fs;

use crate::sys::kvm_probe::{KvmVerdict, kvm_probe};

/// Probes `/dev/kvm` with a micro guest. Takes some milliseconds.
pub fn kvm() -> KvmVerdict {
    kvm_probe()
}

/// What follows for machines, in one sentence without an end.
pub fn kvm_words(verdict: &KvmVerdict) -> String {
    match verdict {
        KvmVerdict::Usable => "`/dev/kvm` runs machines at the speed of the processor".to_owned(),
        KvmVerdict::Absent => "there is no `/dev/kvm`, so QEMU emulates machines in software".to_owned(),
        KvmVerdict::NoPermission => {
            "this user may not open `/dev/kvm`, so QEMU emulates machines in software".to_owned()
        }
        KvmVerdict::TooSlow { slowdown } => format!(
            "`/dev/kvm` is there but runs kernels {slowdown} times slower than the processor, so QEMU emulates \
             machines in software, which is faster"
        ),
        KvmVerdict::Broken { why } => {
            format!("`/dev/kvm` is there but does not work ({why}), so QEMU emulates machines in software")
        }
    }
}

/// Commands that help, to be copied; none where the firmware or a cloud's settings would have to change.
pub(super) fn kvm_commands(verdict: &KvmVerdict) -> Vec<String> {
    match verdict {
        KvmVerdict::NoPermission => vec!["sudo usermod -aG kvm \"$USER\"".to_owned(), "newgrp kvm".to_owned()],
        KvmVerdict::Absent => module_for(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
            .map(|module| format!("sudo modprobe {module}"))
            .into_iter()
            .collect(),
        _ => Vec::new(),
    }
}

/// The processor's own module, where it has the extension.
fn module_for(cpuinfo: &str) -> Option<&'static str> {
    let flags = cpuinfo.lines().find_map(|line| line.strip_prefix("flags"))?;
    flags.split_whitespace().find_map(|flag| match flag {
        "vmx" => Some("kvm_intel"),
        "svm" => Some("kvm_amd"),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verdict_says_what_follows() {
        let verdicts = [
            KvmVerdict::Absent,
            KvmVerdict::NoPermission,
            KvmVerdict::TooSlow { slowdown: 900 },
            KvmVerdict::Broken { why: "cannot make a VM: out of memory".to_owned() },
        ];
        for verdict in verdicts {
            assert!(kvm_words(&verdict).contains("so QEMU emulates machines in software"), "{verdict:?}");
        }
        assert!(kvm_words(&KvmVerdict::TooSlow { slowdown: 900 }).contains("900 times slower"));
        assert_eq!(kvm_commands(&KvmVerdict::Usable), Vec::<String>::new());
    }

    #[test]
    fn module_is_that_of_the_processor() {
        assert_eq!(module_for("flags\t\t: fpu vmx sse\n"), Some("kvm_intel"));
        assert_eq!(module_for("processor: 0\nflags : svm\n"), Some("kvm_amd"));
        assert_eq!(module_for("flags : fpu\n"), None);
    }
}
