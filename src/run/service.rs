//! The life of a machine's command: the service that runs beside its steps.
//!
//! ```text
//!                               ┌────────────── rested ───────────────┐
//!                               ▼                                     │
//! Waiting ─machine ready─► Starting ─started─► Running ─ended─► Resting (restart says so)
//!    ▲                          │ could not        │  │
//!    │                          │                  │  └─ended─► Ended
//!    └─machine ready again──────┼── Stopped ◄─ended─ Stopping ◄─stop
//!                               └─► Ended
//! ```
//!
//! Each start has its own number, so that late news of an earlier one is told apart. How it stands with its health is
//! in `health`. This module decides and does nothing: [`Service::on`] takes one input and returns what must be done.

use std::time::Duration;

pub(super) use self::forms::{End, News, ServiceEffect, ServiceFacts, ServiceInput, ServiceTimer};
use self::health::Health;
pub(super) use self::health::HealthState;
use super::input::StartFailure;
use super::limits::TimeLimits;
use super::step::signal_name;
use crate::event::ServicePhase;
use crate::guest::ExitStatus;
use crate::plan::Restart;

mod forms;
mod health;

/// The first pause before a command is started again; each further one is twice as long.
const REST_FIRST: Duration = Duration::from_millis(100);
/// The longest pause.
const REST_LONGEST: Duration = Duration::from_secs(60);
/// A command that ran for so long is well: the next pause is the first one again.
const WELL_AFTER: Duration = Duration::from_secs(10);

/// The code of one that SIGKILL has ended.
const KILLED: i32 = 137;

/// Where the command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommandState {
    /// Its machine is not up yet.
    Waiting,
    /// The agent was asked to start it.
    Starting,
    Running,
    /// It ended, and is started again after a while.
    Resting,
    /// It was asked to end.
    Stopping,
    /// It ended by itself, for good.
    Ended,
    /// It ended as it was asked to, or with its machine.
    Stopped,
}

/// One service.
#[derive(Debug)]
pub(super) struct Service {
    facts: ServiceFacts,
    limits: TimeLimits,
    state: CommandState,
    /// The start that goes on, or went on last, from 1.
    start: u32,
    /// When its machine was ready, then when its command was started.
    since: Duration,
    /// How often it was started again since its machine was ready.
    restarts: u32,
    /// Restarts since it was well.
    pauses: u32,
    /// The time that it was given to end, once it was asked to.
    grace: Duration,
    /// Whether the agent has said that this start came, or could not.
    is_start_known: bool,
    health: Option<Health>,
    end: Option<End>,
}

use CommandState as At;
use ServiceEffect as Do;
use ServiceInput as In;
use ServiceTimer as Time;

impl Service {
    pub(super) fn new(facts: ServiceFacts, limits: TimeLimits) -> Self {
        Self {
            health: facts.health.clone().map(|plan| Health::new(plan, limits)),
            grace: facts.grace,
            facts,
            limits,
            state: At::Waiting,
            start: 0,
            since: Duration::ZERO,
            restarts: 0,
            pauses: 0,
            is_start_known: false,
            end: None,
        }
    }

    pub(super) fn state(&self) -> CommandState {
        self.state
    }

    /// Its machine lives anew.
    pub(super) fn renew(&mut self) {
        if self.is_over() {
            self.state = At::Waiting;
        }
    }

    /// The number of the start that goes on, or went on last.
    pub(super) fn start(&self) -> u32 {
        self.start
    }

    /// Whether its command may run, now or after a pause.
    pub(super) fn is_active(&self) -> bool {
        matches!(self.state, At::Starting | At::Running | At::Resting | At::Stopping)
    }

    /// Whether it has ended, and is not started again by itself.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, At::Ended | At::Stopped)
    }

    /// How it ended by itself, once it has for good.
    pub(super) fn end(&self) -> Option<&End> {
        self.end.as_ref().filter(|_| self.state == At::Ended)
    }

    /// Whether it ended because its command could not be started.
    pub(super) fn could_not_start(&self) -> bool {
        self.state == At::Ended && !self.is_start_known
    }

    /// What its health check says; `None` where it has none, or does not run.
    pub(super) fn health(&self) -> Option<HealthState> {
        self.health.as_ref().filter(|_| self.state == At::Running).map(Health::state)
    }

    /// Whether it is as far as `healthy` means: its check says so, and without one, its command runs.
    pub(super) fn is_healthy(&self) -> bool {
        self.state == At::Running && self.health().is_none_or(|health| health == HealthState::Healthy)
    }

    /// What the check says of a service that is unhealthy.
    pub(super) fn complaint(&self) -> String {
        self.health.as_ref().map_or_else(String::new, Health::complaint)
    }

    /// Takes one input; what makes no sense in a state is ignored, because workers may be late.
    pub(super) fn on(&mut self, now: Duration, input: ServiceInput) -> Vec<ServiceEffect> {
        match (self.state, input) {
            (At::Waiting | At::Ended | At::Stopped, In::MachineReady) => {
                (self.since, self.restarts, self.pauses, self.end) = (now, 0, 0, None);
                self.begin()
            }
            (_, In::MachineGone) => self.machine_gone(now),
            (_, In::Stop(grace)) => self.stop(now, grace.unwrap_or(self.facts.grace)),
            (At::Starting, In::Started(start, Ok(()))) if start == self.start => self.started(now),
            (At::Stopping, In::Started(start, Ok(()))) if start == self.start && !self.is_start_known => {
                self.is_start_known = true;
                self.ask_to_end()
            }
            (At::Starting, In::Started(start, Err(failure))) if start == self.start => self.not_started(now, failure),
            (At::Stopping, In::Started(start, Err(_))) if start == self.start => self.stopped(now, None),
            // What writes has been started, though the news of it is still on its way.
            (At::Starting, In::Output(start, stream, bytes)) if start == self.start => {
                let mut effects = self.started(now);
                effects.extend(self.tested(now, In::Output(start, stream, bytes)));
                effects
            }
            (At::Starting, In::Exited(start, status, is_out_of_memory)) if start == self.start => {
                let mut effects = self.started(now);
                effects.extend(self.exited(now, status, is_out_of_memory));
                effects
            }
            (At::Running, In::Exited(start, status, is_out_of_memory)) if start == self.start => {
                self.exited(now, status, is_out_of_memory)
            }
            (At::Stopping, In::Exited(start, status, _)) if start == self.start => self.stopped(now, Some(status)),
            (_, In::Overdue(timer)) => self.overdue(now, timer),
            (At::Running, input) => self.tested(now, input),
            _ => Vec::new(),
        }
    }

    fn begin(&mut self) -> Vec<ServiceEffect> {
        (self.state, self.is_start_known) = (At::Starting, false);
        self.start += 1;
        vec![Do::Exec(self.start), Do::Arm(Time::Start(self.start), self.limits.start())]
    }

    fn started(&mut self, now: Duration) -> Vec<ServiceEffect> {
        let told = self.news(now, ServicePhase::Started);
        self.since = now;
        (self.state, self.is_start_known) = (At::Running, true);
        let mut effects = vec![Do::Tell(told)];
        if let Some(health) = &mut self.health {
            effects.extend(health.begin());
        }
        effects
    }

    /// It will not be started again: what is missing now is missing after a pause.
    fn not_started(&mut self, now: Duration, failure: StartFailure) -> Vec<ServiceEffect> {
        let StartFailure { exit_code, cause } = failure;
        let told =
            News { exit_code: Some(exit_code), cause: Some(cause.clone()), ..self.news(now, ServicePhase::Exited) };
        self.end = Some(End { exit_code, cause: Some(cause) });
        self.state = At::Ended;
        vec![Do::Tell(told)]
    }

    fn exited(&mut self, now: Duration, status: ExitStatus, is_out_of_memory: bool) -> Vec<ServiceEffect> {
        let (exit_code, cause) = match status {
            _ if is_out_of_memory && status != ExitStatus::Code(0) => {
                (137, Some(format!("out of memory (memory: {})", self.facts.memory)))
            }
            ExitStatus::Code(code) => (code, None),
            ExitStatus::Signal(signal) => {
                (signal.saturating_add(128), Some(format!("killed by {}", signal_name(signal))))
            }
        };
        let is_again = match self.facts.restart {
            Restart::No => false,
            Restart::OnFailure => exit_code != 0,
            Restart::Always => true,
        };
        let news = News { exit_code: Some(exit_code), cause: cause.clone(), ..self.news(now, ServicePhase::Exited) };
        self.end = Some(End { exit_code, cause });
        let (told, rest) = if is_again {
            let rest = self.rest(now);
            (News { attempt: rest.attempt, delay: rest.delay, ..news }, Some(rest))
        } else {
            self.state = At::Ended;
            (news, None)
        };
        // What it left behind may hold what the next start needs.
        let mut effects = vec![Do::Tell(told), Do::Kill(self.start)];
        effects.extend(self.health.as_mut().and_then(Health::end));
        if let Some(rest) = rest {
            let delay = rest.delay.unwrap_or_default();
            effects.extend([Do::Tell(rest), Do::Arm(Time::Rest(self.start), delay)]);
        }
        effects
    }

    /// It is started again after a while, which is what is to be told.
    fn rest(&mut self, now: Duration) -> News {
        if now.saturating_sub(self.since) >= WELL_AFTER {
            self.pauses = 0;
        }
        let delay = REST_FIRST.saturating_mul(1 << self.pauses.min(16)).min(REST_LONGEST);
        self.pauses += 1;
        self.restarts = self.restarts.saturating_add(1);
        self.state = At::Resting;
        let news = self.news(now, ServicePhase::Restarting);
        News { attempt: Some(self.restarts), delay: Some(delay), ..news }
    }

    fn stop(&mut self, now: Duration, grace: Duration) -> Vec<ServiceEffect> {
        let told = self.news(now, ServicePhase::Stopping);
        match self.state {
            At::Starting => {
                // The agent may not know it yet: it is told when it has started.
                (self.state, self.grace) = (At::Stopping, grace);
                vec![Do::Tell(told)]
            }
            At::Running => {
                (self.state, self.grace) = (At::Stopping, grace);
                let mut effects = vec![Do::Tell(told)];
                effects.extend(self.health.as_mut().and_then(Health::end));
                effects.extend(self.ask_to_end());
                effects
            }
            At::Resting => {
                let last = self.end.as_ref().map(|end| ExitStatus::Code(end.exit_code));
                self.stopped(now, last)
            }
            At::Waiting | At::Stopping | At::Ended | At::Stopped => Vec::new(),
        }
    }

    fn ask_to_end(&mut self) -> Vec<ServiceEffect> {
        if self.grace.is_zero() {
            return self.kill();
        }
        vec![Do::Signal(self.start), Do::Arm(Time::Grace(self.start), self.grace)]
    }

    fn kill(&mut self) -> Vec<ServiceEffect> {
        vec![Do::Kill(self.start), Do::Arm(Time::Kill(self.start), self.limits.answer())]
    }

    fn stopped(&mut self, now: Duration, status: Option<ExitStatus>) -> Vec<ServiceEffect> {
        let exit_code = status.map(|status| match status {
            ExitStatus::Code(code) => code,
            ExitStatus::Signal(signal) => signal.saturating_add(128),
        });
        self.state = At::Stopped;
        vec![Do::Tell(News { exit_code, ..self.news(now, ServicePhase::Stopped) })]
    }

    fn machine_gone(&mut self, now: Duration) -> Vec<ServiceEffect> {
        if !self.is_active() {
            return Vec::new();
        }
        if let Some(health) = &mut self.health {
            // The test that runs is gone too.
            health.end();
        }
        self.state = At::Stopped;
        // It had no say in it: as who is killed.
        let (exit_code, cause) = (Some(KILLED), Some("its machine is gone".to_owned()));
        vec![Do::Tell(News { exit_code, cause, ..self.news(now, ServicePhase::Stopped) })]
    }

    fn overdue(&mut self, now: Duration, timer: ServiceTimer) -> Vec<ServiceEffect> {
        match (self.state, timer) {
            (At::Starting | At::Stopping, Time::Start(start)) if start == self.start && !self.is_start_known => {
                let limit = super::step::duration(self.limits.start());
                vec![Do::KillMachine(format!("the agent did not start its command within {limit}"))]
            }
            (At::Resting, Time::Rest(start)) if start == self.start => self.begin(),
            (At::Stopping, Time::Grace(start)) if start == self.start => self.kill(),
            (At::Stopping, Time::Kill(start)) if start == self.start => {
                let mut effects = vec![Do::Warn("its command did not end when it was killed".to_owned())];
                effects.extend(self.stopped(now, None));
                effects
            }
            (At::Running, timer @ (Time::Test(_) | Time::TestTime(_) | Time::TestKill(_))) => {
                self.tested(now, In::Overdue(timer))
            }
            _ => Vec::new(),
        }
    }

    fn tested(&mut self, now: Duration, input: ServiceInput) -> Vec<ServiceEffect> {
        let since = now.saturating_sub(self.since);
        self.health.as_mut().map_or_else(Vec::new, |health| health.on(since, input))
    }

    fn news(&self, now: Duration, phase: ServicePhase) -> News {
        News {
            phase,
            since: now.saturating_sub(self.since),
            attempt: None,
            of: None,
            exit_code: None,
            delay: None,
            test: None,
            cause: None,
        }
    }
}

#[cfg(test)]
mod tests;
