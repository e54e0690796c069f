//! A machine and its life. All methods take time in a tokio runtime, of either kind, with time and I/O enabled.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::children;
use super::config::MachineConfig;
use super::error::MachineError;
use super::once::run_once;
use super::result::ExecResult;
use super::running::Running;
use crate::compose::{AccelWish, Chosen, EngineWish, Places, Provider, RootWish, choose, registry_access};
use crate::config::{self, FileRequest, LoadRequest, Mode, Project};
use crate::host::{self, HostFiles};
use crate::image::registry::RegistrySettings;
use crate::plan::{self, Selection, SingleCommand};
use crate::run::{Hold, Options, ProjectState, RunDeps};
use crate::storage::Storage;

/// What the checker calls the text of a config.
const TEXT_NAME: &str = "machine";

/// A Linux machine that this process owns.
///
/// ```no_run
/// use smolvm::{Machine, MachineConfig, MountSpec};
///
/// # async fn example() -> Result<(), smolvm::MachineError> {
/// let config = MachineConfig {
///     mounts: vec![MountSpec::new("/host/code", "/workspace")],
///     ..MachineConfig::new("with-mounts")
/// };
/// let machine = Machine::create(config).await?;
/// machine.start().await?;
/// let result = machine.exec(["cat", "/workspace/script.py"]).await?;
/// println!("{}", result.stdout_text());
/// machine.stop().await?;
/// # Ok(())
/// # }
/// ```
///
/// It may be shared: several commands run at the same time. Dropped, it is ended at once, and so is what runs in it; what
/// was written to mounts and synced to `/workspace` stays. Every future may be dropped at any point: a `start` that is
/// dropped leaves the machine ended, an `exec` ends its command.
#[derive(Debug)]
pub struct Machine {
    config: MachineConfig,
    project: Project,
    running: Mutex<Option<Running>>,
}

impl Machine {
    /// Checks what the machine is to be, by the rules of a `smolvm.yaml`. Nothing is started or made yet.
    ///
    /// # Errors
    /// [`MachineError::Invalid`] with every mistake.
    pub async fn create(config: MachineConfig) -> Result<Self, MachineError> {
        let project = checked(config.clone()).await?;
        Ok(Self { config, project, running: Mutex::default() })
    }

    /// Boots it, and returns when commands can run. What it kept in `/workspace` when it was up last is there again.
    ///
    /// # Errors
    /// Why it did not come up; it is then ended, and may be started again.
    pub async fn start(&self) -> Result<(), MachineError> {
        let mut slot = self.running.lock().await;
        if slot.is_some() {
            return Err(MachineError::Started);
        }
        children::check()?;
        let plan = plan::build(&self.project, &host::facts(), &Selection::of([&self.config.name]).held());
        let plan = plan.map_err(|error| MachineError::Failed { cause: error.to_string() })?;
        let chosen = choose(EngineWish::Auto, AccelWish::Auto)?;
        let options = Options { hold: Hold::AfterAll, ..Options::for_accel(chosen.accel) };
        let (deps, state) = world(chosen, &plan)?;
        let lock = state.lock("a program that uses the library", false).map_err(MachineError::InUse)?;
        let mut running = Running::start(plan, deps, options, lock);
        match running.ready().await {
            Ok(()) => *slot = Some(running),
            Err(error) => {
                // What it held is let go of before the error is told.
                let _ = running.stop().await;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Runs a program in the machine to its end; the first word is the program, and no shell is between. Its standard
    /// input is empty.
    ///
    /// # Errors
    /// Where it could not be run. One that ends with another code than 0 is no error: see [`ExecResult::exit_code`].
    pub async fn exec<W: Into<String>>(
        &self,
        command: impl IntoIterator<Item = W>,
    ) -> Result<ExecResult, MachineError> {
        let command: Vec<String> = command.into_iter().map(Into::into).collect();
        if command.is_empty() {
            return Err(MachineError::NoCommand);
        }
        // Not held while the command runs: others may run beside it.
        let commands = self.running.lock().await.as_ref().map(Running::commands);
        commands.ok_or(MachineError::NotStarted)?.exec(command).await
    }

    /// Runs one command in a fresh machine of another image, with the mounts of this one; the machine itself need not be
    /// started. The words go behind the image's entrypoint; without any its own command runs.
    ///
    /// # Errors
    /// Where it could not be run; its own exit code is in the result.
    pub async fn run<W: Into<String>>(
        &self,
        image: &str,
        command: impl IntoIterator<Item = W>,
    ) -> Result<ExecResult, MachineError> {
        children::check()?;
        let config = MachineConfig { image: Some(image.to_owned()), ..self.config.clone() };
        let words: Vec<String> = command.into_iter().map(Into::into).collect();
        let project = checked(config).await?;
        let command = SingleCommand { words, entrypoint: None };
        let plan = plan::build_single(&project, &host::facts(), &self.config.name, &command)
            .ok_or(MachineError::NotStarted)?;
        let chosen = choose(EngineWish::Auto, AccelWish::Auto)?;
        let options = Options::for_accel(chosen.accel);
        let (deps, _) = world(chosen, &plan)?;
        run_once(plan, deps, options).await
    }

    /// Powers it off in order, and returns when nothing of it is left. What is in `/workspace` stays. One that is not
    /// started is no error.
    ///
    /// # Errors
    /// Where it could not be powered off in order; it is ended all the same.
    pub async fn stop(&self) -> Result<(), MachineError> {
        let Some(mut running) = self.running.lock().await.take() else { return Ok(()) };
        running.stop().await
    }
}

/// The project of a config, checked on a thread that may wait for the disk.
async fn checked(config: MachineConfig) -> Result<Project, MachineError> {
    let checked = tokio::task::spawn_blocking(move || check(&config)).await;
    checked.map_err(|error| MachineError::Failed { cause: error.to_string() })?
}

/// Reads the text of a config as a project of the current folder.
fn check(config: &MachineConfig) -> Result<Project, MachineError> {
    let folder = std::env::current_dir()?;
    let text = FileRequest::Given { name: TEXT_NAME.to_owned(), text: config.text(), folder: folder.clone() };
    let request = LoadRequest {
        current_folder: folder,
        mode: Mode::Run,
        name: Some(config.name.clone()).filter(|name| !name.is_empty()),
        ..LoadRequest::default()
    };
    let loaded = config::load(request.alone(text), &HostFiles::new());
    match loaded.project {
        Some(project) if !loaded.diagnostics.has_errors() => Ok(project),
        _ => {
            Err(MachineError::Invalid { diagnostics: Box::new(loaded.diagnostics), sources: Box::new(loaded.sources) })
        }
    }
}

/// The parts of the world that a run uses, and where what it keeps is.
fn world(chosen: Chosen, plan: &plan::Plan) -> Result<(RunDeps, ProjectState), MachineError> {
    let Places { state_home, state_actor, cache, .. } = Places::find()?;
    let state = ProjectState::locate(&state_home, state_actor.clone(), &plan.project, &plan.folder);
    let storage = Storage::new(state.folder(), state_actor);
    let registries = Some(registry_access(RegistrySettings::default()));
    let provider = Provider::new(cache, host::facts().invoker, RootWish::Auto, registries, storage);
    let deps = RunDeps {
        engine: chosen.engine,
        accel: chosen.accel,
        provider: Arc::new(provider),
        folder: None,
        attendant: None,
        published: Arc::default(),
        door: None,
        rounds: None,
    };
    Ok((deps, state))
}
