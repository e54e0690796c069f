//! The half of `up -d` that holds the machines: a session of its own, which no terminal ends.
//!
//! It is this program, started anew with the words of the `up -d` that starts it, and the link to it as standard input.
//! Until the machines are up it is told of signals, and ends all that it began where the starter goes away. Then it
//! listens on the project's socket alone, and ends on `down` or by a signal, in order either way.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use clap::Parser;
use tokio::sync::mpsc;

use super::rounds::Rounds;
use crate::cli::args::{Cli, ExitCodeRule, UpArgs, Verb};
use crate::cli::exit::{Class, ExitCode, Failure};
use crate::cli::interrupts::Interrupts;
use crate::cli::opened::{self, Opened, command_line};
use crate::cli::printer::Printer;
use crate::cli::project::told;
use crate::cli::record::Record;
use crate::cli::settings::Settings;
use crate::cli::{engines, ports, report_run};
use crate::compose::Places;
use crate::control::{About, Bound, FromStarter, LinkReceiver, LinkSender, Role, Server, ToStarter, link};
use crate::event::{Event, Timed};
use crate::plan::Plan;
use crate::report::{JsonReporter, Reporter, Sink};
use crate::run::{self, Hold, MachineView, RunFolder, RunHandle, Signal};

/// Events that wait for the starter before the guests are held back.
const EVENTS_WAITING: usize = 64;

/// Why the machines cannot be held.
#[derive(Debug, thiserror::Error)]
enum SuperviseError {
    #[error("this is no verb: `up -d` starts it")]
    NotStarted(#[source] io::Error),
    #[error("the folder of the run takes no log")]
    Log(#[source] io::Error),
}

/// Runs as the process that holds the machines.
pub(crate) fn main() -> process::ExitCode {
    match work() {
        Ok(code) => code.into(),
        Err(failure) => {
            Printer::without_settings().failure(&failure);
            failure.exit_code().into()
        }
    }
}

fn work() -> Result<ExitCode, Failure> {
    let not_started = |error: io::Error| Failure::new(Class::Usage, SuperviseError::NotStarted(error));
    let end = take_input().map_err(not_started)?;
    // Not the leader of a group: the starter has just forked it.
    rustix::process::setsid().map_err(|error| not_started(error.into()))?;
    let words = std::env::args_os().enumerate().filter(|(place, _)| *place != 1).map(|(_, word)| word);
    let cli = Cli::try_parse_from(words).map_err(|error| not_started(io::Error::other(error)))?;
    let global = cli.verb.global().clone().or(cli.global);
    let Verb::Up(args) = cli.verb else { return Err(not_started(io::Error::other("another verb"))) };
    let settings = Settings::resolve(global, &|name| std::env::var_os(name))?;
    let interrupts = Interrupts::listen()?;
    let entered = interrupts.runtime.enter();
    let (sender, mut receiver) = link(end).map_err(not_started)?;
    drop(entered);
    let plan = match interrupts.runtime.block_on(receiver.from_starter()) {
        Ok(FromStarter::Begin(plan)) => *plan,
        // It is gone before it has asked for anything.
        Ok(FromStarter::Signal(_)) | Err(_) => return Ok(ExitCode::Failed),
    };
    supervise(&args, &settings, plan, interrupts, (sender, receiver))
}

/// The link, which is standard input; from then on that is empty.
fn take_input() -> io::Result<OwnedFd> {
    let end = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(end)
}

fn supervise(
    args: &UpArgs,
    settings: &Settings,
    mut plan: Plan,
    mut interrupts: Interrupts,
    (sender, receiver): (LinkSender, LinkReceiver),
) -> Result<ExitCode, Failure> {
    let opened = match open(args, settings, &mut plan, &mut interrupts) {
        Ok(opened) => opened,
        Err(failure) => {
            let last = ToStarter::Failed {
                cause: failure.cause(),
                help: failure.helps().to_vec(),
                exit_code: failure.exit_code().number(),
            };
            let last = match failure.holder() {
                Some(holder) => ToStarter::Taken { holder },
                None => last,
            };
            // Where it is gone, nobody needs to know.
            let _ = interrupts.runtime.block_on(sender.send(&last));
            return Ok(failure.exit_code());
        }
    };
    let Opening { opened, chosen, published, record, server, handle, door } = opened;
    let options = run::Options { hold: hold(args), ..opened::options(args, settings, chosen.accel) };
    let opened = Arc::new(opened);
    let rounds = Arc::new(Rounds::new(Arc::clone(&opened)));
    let to_run: Arc<dyn run::Rounds> = Arc::clone(&rounds) as _;
    let deps = run::RunDeps { published, rounds: Some(to_run), ..opened.deps(settings, chosen, door) };
    let Interrupts { runtime, signals } = interrupts;
    let summary = runtime.block_on(async {
        let (to_run, mut heard) = mpsc::unbounded_channel();
        let (events, told) = mpsc::channel(EVENTS_WAITING);
        let is_told = Arc::new(AtomicBool::new(false));
        let teller =
            Teller { record, rule: args.exit_code, handle, is_told: Arc::clone(&is_told), rounds: Arc::clone(&rounds) };
        let telling = tokio::spawn(teller.follow(sender, told));
        let hearing = tokio::spawn(hear(signals, receiver, to_run, is_told));
        let summary = run::run(Arc::new(plan), deps, options, &mut heard, events).await;
        // What could not be told was told to nobody.
        let _ = telling.await;
        hearing.abort();
        summary
    });
    runtime.shutdown_background();
    // While the lock is held: the next one may have a socket of its own.
    drop(server);
    if let Err(error) = rounds.finish() {
        Printer::without_settings().note(&format!("warning: {error}\n"));
    }
    drop(opened);
    Ok(if summary.exit_code == 0 { ExitCode::Passed } else { ExitCode::Run(summary.exit_code) })
}

fn hold(args: &UpArgs) -> Hold {
    match (args.detach, args.keep) {
        (true, true) => Hold::AfterAll,
        (true, false) => Hold::AfterSuccess,
        (false, _) => Hold::AfterFailure,
    }
}

/// What a run that can begin has.
struct Opening {
    opened: Opened,
    chosen: crate::compose::Chosen,
    published: Arc<crate::net::Published>,
    record: Record,
    server: Server,
    handle: RunHandle,
    door: run::RunDoor,
}

fn open(args: &UpArgs, settings: &Settings, plan: &mut Plan, interrupts: &mut Interrupts) -> Result<Opening, Failure> {
    let printer = Printer::new(settings);
    let chosen = engines::choose(args.engine.unwrap_or(settings.engine), args.accel.unwrap_or(settings.accel))?;
    let opened = Opened::open(args, Places::find()?, plan, &printer, interrupts)?;
    let published = ports::publish(plan, &printer).inspect_err(|_| drop(opened.folder.finish()))?;
    let (record, server, handle, door) = begin(&opened, interrupts)?;
    Ok(Opening { opened, chosen, published, record, server, handle, door })
}

fn begin(opened: &Opened, interrupts: &Interrupts) -> Result<(Record, Server, RunHandle, run::RunDoor), Failure> {
    // A run that does not begin was not killed.
    let undo = |_: &Failure| drop(opened.folder.finish());
    let (record, _) = opened.record().inspect_err(undo)?;
    let (handle, door) = run::door();
    let about = About { pid: process::id(), command: command_line(), since: SystemTime::now(), role: Role::Supervisor };
    let _entered = interrupts.runtime.enter();
    // Nobody could end it by a verb without.
    let server = Bound::open(&opened.state, opened.places.runtime.as_deref())
        .and_then(|bound| Server::start(bound, handle.clone(), about))
        .map_err(told)
        .inspect_err(undo)?;
    redirect(&opened.folder)
        .map_err(|error| Failure::new(Class::World, SuperviseError::Log(error)))
        .inspect_err(undo)?;
    Ok((record, server, handle, door))
}

/// From here on what is said of itself goes to a file: the terminal is the starter's.
fn redirect(folder: &RunFolder) -> io::Result<()> {
    let log = folder.create(&folder.path().join("supervisor.log"))?;
    rustix::stdio::dup2_stdout(log.as_fd())?;
    rustix::stdio::dup2_stderr(log.as_fd())?;
    Ok(())
}

/// Hears the signals of this process and those of the starter, whose end before it was told anything is one too.
async fn hear(
    mut own: mpsc::UnboundedReceiver<Signal>,
    mut receiver: LinkReceiver,
    to_run: mpsc::UnboundedSender<Signal>,
    is_told: Arc<AtomicBool>,
) {
    let starter = async {
        while let Ok(FromStarter::Signal(number)) = receiver.from_starter().await {
            if let Some(signal) = Signal::of_number(number) {
                let _ = to_run.send(signal);
            }
        }
        if !is_told.load(Ordering::Relaxed) {
            // It was not told that anything is up, so nobody would know of what is.
            let _ = to_run.send(Signal::Hangup);
        }
    };
    let ours = async {
        while let Some(signal) = own.recv().await {
            let _ = to_run.send(signal);
        }
    };
    tokio::join!(starter, ours);
}

/// Records the events, and tells the starter as long as it is there.
struct Teller {
    record: Record,
    rule: ExitCodeRule,
    handle: RunHandle,
    /// Whether the starter was told the end.
    is_told: Arc<AtomicBool>,
    rounds: Arc<Rounds>,
}

impl Teller {
    async fn follow(self, starter: LinkSender, mut events: mpsc::Receiver<Timed>) {
        let Self { record, rule, handle, is_told, rounds } = self;
        let mut starter = Some(starter);
        let mut listener = None;
        let recorder = |record| JsonReporter::new(Sink::new(Box::new(record)));
        let mut record = recorder(record);
        while let Some(mut timed) = events.recv().await {
            if matches!(timed.event, Event::RunStarted { .. })
                && let Some(next) = rounds.take_next()
            {
                record = recorder(next.record);
                listener = Some(next.listener);
            }
            report_run::apply(rule, &mut timed.event);
            if !matches!(timed.event, Event::Output { .. }) {
                record.on(&timed);
            }
            listener = tell_round(listener, &timed).await;
            let Some(link) = &starter else { continue };
            let is_there = match last_word(&timed.event, rule, &handle) {
                Some((event, last)) => {
                    is_told.store(true, Ordering::Relaxed);
                    let end = ToStarter::Event(Timed { event, at: timed.at });
                    // It has gone with the last word, or before it.
                    let _ = link.send(&end).await.is_ok() && link.send(&last).await.is_ok();
                    false
                }
                None => link.send(&ToStarter::Event(timed)).await.is_ok(),
            };
            if !is_there {
                starter = None;
            }
        }
    }
}

/// Gives an event to who looks on at a round; nobody does after its end, or who is gone.
async fn tell_round(listener: Option<mpsc::Sender<Timed>>, timed: &Timed) -> Option<mpsc::Sender<Timed>> {
    let listener = listener?;
    let end = end_of(&timed.event);
    let is_end = end.is_some();
    let event = end.unwrap_or_else(|| timed.event.clone());
    let is_there = listener.send(Timed { at: timed.at, event }).await.is_ok();
    (is_there && !is_end).then_some(listener)
}

/// The event as the end of what runs, where it is that.
fn end_of(event: &Event) -> Option<Event> {
    match event {
        Event::RunFinished { .. } => Some(event.clone()),
        _ => finished(event),
    }
}

/// How the end of what the starter waits for is told, where this event is it.
fn last_word(event: &Event, rule: ExitCodeRule, handle: &RunHandle) -> Option<(Event, ToStarter)> {
    if let Event::RunFinished { exit_code, .. } = event {
        return Some((event.clone(), ToStarter::Over { exit_code: *exit_code }));
    }
    let mut end = finished(event)?;
    report_run::apply(rule, &mut end);
    let Event::RunFinished { exit_code, .. } = end else { return None };
    let view = handle.view();
    let up = view.machines.iter().filter(|machine| MachineView::is_up(machine));
    let machines = up.map(|machine| machine.name.clone()).collect();
    Some((end, ToStarter::Stays { exit_code, machines }))
}

/// The end of a run as it is told to who waits for no more than its steps; nothing where the event is not that.
fn finished(event: &Event) -> Option<Event> {
    let Event::RunHeld { status, exit_code, cause, seconds, passed, failed, skipped } = event else { return None };
    Some(Event::RunFinished {
        status: *status,
        exit_code: *exit_code,
        cause: cause.clone(),
        seconds: *seconds,
        passed: *passed,
        failed: *failed,
        skipped: *skipped,
        cached: 0,
    })
}
