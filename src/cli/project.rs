//! The project that a verb looks at without running it: its name and folder, and so where its state is.
//!
//! Mistakes in the file are not told: what runs may be older than they are. Deliberately not here: what is found in the
//! state (`run`), who holds its machines (`control`).

use std::future::Future;
use std::io;

use super::exit::{Class, Failure};
use super::printer::Printer;
use super::settings::Settings;
use super::{life, load, unread};
use crate::compose::Places;
use crate::config::{self, Mode, Project};
use crate::control::{Client, ControlError};
use crate::run::{ProjectState, RunView};

/// A project by its file, and where its state is.
#[derive(Debug)]
pub(crate) struct KnownProject {
    /// As far as the file can be understood.
    pub(crate) project: Project,
    /// Its state.
    pub(crate) state: ProjectState,
    printer: Printer,
}

/// Why a project cannot be looked at.
#[derive(Debug, thiserror::Error)]
enum ProjectError {
    #[error("the project's file cannot be understood")]
    NotUnderstood,
    #[error("no machine of project `{0}` is up")]
    NobodyUp(String),
    #[error("there is no machine `{0}`")]
    NoMachine(String),
    #[error("the program cannot wait for answers")]
    Runtime(#[source] io::Error),
}

impl KnownProject {
    /// Finds what the settings name, or the project of the current folder. Where its file is gone or cannot be understood,
    /// it is the one whose machines are up there, or by the name that is given.
    pub(crate) fn find(settings: &Settings) -> Result<Self, Failure> {
        let places = Places::find()?;
        let read = load::load(settings, Mode::Check).and_then(|loaded| {
            loaded.project.ok_or_else(|| {
                Failure::new(Class::File, ProjectError::NotUnderstood).help("`smolvm check` says what is wrong in it")
            })
        });
        let printer = Printer::new(settings);
        let (why, (project, state)) = match read {
            Ok(project) => {
                let state = locate(&places, &project);
                match unread::gone(settings, &places, &state)? {
                    None => return Ok(Self { project, state, printer }),
                    Some(found) => ("its folder or file is gone".to_owned(), found),
                }
            }
            Err(failure) => match unread::find(settings, &places)? {
                None => return Err(failure),
                Some(found) => (failure.to_string(), found),
            },
        };
        printer.note(&format!("note: {why}; project `{}` is known by its machines that are up\n", project.name));
        Ok(Self { project, state, printer })
    }

    /// The process that holds its machines, where there is one. What a killed one left is cleared, which is said.
    pub(crate) fn client(&self) -> Result<Option<Client>, Failure> {
        life::find(&self.state, &self.printer)
    }

    /// The process that holds its machines; where there is none, `help` says what to do.
    pub(crate) fn holder(&self, help: &str) -> Result<Client, Failure> {
        self.client()?.ok_or_else(|| self.nobody_up(help))
    }

    /// No machine is up, and `help` says what to do.
    pub(crate) fn nobody_up(&self, help: &str) -> Failure {
        Failure::new(Class::World, ProjectError::NobodyUp(self.project.name.clone())).help(help)
    }

    /// Fails where neither the file nor the run has a machine of this name.
    pub(crate) fn has_machine(&self, name: &str, view: &RunView) -> Result<(), Failure> {
        let of_file = self.project.machines.iter().map(|machine| machine.name.value.as_str());
        let known: Vec<&str> = of_file.chain(view.machines.iter().map(|machine| machine.name.as_str())).collect();
        if known.contains(&name) {
            return Ok(());
        }
        let failure = Failure::new(Class::Selection, ProjectError::NoMachine(name.to_owned()));
        Err(match config::nearest(name, known) {
            Some(near) => failure.help(format!("did you mean `{near}`?")),
            None => failure.help("`smolvm plan` lists the machines"),
        })
    }
}

fn locate(places: &Places, project: &Project) -> ProjectState {
    ProjectState::locate(&places.state_home, places.state_actor.clone(), &project.name, &project.folder)
}

/// Waits for what is asked of the process that holds machines.
pub(crate) fn asking<T>(asked: impl Future<Output = Result<T, ControlError>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Class::World, ProjectError::Runtime(error)))?;
    runtime.block_on(asked).map_err(told)
}

/// A question that was not answered, with what to do.
pub(crate) fn told(error: ControlError) -> Failure {
    let help = error.help();
    help.into_iter().fold(Failure::new(Class::World, error), Failure::help)
}
