//! The way of one command: the process that holds the machine, streams, signals, exit code.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use super::args::{ExecArgs, ShellArgs};
use crate::cli::attendant::{Attendant, Wanted};
use crate::cli::exit::{Class, ExitCode, Failure};
use crate::cli::interrupts::Interrupts;
use crate::cli::project::{KnownProject, told};
use crate::cli::settings::Settings;
use crate::control::{Client, ControlError, ExecAsk, Remote, Tell};
use crate::guest::{ExitStatus, Streams};
use crate::run::{Attend, Attended, Signal, carry};

/// What is run where nobody says what: the shell that people like better, where it is there.
const SHELL: &str = "if command -v bash >/dev/null 2>&1; then exec bash; else exec sh; fi";

/// What to do where nobody holds the machine.
const HOLDER_HELP: &str = "`smolvm up -d` brings the machines up; `smolvm run` takes a fresh one";

/// What is added to the number of the signal that ended a command.
const SIGNALED: u8 = 128;

/// How long a command may take to end when a second signal has come.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// Why a command cannot be run.
#[derive(Debug, thiserror::Error)]
enum ExecError {
    #[error("{count} machines are up, so one must be named")]
    Several { count: usize },
    #[error("machine `{machine}` ended before the command did")]
    MachineGone { machine: String },
    #[error("the streams of the command cannot be used")]
    Streams(#[source] io::Error),
    #[error("what the command wrote could not be passed on")]
    Output(#[source] io::Error),
    #[error("{0}")]
    NotStarted(String),
}

/// Runs a command in a machine.
pub(crate) fn exec(args: &ExecArgs, settings: &Settings) -> Result<ExitCode, Failure> {
    let asked = Asked {
        machine: Some(args.machine.clone()),
        command: args.words(),
        env: args.variables(&|name| std::env::var_os(name)),
        working_dir: args.workdir.clone(),
        user: args.user.clone(),
    };
    if args.detach {
        return leave(asked, settings);
    }
    go(asked, args.streams.wanted(), settings)
}

/// What opens the shell that people like better.
pub(crate) fn shell_words() -> Vec<OsString> {
    ["/bin/sh", "-c", SHELL].map(OsString::from).to_vec()
}

/// Opens a shell in a machine.
pub(crate) fn shell(args: &ShellArgs, settings: &Settings) -> Result<ExitCode, Failure> {
    let has_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    let asked = Asked {
        machine: args.machine.clone(),
        command: shell_words(),
        env: BTreeMap::new(),
        working_dir: args.workdir.clone(),
        user: args.user.clone(),
    };
    go(asked, Wanted { has_terminal, has_input: true }, settings)
}

/// What is asked for.
struct Asked {
    machine: Option<String>,
    command: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    working_dir: Option<OsString>,
    user: Option<String>,
}

impl Asked {
    fn ask(self, machine: String, streams: Streams) -> ExecAsk {
        let Self { command, env, working_dir, user, .. } = self;
        ExecAsk { machine, command, env, working_dir, user, streams }
    }
}

fn go(asked: Asked, wanted: Wanted, settings: &Settings) -> Result<ExitCode, Failure> {
    let Interrupts { runtime, mut signals } = Interrupts::listen()?;
    let known = KnownProject::find(settings)?;
    let client = known.holder(HOLDER_HELP)?;
    let entered = runtime.enter();
    let (clear, is_clear) = std_mpsc::channel();
    // Nothing of ours is on the terminal.
    drop(clear);
    let attended = Attendant::new(wanted, is_clear);
    let (attendant, written) = attended.map_err(|error| Failure::new(Class::World, ExecError::Streams(error)))?;
    drop(entered);
    let attendant = Arc::new(attendant);
    let ended = runtime.block_on(async {
        let machine = machine_of(asked.machine.clone(), &known, &client).await?;
        let ask = asked.ask(machine.clone(), attendant.streams());
        let remote = client.exec(ask).await.map_err(refused)?;
        let ended = attend(remote, attendant.begin(), &mut signals).await;
        attendant.leave();
        let output = written.wait().await;
        let (status, _) = ended.map_err(told)?.ok_or_else(|| {
            Failure::new(Class::World, ExecError::MachineGone { machine }).help("`smolvm ps -a` says how it stands")
        })?;
        match output {
            // Who has gone has read enough; the command has been told.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::new(Class::World, ExecError::Output(error)))
            }
            _ => Ok(exit_code(status)),
        }
    });
    attendant.leave();
    // What reads standard input is left to the end of the process.
    runtime.shutdown_background();
    ended
}

/// Starts a command, and leaves it to itself.
fn leave(asked: Asked, settings: &Settings) -> Result<ExitCode, Failure> {
    let mut interrupts = Interrupts::listen()?;
    let known = KnownProject::find(settings)?;
    let client = known.holder(HOLDER_HELP)?;
    interrupts.run_unless_interrupted(async {
        let machine = machine_of(asked.machine.clone(), &known, &client).await?;
        client.exec_detached(asked.ask(machine, Streams::Pipes)).await.map_err(refused)
    })??;
    Ok(ExitCode::Passed)
}

/// The machine that is named, or the only one that is up.
async fn machine_of(named: Option<String>, known: &KnownProject, client: &Client) -> Result<String, Failure> {
    let view = client.view().await.map_err(told)?;
    if let Some(name) = named {
        known.has_machine(&name, &view)?;
        return Ok(name);
    }
    let mut up: Vec<String> =
        view.machines.iter().filter(|machine| machine.is_up()).map(|machine| machine.name.clone()).collect();
    match up.len() {
        1 => Ok(up.remove(0)),
        0 => Err(known.nobody_up("`smolvm ps -a` says how they stand")),
        count => {
            let names = up.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            Err(Failure::new(Class::Selection, ExecError::Several { count }).help(format!("name one of {names}")))
        }
    }
}

/// A command that did not start has the code that a shell would give it.
pub(crate) fn refused(error: ControlError) -> Failure {
    match error {
        ControlError::Refused(refusal) => {
            let class = match refusal.exit_code {
                126 => Class::Command(126),
                127 => Class::Command(127),
                _ => Class::World,
            };
            let failure = Failure::new(class, ExecError::NotStarted(refusal.message));
            refusal.help.into_iter().fold(failure, Failure::help)
        }
        error => told(error),
    }
}

/// Carries everything between this process and the command, to its end.
pub(crate) async fn attend(
    remote: Remote,
    attended: Attended,
    signals: &mut UnboundedReceiver<Signal>,
) -> Result<Option<(ExitStatus, bool)>, ControlError> {
    let Remote { input, output, mut end, teller } = remote;
    let teller = &teller;
    let carrying = carry(input, output, attended, |size| teller.tell(Tell::Resize(size)));
    let passing = async {
        let mut count = 0;
        while let Some(signal) = signals.recv().await {
            count += 1;
            // Who insists wants it gone.
            teller.tell(if count > 1 { Tell::Terminate(LAST_GRACE) } else { Tell::Signal(signal.number()) }).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = async { carrying.await; end.wait().await } => ended,
        () = passing => Ok(None),
    }
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = match status {
        ExitStatus::Code(code) => u8::try_from(code & 0xff).unwrap_or(u8::MAX),
        ExitStatus::Signal(signal) => SIGNALED.saturating_add(u8::try_from(signal).unwrap_or(0)),
    };
    if code == 0 { ExitCode::Passed } else { ExitCode::Run(code) }
}
