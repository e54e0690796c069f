//! The hands of a run, as far as services go: a command is started, told to end and tested. Nothing is decided here.

use std::sync::Arc;
use std::time::Duration;

use super::command::{Place, behind_entrypoint, complete, written};
use super::guest_work;
use super::input::{MachineInput, RunInput, ServiceAction, StartFailure};
use super::provide::Shares;
use super::service::ServiceInput;
use super::step_work::{SERVICE_BIT, TEST_BIT};
use super::worker::Workers;
use crate::event::Stream as EventStream;
use crate::guest::{Exec, Session, SessionEvent, Stream};
use crate::plan::{Command, ImageDefaults, MachinePlan, MountPlan, ServicePlan};

/// Names of the scripts in the guest; no id of a step has a dot.
const COMMAND_SCRIPT: &str = "service.command";
const TEST_SCRIPT: &str = "service.test";

/// The number of the first start of a command.
const FIRST_START: u32 = 1;

/// What asks a command to end where neither the file nor the image says it.
const SIGTERM: i32 = 15;

impl Workers {
    pub(super) fn service(self: &Arc<Self>, machine: usize, action: ServiceAction) {
        match action {
            ServiceAction::Exec(start) => self.start_service(machine, start),
            ServiceAction::AskToEnd(start) => self.ask_service_to_end(machine, start),
            ServiceAction::Signal(start, signal) => self.signal_command(machine, command_id(start), signal),
            ServiceAction::Kill(start) => self.kill_command(machine, command_id(start)),
            ServiceAction::Test(test) => self.test_service(machine, test),
            ServiceAction::KillTest(test) => self.kill_command(machine, test_id(test)),
        }
    }

    async fn send_service(&self, machine: usize, input: ServiceInput) {
        // The inbox is closed only when the run is over.
        let _ = self.inbox.send(RunInput::Service(machine, input)).await;
    }

    fn start_service(self: &Arc<Self>, machine: usize, start: u32) {
        let workers = Arc::clone(self);
        self.spawn(machine, async move {
            let whole = workers.plan();
            let Some(plan) = &whole.machines[machine].service else { return };
            let Some((session, shares, defaults)) = workers.parts(machine) else { return };
            if let Some(remark) = defaults.passed_over(&plan.command).filter(|_| start == FIRST_START) {
                let _ = workers.inbox.send(RunInput::Machine(machine, MachineInput::Remark(remark))).await;
            }
            let ready = workers.ready_service(machine, start, plan, (&session, &shares, &defaults)).await;
            let started = match ready {
                Ok(exec) => session.exec(exec).await.map_err(|error| guest_work::start_failure(&error)),
                Err(failure) => Err(failure),
            };
            workers.send_service(machine, ServiceInput::Started(start, started)).await;
        });
    }

    /// All that comes before the command, and the command.
    async fn ready_service(
        &self,
        machine: usize,
        start: u32,
        plan: &ServicePlan,
        (session, shares, defaults): (&Session, &Arc<dyn Shares>, &ImageDefaults),
    ) -> Result<Exec, StartFailure> {
        let command = match plan.uses_entrypoint {
            true => behind_entrypoint(&plan.command, COMMAND_SCRIPT, defaults)?,
            false => written(&plan.command, COMMAND_SCRIPT),
        };
        let whole = self.plan();
        let exec = complete(command_id(start), command, place_of(&whole.machines[machine]), defaults);
        guest_work::check_sources(shares).await?;
        if whole.machines[machine].mounts.iter().any(MountPlan::follows_steps) {
            let slot = self.slot(machine);
            let _turn = slot.turn.lock().await;
            let view = slot.lock().view;
            let view = guest_work::show_owner(session, &**shares, &exec.user, view).await?;
            let mut held = slot.lock();
            held.view = view;
            // Root needs no files of its own to write them; another user would lose them under its hands.
            held.is_view_held = !view.is_root();
        }
        Ok(exec)
    }

    fn test_service(self: &Arc<Self>, machine: usize, test: u32) {
        let workers = Arc::clone(self);
        self.spawn(machine, async move {
            let whole = workers.plan();
            let Some(plan) = &whole.machines[machine].service else { return };
            let Some(command) = plan.health.as_ref().and_then(|health| health.test.as_ref()) else { return };
            let Some((session, _, defaults)) = workers.parts(machine) else { return };
            // No entrypoint goes before a test.
            let command = written(command, TEST_SCRIPT);
            let exec = complete(test_id(test), command, place_of(&whole.machines[machine]), &defaults);
            if let Err(error) = session.exec(exec).await {
                let failure = guest_work::start_failure(&error);
                workers.send_service(machine, ServiceInput::TestFailed(test, failure)).await;
            }
        });
    }

    fn ask_service_to_end(self: &Arc<Self>, machine: usize, start: u32) {
        let own = self.plan().machines[machine].service.as_ref().and_then(|plan| plan.stop_signal);
        let of_image = || self.parts(machine).and_then(|(_, _, defaults)| defaults.stop_signal_number());
        let signal = own.or_else(of_image).map_or(SIGTERM, i32::from);
        self.signal_command(machine, command_id(start), signal);
    }

    /// A program gets the signal alone, as with docker, and tells what it has started itself. A shell tells nobody: a
    /// script's whole group gets it.
    fn signal_command(self: &Arc<Self>, machine: usize, exec: u64, signal: i32) {
        let Some(session) = self.session(machine) else { return };
        let plan = self.plan();
        let command = plan.machines[machine].service.as_ref().map(|service| &service.command);
        let is_script = matches!(command, Some(Command::Script { .. }));
        self.spawn(machine, async move {
            // An agent that cannot be told is found out by the deadline of the command's end.
            let _ = match is_script {
                true => session.signal(exec, signal).await,
                false => session.signal_process(exec, signal).await,
            };
        });
    }

    fn kill_command(self: &Arc<Self>, machine: usize, exec: u64) {
        let Some(session) = self.session(machine) else { return };
        self.spawn(machine, async move {
            let _ = session.terminate(exec, Duration::ZERO).await;
        });
    }
}

/// A service runs where whatever is run in its machine does.
fn place_of(machine: &MachinePlan) -> Place<'_> {
    Place { env: &machine.env, working_dir: machine.working_dir.as_ref(), user: machine.user.as_deref() }
}

fn command_id(start: u32) -> u64 {
    SERVICE_BIT | u64::from(start)
}

fn test_id(test: u32) -> u64 {
    TEST_BIT | u64::from(test)
}

/// What an event says of a service; the event itself where it says nothing.
pub(super) fn service_news(event: SessionEvent) -> Result<ServiceInput, SessionEvent> {
    let number = |exec: u64, bit: u64| (exec & (SERVICE_BIT | TEST_BIT) == bit).then(|| u32::try_from(exec ^ bit).ok());
    let of = |exec: u64| (number(exec, SERVICE_BIT).flatten(), number(exec, TEST_BIT).flatten());
    match event {
        SessionEvent::Output { exec, stream, bytes } => match of(exec) {
            (Some(start), _) => {
                let stream = match stream {
                    Stream::Stdout => EventStream::Stdout,
                    Stream::Stderr => EventStream::Stderr,
                };
                Ok(ServiceInput::Output(start, stream, bytes))
            }
            (_, Some(test)) => Ok(ServiceInput::TestOutput(test, bytes)),
            (None, None) => Err(SessionEvent::Output { exec, stream, bytes }),
        },
        SessionEvent::Exited { exec, status, is_out_of_memory } => match of(exec) {
            (Some(start), _) => Ok(ServiceInput::Exited(start, status, is_out_of_memory)),
            (_, Some(test)) => Ok(ServiceInput::TestExited(test, status)),
            (None, None) => Err(SessionEvent::Exited { exec, status, is_out_of_memory }),
        },
        other => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::ExitStatus;
    use crate::run::step_work::OUTSIDE_BIT;

    #[test]
    fn news_of_commands_and_tests_are_told_apart_from_those_of_steps_and_others() {
        let exited = |exec| SessionEvent::Exited { exec, status: ExitStatus::Code(0), is_out_of_memory: false };
        let end = ExitStatus::Code(0);
        assert_eq!(service_news(exited(command_id(3))), Ok(ServiceInput::Exited(3, end, false)));
        assert_eq!(service_news(exited(test_id(u32::MAX))), Ok(ServiceInput::TestExited(u32::MAX, end)));
        for other in [(1 << 32) | 7, OUTSIDE_BIT | 3, SERVICE_BIT | TEST_BIT | 1, SERVICE_BIT | (1 << 40)] {
            assert_eq!(service_news(exited(other)), Err(exited(other)));
        }
    }
}
