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
use crate::event::{Event, StepStatus, Timed};
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
    End { exit_code: u8, stays: Option<Stay> },
    /// Somebody else was faster.
    Taken { holder: String },
}

/// Machines that stay up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stay {
    /// Their names.
    pub(super) machines: Vec<String>,
    /// The machine of the first step in file order that failed.
    pub(super) failed: Option<String>,
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
        // Machines that stay have one without.
        offers_shell: !args.keep,
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
                Some(stay) => stay.tell(exit_code, printer),
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
    let mut failed = None;
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
                failed = first_of(failed, failed_place(plan, &event.event));
                // A reporter that is gone has told so.
                let _ = events.send(event).await;
            }
            Ok(ToStarter::Over { exit_code }) => return Ok(Last::End { exit_code, stays: None }),
            Ok(ToStarter::Stays { exit_code, machines }) => {
                let failed = failed.map(|place: usize| plan.steps[place].machine.clone());
                return Ok(Last::End { exit_code, stays: Some(Stay { machines, failed }) });
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

/// The place of the step that an event says has failed, where it says so.
fn failed_place(plan: &Plan, event: &Event) -> Option<usize> {
    let Event::StepFinished { step, status: StepStatus::Failed | StepStatus::TimedOut, is_allowed: false, .. } = event
    else {
        return None;
    };
    plan.steps.iter().position(|known| known.id == *step)
}

fn first_of(one: Option<usize>, other: Option<usize>) -> Option<usize> {
    one.into_iter().chain(other).min()
}

impl Stay {
    /// Says that they are up, and what to do with them.
    pub(super) fn tell(&self, exit_code: u8, printer: &Printer) {
        printer.note(&self.words(exit_code));
    }

    fn words(&self, exit_code: u8) -> String {
        let names = self.machines.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let (they, them) = match self.machines.len() {
            0 => return String::new(),
            1 => (format!("machine {names} stays up"), "it"),
            _ => (format!("machines {names} stay up"), "them"),
        };
        if exit_code == 0 {
            return format!("{they}: `smolvm ps` shows {them}, `smolvm down` ends {them}\n");
        }
        let failed = self.failed.as_ref().filter(|failed| self.machines.contains(failed));
        let look = failed.or(self.machines.first()).map_or("", String::as_str);
        format!("{they} for a look: `smolvm shell {look}` opens a shell, `smolvm down` ends {them}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::tests::plans::{plan, step};

    #[test]
    fn the_machine_of_the_failed_step_is_the_one_to_look_at() {
        let stay = |failed: Option<&str>| Stay {
            machines: ["db", "test"].map(str::to_owned).to_vec(),
            failed: failed.map(str::to_owned),
        };
        assert!(stay(Some("test")).words(3).contains("for a look: `smolvm shell test` opens a shell"));
        assert!(stay(Some("gone")).words(125).contains("`smolvm shell db`"), "what is not up cannot be looked at");
        assert!(stay(None).words(0).ends_with("stay up: `smolvm ps` shows them, `smolvm down` ends them\n"));
    }

    #[test]
    fn the_first_failed_step_in_file_order_counts_whichever_failed_first() {
        let plan = plan(vec![step("a@one", &[]), step("b@two", &[]), step("c@three", &[])]);
        let finished = |step: &str, status, is_allowed| Event::StepFinished {
            step: step.to_owned(),
            machine: "m".to_owned(),
            status,
            exit_code: Some(1),
            seconds: 1.0,
            cause: None,
            is_allowed,
            log: None,
        };
        let events = [
            finished("a", StepStatus::Failed, true),
            finished("c", StepStatus::TimedOut, false),
            finished("b", StepStatus::Failed, false),
            finished("a", StepStatus::Canceled, false),
        ];
        let failed = events.iter().fold(None, |failed, event| first_of(failed, failed_place(&plan, event)));
        assert_eq!(failed, Some(1));
    }
}
