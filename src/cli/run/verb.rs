//! The way of one command: options, file, plan, machine, streams, exit code.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::oneshot;

use super::args::{Pull, RunArgs};
use super::overlay::Overlay;
use crate::cli::args::Progress;
use crate::cli::attendant::Attendant;
use crate::cli::exit::{Class, ExitCode, Failure};
use crate::cli::interrupts::Interrupts;
use crate::cli::printer::Printer;
use crate::cli::settings::Settings;
use crate::cli::terminal::{Terminal, TerminalSignals, follow};
use crate::cli::{engines, load, opened, ports, remarks};
use crate::compose::Chosen;
use crate::compose::Places;
use crate::config::{self, Loaded, Mode, Project, nearest};
use crate::event::{RunStatus, Timed};
use crate::host::{self, HostFiles};
use crate::plan::{Plan, SingleCommand, build_single};
use crate::report::{CommandReporter, Reporter, Screen, Sink, Verbosity};
use crate::run::{self, Options, ProjectState, RunDeps, Signal, Summary};

/// Events that may wait for the reporter.
const EVENTS_WAITING: usize = 256;

/// Code of a command that SIGKILL ended.
const KILLED: u8 = 137;

/// How long the end waits, after a signal, for a reader that does not read.
const READER_PATIENCE: Duration = Duration::from_secs(1);

/// Why a command cannot be run.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("neither a machine nor an image is named")]
    Nothing,
    #[error("there is no machine `{name}` in the file")]
    NoMachine { name: String },
    #[error("machine `{name}` has a matrix: one of its machines must be named")]
    Matrix { name: String },
    #[error("there is no command to run: `--image {image}` has none of its own")]
    NoCommand { image: String },
    #[error("machine `{machine}` needs `{service}`, and the project is held by {holder}")]
    ServicesHeld { machine: String, service: String, holder: String },
    #[error("the streams of the command cannot be used")]
    Streams(#[source] io::Error),
    #[error("the reporter's thread cannot be started")]
    Thread(#[source] io::Error),
    #[error("the signals of the terminal cannot be handled")]
    Signals(#[source] io::Error),
    #[error("what the command wrote could not be passed on")]
    Output(#[source] io::Error),
}

/// Runs one command.
pub(crate) fn run(args: &RunArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    run_changed(args, settings, printer, |_| {})
}

/// The same, with something of the plan changed.
pub(crate) fn run_changed(
    args: &RunArgs,
    settings: &Settings,
    printer: &Printer,
    change: impl FnOnce(&mut Plan),
) -> Result<ExitCode, Failure> {
    let mut interrupts = Interrupts::listen()?;
    let ready = {
        let (args, settings, printer) = (args.clone(), settings.clone(), *printer);
        interrupts.unless_interrupted(move || prepare(&args, &settings, &printer))??
    };
    match ready {
        Ready::Invalid(code) => Ok(code),
        Ready::Run(mut plan, chosen) => {
            change(&mut plan);
            go(args, settings, printer, (*plan, chosen), interrupts)
        }
    }
}

/// What came of checking and planning.
enum Ready {
    /// Remarks were told.
    Invalid(ExitCode),
    /// This is to be run, with this engine.
    Run(Box<Plan>, Chosen),
}

fn prepare(args: &RunArgs, settings: &Settings, printer: &Printer) -> Result<Ready, Failure> {
    let (machine, words) = args.machine_and_words();
    let command = SingleCommand {
        words: words.to_vec(),
        entrypoint: args.entrypoint.clone(),
        brings_services: !args.no_deps && args.image.is_none(),
    };
    let (loaded, name, code) = match (&args.image, machine) {
        (Some(image), _) => {
            let is_bare = image == "host" || image.starts_with("dir:");
            if is_bare && words.is_empty() && args.entrypoint.is_none() {
                let error = RunError::NoCommand { image: image.clone() };
                return Err(Failure::new(Class::Usage, error).help("name one behind the options: `-- sh`"));
            }
            let (loaded, code) = load_image(args, image, settings)?;
            (loaded, Overlay::machine_name(args).to_owned(), code)
        }
        (None, Some(machine)) => {
            let (loaded, code) = load_machine(args, machine, settings)?;
            (loaded, machine.to_owned(), code)
        }
        (None, None) => {
            let help = "name a machine of the file, or an image: `smolvm run --image host -- COMMAND`";
            return Err(Failure::new(Class::Usage, RunError::Nothing).help(help));
        }
    };
    remarks::tell(&loaded.diagnostics, &loaded.sources, 0, printer);
    let project = match loaded.project {
        Some(project) if !loaded.diagnostics.has_errors() => project,
        _ => return Ok(Ready::Invalid(code)),
    };
    let plan = build_single(&project, &host::facts(), &name, &command);
    let mut plan = plan.ok_or_else(|| no_machine(&project, &name))?;
    keep_ports(&mut plan, args, &name);
    let engine = args.engine.unwrap_or(settings.engine);
    let accel = args.accel.unwrap_or(settings.accel);
    Ok(Ready::Run(Box::new(plan), engines::choose(engine, accel)?))
}

/// As with docker compose, one command publishes what its options say: of the file's ports, which come first, nothing
/// unless it is asked for. The services that it brings publish theirs.
fn keep_ports(plan: &mut Plan, args: &RunArgs, name: &str) {
    let own = plan.machines.iter_mut().find(|machine| machine.name == name).map(|machine| &mut machine.ports);
    if let Some(ports) = own.filter(|_| !args.service_ports) {
        ports.drain(..ports.len().saturating_sub(args.publish.len()));
    }
}

/// Services that are up already are not brought up a second time: they have their ports and disks.
fn services_are_free(plan: &Plan, state: &ProjectState, name: &str) -> Result<(), Failure> {
    let Some(service) = plan.machines.iter().find(|machine| machine.name != name) else { return Ok(()) };
    let Some(holder) = state.holder() else { return Ok(()) };
    let service = service.name.clone();
    let error = RunError::ServicesHeld { machine: name.to_owned(), service, holder: holder.to_string() };
    let failure = Failure::new(Class::World, error);
    Err(failure
        .help(format!("`smolvm exec {name} COMMAND` runs it in the machine that is up"))
        .help("`--no-deps` runs it without the services"))
}

/// Reads a machine that the options alone describe; a file of a project plays no part in it.
fn load_image(args: &RunArgs, image: &str, settings: &Settings) -> Result<(Loaded, ExitCode), Failure> {
    let overlay = Overlay::of_image(args, image);
    let template = load::for_options(settings)?;
    let folder = template.current_folder.clone();
    let mut loaded = config::load(template.alone(overlay.request(&folder)), &HostFiles::new());
    overlay.settle(&mut loaded);
    Ok((loaded, ExitCode::Usage))
}

/// Reads the file, and above it what the options change of the machine.
fn load_machine(args: &RunArgs, machine: &str, settings: &Settings) -> Result<(Loaded, ExitCode), Failure> {
    let request = load::request(settings, Mode::Run)?;
    let base = machine.split_once('[').map_or(machine, |(base, _)| base);
    let overlay = Overlay::of_machine(args, base);
    let mut loaded = config::load(request.clone(), &HostFiles::new());
    if let Some(project) = loaded.project.as_ref().filter(|project| !project.gaps.machines) {
        known_machine(project, machine)?;
    }
    if loaded.diagnostics.has_errors() || overlay.is_none() {
        Overlay::default().settle(&mut loaded);
        return Ok((loaded, ExitCode::InvalidFile));
    }
    let overlay = overlay.unwrap_or_default();
    let mut request = request;
    let own = overlay.request(&request.current_folder);
    request.files.push(own);
    let mut loaded = config::load(request, &HostFiles::new());
    let is_ours = overlay.settle(&mut loaded);
    Ok((loaded, if is_ours { ExitCode::Usage } else { ExitCode::InvalidFile }))
}

fn known_machine(project: &Project, name: &str) -> Result<(), Failure> {
    if project.machines.iter().any(|machine| machine.name.value == name) {
        return Ok(());
    }
    Err(no_machine(project, name))
}

fn no_machine(project: &Project, name: &str) -> Failure {
    let names = || project.machines.iter().map(|machine| machine.name.value.as_str());
    let of_matrix: Vec<String> = names()
        .filter(|known| known.strip_prefix(name).is_some_and(|rest| rest.starts_with('[')))
        .map(|known| format!("`{known}`"))
        .collect();
    if !of_matrix.is_empty() {
        let error = RunError::Matrix { name: name.to_owned() };
        return Failure::new(Class::Selection, error).help(format!("name one of {}", of_matrix.join(", ")));
    }
    let failure = Failure::new(Class::Selection, RunError::NoMachine { name: name.to_owned() });
    let failure = match nearest(name, names()) {
        Some(near) => failure.help(format!("did you mean `{near}`?")),
        None => {
            failure.help(format!("it has {}", names().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", ")))
        }
    };
    failure.help(format!("an image is named by `--image {name}`"))
}

fn go(
    args: &RunArgs,
    settings: &Settings,
    printer: &Printer,
    (mut plan, chosen): (Plan, Chosen),
    interrupts: Interrupts,
) -> Result<ExitCode, Failure> {
    let Interrupts { runtime, mut signals } = interrupts;
    let world = |error| Failure::new(Class::World, error);
    let places = Places::find()?;
    let state = ProjectState::locate(&places.state_home, places.state_actor.clone(), &plan.project, &plan.folder);
    if let Some(step) = plan.steps.first() {
        services_are_free(&plan, &state, &step.machine)?;
    }
    // Before anything boots: a port that is taken would be known only after minutes.
    let published = ports::publish(&mut plan, printer)?;
    let entered = runtime.enter();
    let (clear, is_clear) = std_mpsc::channel();
    let (attendant, written) =
        Attendant::new(args.streams.wanted(), is_clear).map_err(|error| world(RunError::Streams(error)))?;
    drop(entered);
    let attendant = Arc::new(attendant);
    let (events, reported) = spawn_reporter(settings, printer, clear, runtime.handle())?;
    let options = Options { passes_signals: true, ..Options::for_accel(chosen.accel) };
    // `--pull never` asks nobody.
    let is_offline = settings.is_offline || args.pull == Pull::Never;
    let provider = opened::provider(settings, &places, &state, is_offline);
    let deps = RunDeps {
        engine: chosen.engine,
        accel: chosen.accel,
        provider: Arc::new(if args.pull == Pull::Always { provider.asked_anew() } else { provider }),
        folder: None,
        attendant: Some(Arc::clone(&attendant) as Arc<dyn run::Attend>),
        published,
        door: None,
        rounds: None,
    };
    let (summary, output) = runtime.block_on(async {
        let summary = run::run(Arc::new(plan), deps, options, &mut signals, events).await;
        // Nothing is typed for a command that has ended.
        attendant.leave();
        let ends = async {
            // A reporter that panicked has told so by the panic itself.
            let _ = reported.await;
            written.wait().await
        };
        let output = unless_given_up(&summary, &mut signals, ends).await.unwrap_or(Ok(()));
        (summary, output)
    });
    runtime.shutdown_background();
    match output {
        // Who has gone has read enough; the command has been told.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(world(RunError::Output(error))),
        _ => Ok(exit_code(&summary)),
    }
}

/// The command's own code, where it ended by itself or could not begin; else that of the run.
fn exit_code(summary: &Summary) -> ExitCode {
    let own = summary.steps.first().and_then(|step| step.exit_code).and_then(|code| u8::try_from(code).ok());
    // One that did not heed the signal was killed by us.
    let was_killed = summary.status == RunStatus::Interrupted && own == Some(KILLED);
    let code = own.filter(|_| !was_killed).unwrap_or(summary.exit_code);
    if code == 0 { ExitCode::Passed } else { ExitCode::Run(code) }
}

/// Waits for the last words; after a signal not for ever.
async fn unless_given_up<T>(
    summary: &Summary,
    signals: &mut UnboundedReceiver<Signal>,
    ends: impl Future<Output = T>,
) -> Option<T> {
    let patience = async {
        let is_interrupted = summary.status == RunStatus::Interrupted;
        if !is_interrupted && signals.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(READER_PATIENCE).await;
    };
    tokio::select! {
        biased;
        end = ends => Some(end),
        () = patience => None,
    }
}

/// Starts the thread that tells of the run; it ends when the sender is dropped.
fn spawn_reporter(
    settings: &Settings,
    printer: &Printer,
    clear: std_mpsc::Sender<()>,
    runtime: &Handle,
) -> Result<(mpsc::Sender<Timed>, oneshot::Receiver<()>), Failure> {
    let world = |error| Failure::new(Class::World, error);
    let is_terminal = io::stderr().is_terminal();
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let verbosity = match settings.progress {
        Progress::Quiet | Progress::Json => Verbosity::Quiet,
        Progress::Plain | Progress::Auto | Progress::Tty => settings.volume,
    };
    let style = printer.stderr_style();
    let screen = Screen { terminal: Sink::stderr(), ..Terminal::Stderr.screen() };
    let (events, mut receiver) = mpsc::channel::<Timed>(EVENTS_WAITING);
    let (done, reported) = oneshot::channel();
    let handle = runtime.clone();
    let work: Box<dyn FnOnce() + Send> = if is_terminal && !is_dumb && settings.progress != Progress::Plain {
        let _entered = runtime.enter();
        let signals = TerminalSignals::listen().map_err(|error| world(RunError::Signals(error)))?;
        let mut reporter = CommandReporter::on_terminal(style, verbosity, screen, clear);
        Terminal::Stderr.clear_on_panic(&mut reporter);
        Box::new(move || handle.block_on(follow(Terminal::Stderr, reporter, receiver, signals, |_| {})))
    } else {
        let mut reporter = CommandReporter::plain(style, verbosity, screen, clear);
        Box::new(move || {
            while let Some(timed) = receiver.blocking_recv() {
                reporter.on(&timed);
            }
        })
    };
    let work = move || {
        work();
        // The verb may have given up.
        let _ = done.send(());
    };
    thread::Builder::new().name("report".to_owned()).spawn(work).map_err(|error| world(RunError::Thread(error)))?;
    Ok((events, reported))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::run::tests::plans::{machine, plan, step};
    use crate::sys::identity::Actor;

    #[test]
    fn services_that_somebody_has_up_are_not_brought_up_a_second_time() {
        let home = tempfile::tempdir().unwrap();
        let state = ProjectState::locate(home.path(), Actor::Own, "acme", Path::new("/code/acme"));
        let alone = plan(vec![step("run@client", &[])]);
        let mut with_service = alone.clone();
        with_service.machines.push(machine("db"));
        let is_free = |plan: &Plan| services_are_free(plan, &state, "client");
        assert!(is_free(&with_service).is_ok(), "nobody holds the project");
        let lock = state.lock("smolvm up -d", false).unwrap();
        assert!(is_free(&alone).is_ok(), "a machine without services is a fresh one");
        let failure = is_free(&with_service).unwrap_err();
        let cause = failure.cause();
        assert!(cause.starts_with("machine `client` needs `db`, and the project is held by process "), "{cause}");
        assert!(cause.contains(&std::process::id().to_string()) && cause.contains("smolvm up -d"), "{cause}");
        assert_eq!(failure.exit_code().number(), 125);
        assert_eq!(
            failure.helps(),
            [
                "`smolvm exec client COMMAND` runs it in the machine that is up",
                "`--no-deps` runs it without the services"
            ]
        );
        drop(lock);
        assert!(is_free(&with_service).is_ok(), "a holder that is gone holds nothing");
    }
}
