//! The shell of `up -i` in a machine that another process holds.
//!
//! Deliberately not here: when it opens (`watch`), the shell in a run of this process (`look`).

use std::sync::mpsc as std_mpsc;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::cli::attendant::{Attendant, Wanted};
use crate::cli::exec::{attend, shell_words};
use crate::cli::look::{tell_no_shell, tell_shell};
use crate::cli::printer::Printer;
use crate::control::{Client, ControlError, ExecAsk};
use crate::plan::{Plan, StepPlan};
use crate::run::{Attend, Signal};

/// Why there is no shell.
#[derive(Debug, thiserror::Error)]
enum GlanceError {
    #[error("{0}")]
    NotStarted(String),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error("the terminal cannot be used")]
    Terminal(#[source] std::io::Error),
}

/// Opens a shell as the step was, and returns at its end; where it cannot, says so.
pub(super) async fn shell(
    client: &Client,
    (plan, step): (&Plan, &StepPlan),
    printer: &Printer,
    signals: &mut UnboundedReceiver<Signal>,
) {
    if let Err(error) = open(client, (plan, step), printer, signals).await {
        tell_no_shell(step, &error, printer);
    }
}

async fn open(
    client: &Client,
    (plan, step): (&Plan, &StepPlan),
    printer: &Printer,
    signals: &mut UnboundedReceiver<Signal>,
) -> Result<(), GlanceError> {
    let (clear, is_clear) = std_mpsc::channel();
    // Nothing of ours is on the terminal.
    drop(clear);
    let wanted = Wanted { has_terminal: true, has_input: true };
    let (attendant, written) = Attendant::new(wanted, is_clear).map_err(GlanceError::Terminal)?;
    let ask = ExecAsk {
        machine: step.machine.clone(),
        command: shell_words(),
        env: step.env.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        working_dir: step.working_dir.as_ref().map(|folder| folder.as_str().into()),
        user: step.user.clone(),
        streams: attendant.streams(),
    };
    let remote = client.exec(ask).await.map_err(|error| match error {
        ControlError::Refused(refusal) => GlanceError::NotStarted(refusal.message),
        error => error.into(),
    })?;
    tell_shell(plan, step, "the machines stay", printer);
    let ended = attend(remote, attendant.begin(), signals).await;
    attendant.leave();
    // A terminal that is gone takes no more.
    let _ = written.wait().await;
    ended?;
    Ok(())
}
