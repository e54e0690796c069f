//! The engine that the words of flags and settings choose, or a failure with its exit code.

use super::args;
use super::exit::{Class, Failure};
use crate::compose::{self, AccelWish, ChooseError, Chosen, EngineWish, RootWish};

/// Chooses an engine and an accelerator, as asked and as this host allows.
pub(crate) fn choose(engine: args::Engine, accel: args::Accel) -> Result<Chosen, Failure> {
    compose::choose(engine.into(), accel.into()).map_err(|error| {
        let class = match error {
            ChooseError::NoKvmEngine => Class::Usage,
            ChooseError::NoKvm { .. } | ChooseError::Qemu(_) => Class::Host,
        };
        let help = error.help();
        help.into_iter().fold(Failure::new(class, error), |failure, help| failure.help(help))
    })
}

impl From<args::Engine> for EngineWish {
    fn from(word: args::Engine) -> Self {
        match word {
            args::Engine::Auto => Self::Auto,
            args::Engine::Qemu => Self::Qemu,
            args::Engine::Kvm => Self::Kvm,
        }
    }
}

impl From<args::Accel> for AccelWish {
    fn from(word: args::Accel) -> Self {
        match word {
            args::Accel::Auto => Self::Auto,
            args::Accel::Kvm => Self::Kvm,
            args::Accel::Tcg => Self::Tcg,
        }
    }
}

impl From<args::RootForm> for RootWish {
    fn from(word: args::RootForm) -> Self {
        match word {
            args::RootForm::Auto => Self::Auto,
            args::RootForm::Virtiofs => Self::Virtiofs,
            args::RootForm::Erofs => Self::Erofs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_is_not_there_yet_is_a_wrong_word() {
        let failure = choose(args::Engine::Kvm, args::Accel::Auto).unwrap_err();
        assert_eq!(failure.exit_code().number(), 2);
        assert_eq!(failure.cause(), "engine `kvm` is not there yet");
    }
}
