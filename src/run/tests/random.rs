//! Properties of every run: each start has exactly one finish, nothing overlaps that must not, nothing outlives the
//! run, and no input in any state breaks the dispatcher.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::plans::{finally, plan, step};
use super::service_world::Life;
use super::sim::{Boot, Does, Played, Script, folder, options, simulate};
use crate::engine::VmExit;
use crate::event::{Event, MachinePhase, StepStatus, Stream};
use crate::guest::ExitStatus;
use crate::plan::{Condition, DependencyPlan, Plan, Restart, Retry, StepPlan};
use crate::run::dispatcher::{Dispatcher, DispatcherFacts};
use crate::run::input::{
    Action, EndStage, MachineInput, MachineTimer, PrepareFailure, RunInput, StartFailure, StepInput, Timer,
};
use crate::run::{GivenFiles, Options, Signal};

fn boot() -> impl Strategy<Value = Boot> {
    prop_oneof![
        8 => Just(Boot::Works),
        1 => Just(Boot::CannotPrepare),
        1 => Just(Boot::PrepareHangs),
        1 => Just(Boot::CannotStart),
        1 => Just(Boot::KernelPanics),
        1 => Just(Boot::AgentSilent),
        1 => Just(Boot::MountFails),
        1 => Just(Boot::StopHangs),
        1 => Just(Boot::Immortal),
    ]
}

fn does() -> impl Strategy<Value = Does> {
    prop_oneof![
        8 => Just(Does::Exit(0)),
        1 => Just(Does::Exit(3)),
        1 => Just(Does::Signal(11)),
        1 => Just(Does::OutOfMemory),
        1 => Just(Does::NotFound),
        1 => Just(Does::LacksOutput),
        1 => Just(Does::Sleeps),
        1 => Just(Does::IgnoresTerm),
        1 => Just(Does::AgentDeaf),
        1 => Just(Does::Vm(VmExit::PoweredOff)),
        1 => Just(Does::Silent),
        1 => Just(Does::AgentGone),
        1 => Just(Does::ShareDies),
    ]
}

prop_compose! {
    /// A step: machine, needs (only of earlier steps), whether its failure is allowed, and how it behaves. Steps that
    /// may never end have a time limit.
    fn any_step()(machine in 0..3usize, needs in prop::collection::vec(0..6usize, 0..3), is_allowed: bool,
                  is_limited: bool, gives: bool, attempts in 1..4u32, delay in 0..50u64, after in 0..200u64, does in does()) -> (StepPlan, u64, Does) {
        let mut plan = step(&format!("x@m{machine}"), &[]);
        plan.needs = needs.iter().map(|need| format!("s{need}")).collect();
        plan.continue_on_error = is_allowed;
        plan.retry = (attempts > 1).then_some(Retry { attempts, delay: Duration::from_millis(delay) });
        plan.chown = gives.then_some((1, 1));
        let may_hang = matches!(does, Does::Sleeps | Does::IgnoresTerm | Does::AgentDeaf);
        plan.timeout = (is_limited || may_hang).then_some(Duration::from_millis(150));
        (plan, after, does)
    }
}

/// Whether a machine has a service and when it is started again, whether it waits for the one before it, and what its
/// starts do.
fn any_service() -> impl Strategy<Value = (Option<Restart>, bool, Vec<Life>)> {
    let restart = prop_oneof![2 => Just(None), 1 => Just(Some(Restart::No)), 1 => Just(Some(Restart::OnFailure))];
    let life = prop_oneof![
        4 => Just(Life::Runs),
        2 => (0..300u64, 0..2i32).prop_map(|(after, code)| Life::Exits(after, code)),
        1 => Just(Life::Stubborn),
        1 => Just(Life::NotFound),
    ];
    (restart, any::<bool>(), prop::collection::vec(life, 1..3))
}

prop_compose! {
    fn any_case()(steps in prop::collection::vec(any_step(), 0..7), ends in prop::collection::vec(any_step(), 0..3),
                  boots in prop::collection::vec(boot(), 3), keep_going: bool, places in 1..4usize,
                  memory in prop_oneof![Just(1500u64), Just(8192)],
                  services in prop::collection::vec(any_service(), 3),
                  signals in prop::collection::vec(0..600u64, 0..3)) -> (Plan, Script) {
        let mut script = Script::default();
        let mut plans = Vec::new();
        for (index, (mut step, after, does)) in steps.into_iter().enumerate() {
            step.id = format!("s{index}");
            step.needs.retain(|need| need[1..].parse::<usize>().is_ok_and(|need| need < index));
            script = script.step(&step.id, after, does);
            plans.push(step);
        }
        for (index, (step, after, does)) in ends.into_iter().enumerate() {
            let id = format!("f{index}");
            let end = StepPlan { timeout: step.timeout, chown: step.chown, ..finally(&format!("{id}@{}", step.machine)) };
            script = script.step(&id, after, does);
            plans.push(end);
        }
        for (index, boot) in boots.into_iter().enumerate() {
            script = script.boot(&format!("m{index}"), boot);
        }
        for at in signals {
            script = script.signal(at, Signal::Interrupt);
        }
        script.options = Some(Options { keep_going, parallel: Some(places), ..options() });
        let mut plan = plan(plans);
        plan.limits.memory_mib = memory;
        for (index, (service, waits, lives)) in services.into_iter().enumerate() {
            let name = format!("m{index}");
            let Some(place) = plan.machines.iter().position(|machine| machine.name == name) else { continue };
            let machine = &mut plan.machines[place];
            if let Some(restart) = service {
                machine.service = super::services::service(&name).service;
                machine.service.as_mut().unwrap().restart = restart;
            }
            script = script.lives(&name, &lives);
            let on = format!("m{}", index.wrapping_sub(1));
            let is_there = plan.machines.iter().any(|other| other.name == on && other.service.is_some());
            if is_there && waits {
                plan.machines[place].depends_on = vec![DependencyPlan { machine: on, condition: Condition::Started }];
            }
        }
        if plan.steps.iter().all(|step| step.is_finally) {
            // Services alone go on until they are told to end.
            script = script.signal(700, Signal::Interrupt);
        }
        (plan, script)
    }
}

fn count(played: &Played, wanted: impl Fn(&Event) -> bool) -> usize {
    played.events.iter().filter(|(_, event)| wanted(event)).count()
}

fn check_steps(plan: &Plan, played: &Played) -> Result<(), TestCaseError> {
    let mut busy: Vec<&str> = Vec::new();
    let mut good: Vec<&str> = Vec::new();
    for (_, event) in &played.events {
        match event {
            Event::StepStarted { step, machine, attempt, .. } if *attempt > 1 => {
                prop_assert!(busy.contains(&machine.as_str()), "{step} was tried again, and not active");
            }
            Event::StepStarted { step, machine, .. } => {
                prop_assert!(!busy.contains(&machine.as_str()), "{step} started on a busy machine");
                busy.push(machine);
                let declared = plan.steps.iter().find(|declared| declared.id == *step).unwrap();
                prop_assert!(declared.needs.iter().all(|need| good.contains(&need.as_str())), "{step} started early");
            }
            Event::StepFinished { step, machine, status, is_allowed, .. } => {
                if *status != StepStatus::Skipped {
                    prop_assert!(busy.contains(&machine.as_str()), "{step} finished without a start");
                    busy.retain(|other| other != machine);
                }
                if *status == StepStatus::Passed || *is_allowed {
                    good.push(step);
                }
            }
            _ => {}
        }
    }
    prop_assert!(busy.is_empty(), "steps outlive the run: {busy:?}");
    for declared in &plan.steps {
        let of = |event: &Event| matches!(event, Event::StepFinished { step, .. } if *step == declared.id);
        prop_assert_eq!(count(played, of), 1, "finishes of {}", &declared.id);
    }
    Ok(())
}

fn check_machines(plan: &Plan, played: &Played) -> Result<(), TestCaseError> {
    for machine in &plan.machines {
        let phases = |wanted: &[MachinePhase]| {
            count(
                played,
                |event| matches!(event, Event::Machine { machine: name, phase, .. } if *name == machine.name && wanted.contains(phase)),
            )
        };
        let starts = phases(&[MachinePhase::Booting]);
        let ends = phases(&[MachinePhase::Stopped, MachinePhase::Failed]);
        prop_assert!(starts <= 1 && ends <= 1 && starts <= ends, "{}: {starts} boots, {ends} ends", machine.name);
    }
    prop_assert_eq!(&played.left, &Vec::<String>::new());
    Ok(())
}

fn any_machine_input() -> impl Strategy<Value = MachineInput> {
    let timer = prop_oneof![Just(MachineTimer::Lost), Just(MachineTimer::Stop), Just(MachineTimer::End)];
    let failure = PrepareFailure { message: "x".to_owned(), is_host_unfit: true };
    prop_oneof![
        Just(MachineInput::Prepared(Ok(()))),
        Just(MachineInput::Prepared(Err(failure))),
        Just(MachineInput::Started(Ok(()))),
        Just(MachineInput::Started(Err("x".to_owned()))),
        Just(MachineInput::Console(b"\xe2\x82".to_vec())),
        Just(MachineInput::Log(b"\xac\n".to_vec())),
        Just(MachineInput::Exited(VmExit::PoweredOff)),
        Just(MachineInput::Exited(VmExit::Killed)),
        Just(MachineInput::Agent(Ok(()))),
        Just(MachineInput::Agent(Err("x".to_owned()))),
        Just(MachineInput::SetUp(Ok(()))),
        Just(MachineInput::SetUp(Err("x".to_owned()))),
        Just(MachineInput::Silent(15)),
        Just(MachineInput::Closed("x".to_owned())),
        Just(MachineInput::ShareDied { share: "x".to_owned(), reason: "x".to_owned() }),
        Just(MachineInput::ShutdownFailed("x".to_owned())),
        timer.prop_map(MachineInput::Overdue),
    ]
}

fn any_step_input() -> impl Strategy<Value = StepInput> {
    let stage = prop_oneof![
        Just(EndStage::Interrupted),
        Just(EndStage::Terminated),
        Just(EndStage::Unanswered),
        Just(EndStage::Unstarted)
    ];
    prop_oneof![
        Just(StepInput::Started(Ok(()))),
        Just(StepInput::Started(Err(StartFailure { exit_code: 126, cause: "x".to_owned() }))),
        prop::collection::vec(any::<u8>(), 0..5).prop_map(|bytes| StepInput::Output(Stream::Stderr, bytes)),
        (any::<i32>(), any::<bool>()).prop_map(|(code, is_oom)| StepInput::Exited(ExitStatus::Code(code), is_oom)),
        any::<i32>().prop_map(|signal| StepInput::Exited(ExitStatus::Signal(signal), false)),
        Just(StepInput::Outputs(Ok(vec!["/x".to_owned()]))),
        Just(StepInput::Outputs(Ok(Vec::new()))),
        Just(StepInput::Given(Ok(GivenFiles::default()))),
        Just(StepInput::Given(Err("gone".to_owned()))),
        Just(StepInput::TimeUp),
        stage.prop_map(StepInput::Overdue),
    ]
}

fn any_input() -> impl Strategy<Value = RunInput> {
    prop_oneof![
        20 => (0..2usize, any_machine_input()).prop_map(|(machine, input)| RunInput::Machine(machine, input)),
        20 => (0..4usize, any_step_input()).prop_map(|(step, input)| RunInput::Step(step, input)),
        1 => Just(RunInput::Signal(Signal::Terminate)),
        1 => Just(RunInput::Timer(Timer::Finally(0))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn every_start_has_one_finish_and_nothing_outlives_the_run((plan, script) in any_case()) {
        let played = simulate(&plan, &script);
        check_steps(&plan, &played)?;
        check_machines(&plan, &played)?;
        let is_last = matches!(played.events.last(), Some((_, Event::RunFinished { .. })));
        prop_assert!(is_last, "the end of the run is not the last event");
        prop_assert_eq!(played.summary.passed + played.summary.failed + played.summary.skipped, plan.steps.len());
        prop_assert_eq!(played.summary.exit_code == 0, played.summary.cause.is_none());
    }

    #[test]
    fn no_input_in_any_state_breaks_the_dispatcher(inputs in prop::collection::vec(any_input(), 0..80)) {
        let steps = vec![step("a@m", &[]), step("b@n", &["a"]), step("c@m", &["b"]), finally("d@n")];
        let facts = DispatcherFacts {
            plan: Arc::new(plan(steps)), options: options(), folder: Some(folder()), engine: "fake (tcg)".to_owned(),
        };
        let mut dispatcher = Dispatcher::new(facts);
        let mut actions = dispatcher.start();
        for input in inputs {
            actions.extend(dispatcher.on(Duration::ZERO, input));
        }
        let finished = |id: &str| {
            let of = |action: &&Action| matches!(action, Action::Emit(Event::StepFinished { step, .. }) if step == id);
            actions.iter().filter(of).count()
        };
        prop_assert!(["a", "b", "c", "d"].iter().all(|id| finished(id) <= 1));
        let ends = actions.iter().filter(|action| matches!(action, Action::Finish(_))).count();
        prop_assert!(ends <= 1);
    }
}
