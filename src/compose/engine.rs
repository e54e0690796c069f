//! Which engine serves, and why, in words.
//!
//! Deliberately not here: the look at the host (`host`).

use std::sync::Arc;

use super::wish::{AccelWish, EngineWish};
use crate::engine::qemu::{QemuEngine, QemuFacts};
use crate::engine::{Accel, Engine};
use crate::host::{self, KvmVerdict, kvm_words};

/// An engine that can run machines here.
#[derive(Debug)]
pub struct Chosen {
    /// It.
    pub engine: Arc<dyn Engine>,
    /// How it runs CPUs.
    pub accel: Accel,
    /// Its name, its way, and why, in one line.
    pub why: String,
}

/// Why no engine serves.
#[derive(Debug, thiserror::Error)]
pub enum ChooseError {
    /// It was asked for.
    #[error("engine `kvm` is not there yet")]
    NoKvmEngine,
    /// It was asked for.
    #[error("`--accel kvm` cannot be had: {why}")]
    NoKvm {
        /// What is wrong with it.
        why: String,
    },
    /// There is no QEMU.
    #[error(transparent)]
    Qemu(#[from] host::QemuError),
}

impl ChooseError {
    /// What to do about it, a line each.
    pub fn help(&self) -> Vec<String> {
        match self {
            Self::NoKvmEngine => vec!["use `--engine qemu`".to_owned()],
            Self::NoKvm { .. } => vec!["use `--accel tcg`, or ask `smolvm doctor`".to_owned()],
            Self::Qemu(error) => error.commands(),
        }
    }
}

/// Chooses an engine and an accelerator, as asked and as this host allows.
///
/// # Errors
/// Where none serves.
pub fn choose(engine: EngineWish, accel: AccelWish) -> Result<Chosen, ChooseError> {
    if engine == EngineWish::Kvm {
        return Err(ChooseError::NoKvmEngine);
    }
    // Its version is not asked for: that takes longer than all the rest of a start. `doctor` does.
    let program = host::find_qemu()?;
    let (accel, why) = decide(accel, host::kvm)?;
    let way = match accel {
        Accel::Kvm => "kvm",
        Accel::Tcg => "tcg",
    };
    let why = format!("qemu ({way}): {why}");
    Ok(Chosen { engine: Arc::new(QemuEngine::new(QemuFacts { program })), accel, why })
}

/// The accelerator and why; `/dev/kvm` is probed only where the answer depends on it.
fn decide(accel: AccelWish, probe: impl FnOnce() -> KvmVerdict) -> Result<(Accel, String), ChooseError> {
    if accel == AccelWish::Tcg {
        return Ok((Accel::Tcg, "emulation was asked for".to_owned()));
    }
    let verdict = probe();
    let words = kvm_words(&verdict);
    match (accel, verdict) {
        (_, KvmVerdict::Usable) => Ok((Accel::Kvm, words)),
        (AccelWish::Auto, _) => Ok((Accel::Tcg, words)),
        (_, KvmVerdict::TooSlow { slowdown }) => Ok((
            Accel::Kvm,
            format!("it was asked for, though it runs kernels {slowdown} times slower than the processor"),
        )),
        (_, KvmVerdict::Absent) => Err(ChooseError::NoKvm { why: "there is no `/dev/kvm`".to_owned() }),
        (_, KvmVerdict::NoPermission) => {
            Err(ChooseError::NoKvm { why: "this user may not open `/dev/kvm`".to_owned() })
        }
        (_, KvmVerdict::Broken { why }) => Err(ChooseError::NoKvm { why: format!("`/dev/kvm` does not work ({why})") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_takes_kvm_only_where_it_is_fast() {
        assert_eq!(decide(AccelWish::Auto, || KvmVerdict::Usable).unwrap().0, Accel::Kvm);
        for verdict in [KvmVerdict::Absent, KvmVerdict::NoPermission, KvmVerdict::TooSlow { slowdown: 1000 }] {
            let (accel, why) = decide(AccelWish::Auto, || verdict).unwrap();
            assert_eq!(accel, Accel::Tcg);
            assert!(why.contains("emulates"), "{why}");
        }
    }

    #[test]
    fn emulation_that_was_asked_for_needs_no_probe() {
        let chosen = decide(AccelWish::Tcg, || panic!("probed"));
        assert_eq!(chosen.unwrap().0, Accel::Tcg);
    }

    #[test]
    fn kvm_that_was_asked_for_and_cannot_be_had_is_an_error() {
        let error = decide(AccelWish::Kvm, || KvmVerdict::Absent).unwrap_err();
        assert_eq!(error.to_string(), "`--accel kvm` cannot be had: there is no `/dev/kvm`");
    }

    #[test]
    fn an_engine_that_is_not_there_yet_is_said_so() {
        let error = choose(EngineWish::Kvm, AccelWish::Auto).unwrap_err();
        assert_eq!(error.to_string(), "engine `kvm` is not there yet");
    }
}
