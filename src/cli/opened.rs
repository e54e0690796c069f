//! A project that is taken for a run: its lock, the folder of the run, and what the run is made from.
//!
//! Deliberately not here: the run, who shows it (`up`, `life`).

use std::path::PathBuf;
use std::sync::Arc;

use super::args::UpArgs;
use super::exit::{Class, Failure};
use super::interrupts::Interrupts;
use super::printer::Printer;
use super::record::{self, Record};
use super::settings::Settings;
use crate::compose::Places;
use crate::compose::{Chosen, Provider};
use crate::engine::Accel;
use crate::host;
use crate::plan::Plan;
use crate::run::{LockError, Options, ProjectLock, ProjectState, RunDeps, RunDoor, RunFolder, StateError};
use crate::storage::Storage;
use crate::sys::identity::Actor;

/// A project that is taken; the lock is held until it is dropped.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Where everything is.
    pub(crate) places: Places,
    /// What the project keeps.
    pub(crate) state: ProjectState,
    /// The folder of the run.
    pub(crate) folder: RunFolder,
    lock: ProjectLock,
}

/// Why a run cannot be recorded.
#[derive(Debug, thiserror::Error)]
#[error("the record `{path}` cannot be made")]
struct RecordError {
    path: PathBuf,
    source: std::io::Error,
}

/// The command line of this process.
pub(crate) fn command_line() -> String {
    std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// How a run behaves, as flags and settings say.
pub(crate) fn options(args: &UpArgs, settings: &Settings, accel: Accel) -> Options {
    let defaults = Options::for_accel(accel);
    Options {
        keep_going: args.keep_going,
        parallel: args.parallel.or(settings.parallel).and_then(|number| usize::try_from(number).ok()),
        time_factor: args.time_factor.unwrap_or(defaults.time_factor),
        ..defaults
    }
}

/// Why the project cannot be taken, with what to do.
fn not_taken(error: LockError, actor: &Actor) -> Failure {
    let help = match (&error, actor) {
        (LockError::Held { holder, .. }, _) if holder.is_in_background() => {
            Some("`smolvm down` stops its machines, `smolvm exec` runs commands in them")
        }
        (LockError::Held { .. }, _) => Some("wait for it with `--wait-lock`, or end it"),
        (LockError::Unusable { .. }, Actor::User { .. }) => Some(
            "under `sudo` it is used with the rights of the user who called it; XDG_STATE_HOME names another place",
        ),
        _ => None,
    };
    help.into_iter().fold(Failure::new(Class::World, error), Failure::help)
}

/// What makes the machines of a project ready, as the settings say.
pub(crate) fn provider(settings: &Settings, places: &Places, state: &ProjectState, is_offline: bool) -> Provider {
    let storage = Storage::new(state.folder(), places.state_actor.clone());
    let registries = (!is_offline).then(|| crate::compose::registry_access(settings.registries.clone()));
    let invoker = host::facts().invoker;
    Provider::new(places.cache.clone(), invoker, settings.root_form.into(), registries, storage)
        .resolving(settings.resolvers.clone())
}

impl Opened {
    /// Takes the project for a run of this plan.
    pub(crate) fn open(
        args: &UpArgs,
        places: Places,
        plan: &Plan,
        printer: &Printer,
        interrupts: &mut Interrupts,
    ) -> Result<Self, Failure> {
        let state = ProjectState::locate(&places.state_home, places.state_actor.clone(), &plan.project, &plan.folder);
        let command = command_line();
        let lock = match state.lock(&command, false) {
            Err(LockError::Held { holder, .. }) if args.wait_lock => {
                printer.note(&format!("waiting: the project is held by {holder}\n"));
                let (state, command) = (state.clone(), command.clone());
                interrupts.unless_interrupted(move || state.lock(&command, true))?
            }
            other => other,
        };
        let lock = lock.map_err(|error| not_taken(error, &places.state_actor))?;
        let (folder, remarks) = state.begin_run(&lock).map_err(|error| Failure::new(Class::World, error))?;
        for remark in remarks {
            printer.note(&format!("note: {remark}\n"));
        }
        Ok(Self { places, state, folder, lock })
    }

    /// Makes the folder of a run that goes on in the machines of another one, while the lock is held.
    pub(crate) fn begin_next(&self, previous: &RunFolder) -> Result<RunFolder, StateError> {
        self.state.begin_next_run(&self.lock, previous)
    }

    /// The parts of the world that the run uses.
    pub(crate) fn deps(&self, settings: &Settings, chosen: Chosen, door: RunDoor) -> RunDeps {
        RunDeps {
            engine: chosen.engine,
            accel: chosen.accel,
            provider: Arc::new(provider(settings, &self.places, &self.state, settings.is_offline)),
            folder: Some(self.folder.clone()),
            attendant: None,
            published: Arc::default(),
            door: Some(door),
            rounds: None,
        }
    }

    /// The file for the events of the run, and why it could not be written, once it could not.
    pub(crate) fn record(&self) -> Result<(Record, record::Failure), Failure> {
        let path = self.folder.events();
        let file = self.folder.create(&path);
        file.map(Record::new).map_err(|source| Failure::new(Class::World, RecordError { path, source }))
    }
}
