//! A machine and its life. All methods take time in a tokio runtime, of either kind, with time and I/O enabled.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::children;
use super::command::ExecSpec;
use super::config::MachineConfig;
use super::error::MachineError;
use super::execution::Execution;
use super::lives;
use super::once::run_once;
use super::result::ExecResult;
use super::running::Running;
use crate::compose::{AccelWish, Chosen, EngineWish, Places, Provider, RootWish, choose, registry_access};
use crate::config::{self, FileRequest, LoadRequest, Mode, Project};
use crate::host::{self, HostFiles};
use crate::image::registry::RegistrySettings;
use crate::net;
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
        if let Some(running) = slot.as_mut() {
            if !running.has_failed() {
                return Err(MachineError::Started);
            }
            // What is left of it goes first. That it failed is known.
            let _ = running.stop().await;
            *slot = None;
        }
        children::check()?;
        let plan = plan::build(&self.project, &host::facts(), &Selection::of([&self.config.name]).held());
        let mut plan = plan.map_err(|error| MachineError::Failed { cause: error.to_string() })?;
        let chosen = choose(EngineWish::Auto, AccelWish::Auto)?;
        let options = Options { hold: Hold::AfterAll, ..Options::for_accel(chosen.accel) };
        let (deps, state) = world(chosen, &plan)?;
        lives::until_gone(state.folder()).await;
        let lock = state.lock("a program that uses the library", false).map_err(MachineError::InUse)?;
        let life = lives::begin(state.folder(), lock);
        let published = net::publish(&mut plan.machines).map_err(MachineError::Port)?;
        let deps = RunDeps { published: Arc::new(published), ..deps };
        let mut running = Running::start(plan, deps, options, life);
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

    /// Runs a program in the machine to its end: its words, or an [`ExecSpec`] that says more. The first word is the
    /// program, and no shell is between. It ends with the program; what that has left in the background ends with it.
    ///
    /// # Errors
    /// Where it could not be run. One that ends with another code than 0 is no error: see [`ExecResult::exit_code`].
    pub async fn exec(&self, command: impl Into<ExecSpec>) -> Result<ExecResult, MachineError> {
        let mut command = command.into();
        command.stdin.get_or_insert_default();
        self.spawn(command).await?.collect().await
    }

    /// Starts a program in the machine, and gives its streams as they come.
    ///
    /// # Errors
    /// Where it could not be started.
    pub async fn spawn(&self, command: impl Into<ExecSpec>) -> Result<Execution, MachineError> {
        let command = command.into();
        if command.command.is_empty() {
            return Err(MachineError::NoCommand);
        }
        // Not held while the command runs: others may run beside it.
        let commands = self.running.lock().await.as_ref().map(Running::commands);
        commands.ok_or(MachineError::NotStarted)?.spawn(command).await
    }

    /// The address of this computer that reaches a port of the machine; `None` where it is not published, or the machine
    /// is not started.
    pub async fn address_of(&self, guest_port: u16) -> Option<SocketAddr> {
        self.running.lock().await.as_ref()?.address_of(guest_port)
    }

    /// Runs one command in a fresh machine of another image, with the mounts of this one and all else that its config
    /// says but the ports; the machine itself need not be started. The words go behind the image's entrypoint; without any
    /// its own command runs.
    ///
    /// # Errors
    /// Where it could not be run; its own exit code is in the result.
    pub async fn run(&self, image: &str, command: impl Into<ExecSpec>) -> Result<ExecResult, MachineError> {
        children::check()?;
        let command = command.into();
        let folder = command.folder()?;
        let config = MachineConfig { image: Some(image.to_owned()), ports: Vec::new(), ..self.config.clone() };
        let project = checked(config).await?;
        let ExecSpec { command: words, env, user, stdin, timeout, .. } = command;
        let single = SingleCommand { words, ..SingleCommand::default() };
        let mut plan =
            plan::build_single(&project, &host::facts(), &self.config.name, &single).ok_or(MachineError::NotStarted)?;
        for step in &mut plan.steps {
            step.env.extend(env.clone());
            step.working_dir = folder.clone().or(step.working_dir.take());
            step.user = user.clone().or(step.user.take());
            step.timeout = timeout;
        }
        let chosen = choose(EngineWish::Auto, AccelWish::Auto)?;
        let options = Options::for_accel(chosen.accel);
        let (deps, _) = world(chosen, &plan)?;
        run_once(plan, deps, options, stdin).await
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
