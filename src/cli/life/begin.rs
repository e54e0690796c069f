//! The half of `up -d` and `up --keep` that a person waits for: it starts the process that holds the machines, shows what
//! it tells, and passes signals on, until the machines are up or all is over.
//!
//! Who is gone before that has not been told that anything is up: the other half then ends all that it began.

use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::Arc;

use tokio::sync::mpsc::{Sender, UnboundedReceiver};

use super::{Asked, reach, second};
use crate::cli::exit::{Class, ExitCode, Failure};
use crate::cli::interrupts::Interrupts;
use crate::cli::printer::Printer;
use crate::cli::report_run;
use crate::cli::{known_images, up as foreground};
use crate::compose::Places;
use crate::control::{Client, Found, FromStarter, LinkReceiver, LinkSender, ToStarter, link, pair};
use crate::event::Timed;
use crate::plan::Plan;
use crate::run::{ProjectState, Signal};

/// Why the other half did not do its work.
#[derive(Debug, thiserror::Error)]
enum BeginError {
    #[error("the process that is to hold the machines cannot be started")]
    Spawn(#[source] std::io::Error),
    #[error("the process that was to hold the machines ended without a word")]
    Gone,
    #[error("the project is held by {0}")]
    Held(String),
}

/// What was said last.
enum Last {
    /// The run is over, or its machines stay.
    End { exit_code: u8, stays: Option<Vec<String>> },
    /// Somebody else was faster.
    Taken { holder: String },
}

/// Brings the machines up in a process of their own.
pub(crate) fn up(asked: &Asked<'_>, plan: Plan, mut interrupts: Interrupts) -> Result<ExitCode, Failure> {
    let Asked { args, settings, printer, mode, .. } = *asked;
    let state = state_of(&plan)?;
    let plan = Arc::new(plan);
    if let Some(client) = look(&state, printer, &mut interrupts)?
        && (!args.wait_lock || second::is_supervised(&client, &mut interrupts)?)
    {
        return second::up(&client, asked, &plan, &mut interrupts);
    }
    let (ours, theirs) = pair().map_err(world(BeginError::Spawn))?;
    start(theirs)?;
    let report = report_run::Report {
        mode,
        settings,
        printer,
        again: foreground::again(settings),
        record: None,
        rule: args.exit_code,
        plan: Arc::clone(&plan),
        places: asked.places(&plan),
    };
    let (events, reporting) = report_run::spawn(report, interrupts.runtime.handle())?;
    let signals = &mut interrupts.signals;
    let last = interrupts.runtime.block_on(async {
        let (sender, receiver) = link(ours).map_err(world(BeginError::Spawn))?;
        let last = follow(&plan, sender, receiver, events, signals).await;
        reporting.end(false, signals).await;
        last
    })?;
    match last {
        Last::End { exit_code, stays } => {
            match stays {
                Some(machines) => tell_stay(&machines, exit_code, printer),
                None if exit_code != 0 => known_images::tell_missing(&plan.machines, printer),
                None => {}
            }
            Ok(if exit_code == 0 { ExitCode::Passed } else { ExitCode::Run(exit_code) })
        }
        Last::Taken { holder } => match look(&state, printer, &mut interrupts)? {
            Some(client) => second::up(&client, asked, &plan, &mut interrupts),
            None => Err(Failure::new(Class::World, BeginError::Held(holder)).help("wait for it with `--wait-lock`")),
        },
    }
}

/// Runs the steps in machines that another process holds, where one does that no terminal waits for.
pub(crate) fn beside(asked: &Asked<'_>, plan: &Plan, interrupts: &mut Interrupts) -> Result<Option<ExitCode>, Failure> {
    let state = state_of(plan)?;
    let found = interrupts.unless_interrupted(move || Client::find(&state))?;
    // Where nobody can be asked, the lock says who holds the project.
    let Ok(Found::Held(client)) = found else { return Ok(None) };
    if !second::is_supervised(&client, interrupts)? {
        return Ok(None);
    }
    second::up(&client, asked, &Arc::new(plan.clone()), interrupts).map(Some)
}

fn state_of(plan: &Plan) -> Result<ProjectState, Failure> {
    let Places { state_home, state_actor, .. } = Places::find()?;
    Ok(ProjectState::locate(&state_home, state_actor, &plan.project, &plan.folder))
}

fn look(state: &ProjectState, printer: &Printer, interrupts: &mut Interrupts) -> Result<Option<Client>, Failure> {
    let (state, printer) = (state.clone(), *printer);
    interrupts.unless_interrupted(move || reach::find(&state, &printer))?
}

fn world(as_error: fn(std::io::Error) -> BeginError) -> impl Fn(std::io::Error) -> Failure {
    move |error| Failure::new(Class::World, as_error(error))
}

/// Starts this program anew, with the words that it was started with: the same flags and settings mean the same there.
/// What it has to say before the run begins goes to our standard error; its input is the link.
fn start(theirs: OwnedFd) -> Result<(), Failure> {
    let program = std::env::current_exe().map_err(world(BeginError::Spawn))?;
    let mut command = Command::new(program);
    command.arg("__supervise").args(std::env::args_os().skip(1));
    command.stdin(Stdio::from(theirs)).stdout(Stdio::null());
    // It is not waited for: it lives longer than this process.
    command.spawn().map(drop).map_err(world(BeginError::Spawn))
}

/// Gives the plan, shows the events, and passes signals on, until the last word.
async fn follow(
    plan: &Arc<Plan>,
    sender: LinkSender,
    mut receiver: LinkReceiver,
    events: Sender<Timed>,
    signals: &mut UnboundedReceiver<Signal>,
) -> Result<Last, Failure> {
    let gone = || Failure::new(Class::World, BeginError::Gone).help("its words are in `supervisor.log` of its run");
    sender.send(&FromStarter::Begin(Box::new((**plan).clone()))).await.map_err(|_| gone())?;
    let mut first = None;
    loop {
        let said = tokio::select! {
            said = receiver.to_starter() => said,
            Some(signal) = signals.recv() => {
                first.get_or_insert(signal);
                // Where it is gone, this is heard next.
                let _ = sender.send(&FromStarter::Signal(signal.number())).await;
                continue;
            }
        };
        match said {
            Ok(ToStarter::Event(event)) => {
                // A reporter that is gone has told so.
                let _ = events.send(event).await;
            }
            Ok(ToStarter::Over { exit_code }) => return Ok(Last::End { exit_code, stays: None }),
            Ok(ToStarter::Stays { exit_code, machines }) => {
                return Ok(Last::End { exit_code, stays: Some(machines) });
            }
            Ok(ToStarter::Taken { holder }) => return Ok(Last::Taken { holder }),
            Ok(ToStarter::Failed { cause, help, exit_code }) => {
                let failure = Failure::new(Class::of_code(exit_code), cause);
                return Err(help.into_iter().fold(failure, Failure::help));
            }
            Err(_) => {
                return match first {
                    Some(signal) => Ok(Last::End { exit_code: signal.exit_code(), stays: None }),
                    None => Err(gone()),
                };
            }
        }
    }
}

pub(super) fn tell_stay(machines: &[String], exit_code: u8, printer: &Printer) {
    let names = machines.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let (they, them) =
        if machines.len() == 1 { ("machine NAMES stays up", "it") } else { ("machines NAMES stay up", "them") };
    let they = they.replace("NAMES", &names);
    if exit_code == 0 {
        printer.note(&format!("{they}: `smolvm ps` shows {them}, `smolvm down` ends {them}\n"));
    } else if let Some(first) = machines.first() {
        printer.note(&format!("{they} for a look: `smolvm shell {first}` opens a shell, `smolvm down` ends {them}\n"));
    }
}
