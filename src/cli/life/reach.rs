//! The way to the process that holds a project's machines.

use std::time::{Duration, Instant};

use crate::cli::exit::{Class, Failure};
use crate::cli::printer::Printer;
use crate::cli::project::{KnownProject, told};
use crate::cli::settings::Settings;
use crate::control::{Client, Found};
use crate::run::{LockError, ProjectState};

/// How long a process that holds the project may take until it answers.
const PATIENCE: Duration = Duration::from_secs(5);

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Why no machines can be reached.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReachError {
    #[error("the project is held by {holder}, and nobody answers there")]
    Silent { holder: String },
    #[error("the process that held the machines was killed, and they ended with it")]
    Killed,
}

/// Who holds machines, once it is clear.
enum Holder {
    Here(Client),
    Nobody { was_killed: bool },
}

/// Finds the process that holds the machines of the project that the settings mean.
pub(crate) fn reach(settings: &Settings, printer: &Printer) -> Result<Client, Failure> {
    let known = KnownProject::find(settings)?;
    find(&known.state, printer)?.ok_or_else(|| known.nobody_up("`smolvm up -d` starts them"))
}

/// Fails where the process that held the project's machines until now was killed, rather than having come to its end.
pub(super) fn has_ended(pid: u32, settings: &Settings, printer: &Printer) -> Result<(), Failure> {
    let state = KnownProject::find(settings)?.state;
    let start = Instant::now();
    loop {
        match look(&state, printer)? {
            // A process that ends closes one thing after the other.
            Holder::Here(client) if client.pid() == pid && start.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
            Holder::Nobody { was_killed: true } => {
                return Err(Failure::new(Class::World, ReachError::Killed).help("`smolvm up -d` starts them anew"));
            }
            Holder::Nobody { was_killed: false } | Holder::Here(_) => return Ok(()),
        }
    }
}

/// Finds the process that holds the machines of a project, if there is one. Of one that was killed, what it left is
/// cleared, and this is said.
pub(crate) fn find(state: &ProjectState, printer: &Printer) -> Result<Option<Client>, Failure> {
    look(state, printer).map(|holder| match holder {
        Holder::Here(client) => Some(client),
        Holder::Nobody { .. } => None,
    })
}

fn look(state: &ProjectState, printer: &Printer) -> Result<Holder, Failure> {
    let start = Instant::now();
    loop {
        match Client::find(state).map_err(told)? {
            Found::Held(client) => return Ok(Holder::Here(client)),
            Found::Nobody if !state.folder().exists() => return Ok(Holder::Nobody { was_killed: false }),
            Found::Nobody | Found::Left(_) => {}
        }
        // Nobody answers: it was killed, or is about to listen, or about to be gone.
        match state.lock("smolvm", false) {
            Ok(lock) => {
                let left = state.clear_killed(&lock).map_err(|error| Failure::new(Class::World, error))?;
                if let Ok(Found::Left(note)) = Client::find(state) {
                    note.clear(state);
                }
                for remark in &left {
                    printer.note(&format!("note: {remark}\n"));
                }
                return Ok(Holder::Nobody { was_killed: !left.is_empty() });
            }
            Err(LockError::Held { .. }) if start.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
            Err(LockError::Held { holder, .. }) => {
                return Err(Failure::new(Class::World, ReachError::Silent { holder: holder.to_string() }));
            }
            Err(error) => return Err(Failure::new(Class::World, error)),
        }
    }
}
