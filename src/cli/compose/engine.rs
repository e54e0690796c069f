//! Which engine serves, and why, in words.
//!
//! Deliberately not here: the look at the host (`host`).

use std::sync::Arc;

use crate::cli::args;
use crate::cli::exit::{Class, Failure};
use crate::engine::qemu::{QemuEngine, QemuFacts};
use crate::engine::{Accel, Engine};
use crate::host::{self, KvmVerdict, kvm_words};

/// An engine that can run machines here.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// It.
    pub(crate) engine: Arc<dyn Engine>,
    /// How it runs CPUs.
    pub(crate) accel: Accel,
    /// Its name, its way, and why, in one line.
    pub(crate) why: String,
}

/// Why no engine serves.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
enum ChooseError {
    #[error("engine `kvm` is not there yet")]
    NoKvmEngine,
    #[error("`--accel kvm` cannot be had: {why}")]
    NoKvm { why: String },
}

/// Chooses an engine and an accelerator, as asked and as this host allows.
pub(crate) fn choose(engine: args::Engine, accel: args::Accel) -> Result<Chosen, Failure> {
    if engine == args::Engine::Kvm {
        return Err(Failure::new(Class::Usage, ChooseError::NoKvmEngine).help("use `--engine qemu`"));
    }
    // Its version is not asked for: that takes longer than all the rest of a start. `doctor` does.
    let program = host::find_qemu().map_err(|error| {
        let commands = error.commands();
        let failure = Failure::new(Class::Host, error);
        commands.into_iter().fold(failure, |failure, command| failure.help(command))
    })?;
    let (accel, why) = decide(accel, host::kvm)
        .map_err(|error| Failure::new(Class::Host, error).help("use `--accel tcg`, or ask `smolvm doctor`"))?;
    let way = match accel {
        Accel::Kvm => "kvm",
        Accel::Tcg => "tcg",
    };
    let why = format!("qemu ({way}): {why}");
    Ok(Chosen { engine: Arc::new(QemuEngine::new(QemuFacts { program })), accel, why })
}

/// The accelerator and why; `/dev/kvm` is probed only where the answer depends on it.
fn decide(accel: args::Accel, probe: impl FnOnce() -> KvmVerdict) -> Result<(Accel, String), ChooseError> {
    if accel == args::Accel::Tcg {
        return Ok((Accel::Tcg, "emulation was asked for".to_owned()));
    }
    let verdict = probe();
    let words = kvm_words(&verdict);
    match (accel, verdict) {
        (_, KvmVerdict::Usable) => Ok((Accel::Kvm, words)),
        (args::Accel::Auto, _) => Ok((Accel::Tcg, words)),
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
        assert_eq!(decide(args::Accel::Auto, || KvmVerdict::Usable).unwrap().0, Accel::Kvm);
        for verdict in [KvmVerdict::Absent, KvmVerdict::NoPermission, KvmVerdict::TooSlow { slowdown: 1000 }] {
            let (accel, why) = decide(args::Accel::Auto, || verdict).unwrap();
            assert_eq!(accel, Accel::Tcg);
            assert!(why.contains("emulates"), "{why}");
        }
    }

    #[test]
    fn emulation_that_was_asked_for_needs_no_probe() {
        let chosen = decide(args::Accel::Tcg, || panic!("probed"));
        assert_eq!(chosen.unwrap().0, Accel::Tcg);
    }

    #[test]
    fn kvm_that_was_asked_for_and_cannot_be_had_is_an_error() {
        let error = decide(args::Accel::Kvm, || KvmVerdict::Absent).unwrap_err();
        assert_eq!(error.to_string(), "`--accel kvm` cannot be had: there is no `/dev/kvm`");
    }

    #[test]
    fn an_engine_that_is_not_there_yet_is_said_so() {
        let failure = choose(args::Engine::Kvm, args::Accel::Auto).unwrap_err();
        assert_eq!(failure.exit_code().number(), 2);
        assert_eq!(failure.cause(), "engine `kvm` is not there yet");
    }
}
