//! What was found on this computer in words, each with the commands that help: what `doctor` prints.

use super::facts::facts;
use super::kvm::{kvm_commands, kvm_words};
use super::namespaces::{NamespaceFacts, namespaces};
use super::qemu::{EngineFacts, engines};
use crate::sys::kvm_probe::KvmVerdict;

/// How a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// All is well.
    Good,
    /// Machines run, but something could be better.
    Notice,
    /// Machines cannot run.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at: `engine`, `kvm`, `namespaces`, `resources`.
    pub subject: &'static str,
    /// How it matters.
    pub standing: Standing,
    /// What was found, without a period.
    pub words: String,
    /// Commands that help, to be copied.
    pub commands: Vec<String>,
}

/// Looks at everything that decides whether and how machines run here.
pub fn findings() -> Vec<Finding> {
    let engines = engines();
    let facts = facts();
    let resources = format!("{} CPUs and {} MiB of memory for all machines", facts.cpus, facts.memory_mib);
    let resources = Finding { subject: "resources", standing: Standing::Good, words: resources, commands: Vec::new() };
    vec![qemu(&engines), kvm(&engines.kvm), shares(&namespaces()), resources]
}

fn shares(facts: &NamespaceFacts) -> Finding {
    let standing = match facts {
        NamespaceFacts::Allowed => Standing::Good,
        NamespaceFacts::Unknown => Standing::Notice,
        NamespaceFacts::Denied { .. } => Standing::Bad,
    };
    Finding { subject: "namespaces", standing, words: facts.words(), commands: facts.commands() }
}

fn qemu(engines: &EngineFacts) -> Finding {
    match &engines.qemu {
        Ok(facts) => {
            let way = if engines.kvm == KvmVerdict::Usable { "with KVM" } else { "by software emulation" };
            let words = format!("QEMU {} ({}) serves, {way}", facts.version, facts.program.display());
            Finding { subject: "engine", standing: Standing::Good, words, commands: Vec::new() }
        }
        Err(error) => {
            let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
            let words = format!("{error}{cause}");
            Finding { subject: "engine", standing: Standing::Bad, words, commands: error.commands() }
        }
    }
}

fn kvm(verdict: &KvmVerdict) -> Finding {
    let standing = if *verdict == KvmVerdict::Usable { Standing::Good } else { Standing::Notice };
    Finding { subject: "kvm", standing, words: kvm_words(verdict), commands: kvm_commands(verdict) }
}

#[cfg(test)]
mod tests {
    use super::super::qemu::{QemuError, QemuFacts, QemuVersion};
    use super::*;

    #[test]
    fn missing_engine_is_bad_and_missing_kvm_a_notice() {
        let engines = EngineFacts { qemu: Err(QemuError::Missing), kvm: KvmVerdict::Absent };
        assert_eq!(qemu(&engines).standing, Standing::Bad);
        assert_eq!(kvm(&engines.kvm).standing, Standing::Notice);
    }

    #[test]
    fn serving_engine_is_named_with_its_way() {
        let version = QemuVersion { major: 7, minor: 2, patch: 0 };
        let facts = QemuFacts { program: "/usr/bin/qemu-system-x86_64".into(), version };
        let engines = EngineFacts { qemu: Ok(facts), kvm: KvmVerdict::TooSlow { slowdown: 1000 } };
        let words = qemu(&engines).words;
        assert_eq!(words, "QEMU 7.2.0 (/usr/bin/qemu-system-x86_64) serves, by software emulation");
    }

    #[test]
    fn this_computer_gives_a_finding_for_each_subject() {
        let subjects: Vec<_> = findings().into_iter().map(|finding| finding.subject).collect();
        assert_eq!(subjects, ["engine", "kvm", "namespaces", "resources"]);
    }
}
