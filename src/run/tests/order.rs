//! What runs when: the order of steps, of boots and of ends, proved by events.

use super::lines::{render, render_steps};
use super::plans::{finally, plan, step};
use super::sim::{Does, Script, simulate};
use crate::event::{Event, MachinePhase, StepStatus};
use crate::plan::{Limits, Plan, SkippedStep, StepPlan};
use crate::run::{Hold, RunCommand};

#[test]
fn one_step_boots_its_machine_runs_and_stops_it() {
    let played = simulate(&plan(vec![step("a@m", &[])]), &Script::default());
    assert_eq!(
        render(&played),
        "machine m booting\nmachine m ready\na started\na passed\nmachine m stopping\nmachine m stopped\n\
         run passed 0 [1 0 0]\n"
    );
    assert_eq!(played.left, Vec::<String>::new());
}

#[test]
fn a_machine_is_told_in_every_phase() {
    let played = simulate(&plan(vec![step("a@m", &[])]), &Script::default());
    let phases: Vec<MachinePhase> = played
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Machine { phase, .. } => Some(*phase),
            _ => None,
        })
        .collect();
    use MachinePhase::{Agent, Booting, Mounted, Prepared, Ready, Stopped, Stopping};
    assert_eq!(phases, [Prepared, Booting, Agent, Mounted, Ready, Stopping, Stopped]);
}

#[test]
fn nothing_to_do_passes_at_once() {
    assert_eq!(render(&simulate(&plan(vec![]), &Script::default())), "run passed 0 [0 0 0]\n");
}

#[test]
fn what_is_passed_over_is_told_first_and_counted_unless_only_a_profile_keeps_it_out() {
    let skipped = |id: &str, is_profile| SkippedStep {
        id: id.to_owned(),
        machine: "gone".to_owned(),
        why: "its `if` does not hold".to_owned(),
        is_profile,
    };
    let plan = Plan { skipped: vec![skipped("off", false), skipped("slow", true)], ..plan(vec![step("a@m", &[])]) };
    let played = simulate(&plan, &Script::default());
    let first: Vec<&Event> = played.events.iter().map(|(_, event)| event).skip(1).take(1).collect();
    assert!(
        matches!(first[..], [Event::StepFinished { step, status: StepStatus::Skipped, .. }] if step == "off"),
        "{first:?}"
    );
    assert!(render(&played).ends_with("run passed 0 [1 0 1]\n"), "{}", render(&played));
}

#[test]
fn machines_that_share_a_volume_are_up_one_after_another() {
    let mut plan = plan(vec![step("a@one", &[]), step("b@two", &[]), step("c@three", &[]), finally("d@four")]);
    plan.machines[1].after = vec!["three".to_owned()];
    plan.machines[3].after = vec!["two".to_owned(), "one".to_owned()];
    let played = simulate(&plan, &Script::default());
    let text = render(&played);
    let place =
        |line: &str| text.lines().position(|other| other == line).unwrap_or_else(|| panic!("{line} in\n{text}"));
    assert!(place("machine three stopped") < place("machine two booting"), "{text}");
    assert!(place("machine one booting") < place("machine three stopped"), "{text}");
    assert!(place("machine two stopped") < place("machine four booting"), "{text}");
    assert!(text.ends_with("run passed 0 [4 0 0]\n"), "{text}");
}

#[test]
fn a_machine_that_is_held_gives_way_to_the_next_user_of_its_volume() {
    for hold in [Hold::AfterAll, Hold::AfterFailure] {
        let mut plan = plan(vec![step("a@one", &[]), step("b@two", &[])]);
        plan.machines[1].after = vec!["one".to_owned()];
        let script = Script::default().hold(hold).command(60_000, RunCommand::Down);
        let played = simulate(&plan, &script);
        let text = render(&played);
        assert!(text.contains("machine one stopped\nmachine two booting\n"), "{hold:?}\n{text}");
        assert!(text.contains("b passed"), "{text}");
    }
}

#[test]
fn steps_wait_for_what_they_need_across_machines() {
    let steps = vec![step("compile@build", &[]), step("unit@test", &["compile"]), step("sums@build", &["unit"])];
    let played = simulate(&plan(steps), &Script::default().step("compile", 100, Does::Exit(0)));
    assert_eq!(
        render(&played),
        "machine build booting\nmachine test booting\nmachine build ready\ncompile started\n\
         machine test ready\ncompile passed\nunit started\nunit passed\nmachine test stopping\nsums started\n\
         machine test stopped\nsums passed\nmachine build stopping\nmachine build stopped\nrun passed 0 [3 0 0]\n"
    );
}

#[test]
fn independent_steps_run_at_the_same_time() {
    let steps = vec![step("a@one", &[]), step("b@two", &[])];
    let script = Script::default().step("a", 50, Does::Exit(0)).step("b", 20, Does::Exit(0));
    assert_eq!(
        render_steps(&simulate(&plan(steps), &script)),
        "a started\nb started\nb passed\na passed\nrun passed 0 [2 0 0]\n"
    );
}

#[test]
fn two_steps_of_one_machine_take_turns_in_file_order() {
    let steps = vec![step("a@m", &[]), step("b@m", &[]), step("c@m", &[])];
    let script = Script::default().step("a", 50, Does::Exit(0));
    assert_eq!(
        render_steps(&simulate(&plan(steps), &script)),
        "a started\na passed\nb started\nb passed\nc started\nc passed\nrun passed 0 [3 0 0]\n"
    );
}

#[test]
fn no_more_steps_run_at_the_same_time_than_allowed() {
    let mut plan = plan(vec![step("a@one", &[]), step("b@two", &[]), step("c@three", &[])]);
    plan.limits = Limits { steps_at_once: 1, memory_mib: 8192 };
    assert_eq!(
        render_steps(&simulate(&plan, &Script::default())),
        "a started\na passed\nb started\nb passed\nc started\nc passed\nrun passed 0 [3 0 0]\n"
    );
}

#[test]
fn a_machine_waits_until_memory_is_free() {
    let mut plan = plan(vec![step("a@one", &[]), step("b@two", &[])]);
    plan.limits.memory_mib = 1500;
    assert_eq!(
        render(&simulate(&plan, &Script::default())),
        "machine one booting\nmachine one ready\na started\na passed\nmachine one stopping\nmachine one stopped\n\
         machine two booting\nmachine two ready\nb started\nb passed\nmachine two stopping\nmachine two stopped\n\
         run passed 0 [2 0 0]\n"
    );
}

#[test]
fn memory_is_claimed_twice_where_nothing_else_could_go_on() {
    let mut plan = plan(vec![step("a@one", &[]), step("b@two", &["a"]), step("c@one", &["b"])]);
    plan.limits.memory_mib = 1500;
    let text = render(&simulate(&plan, &Script::default()));
    assert!(
        text.contains("a passed\nwarning: machine `two` boots although the host's memory is claimed already\n"),
        "{text}"
    );
    assert!(text.ends_with("run passed 0 [3 0 0]\n"), "{text}");
}

#[test]
fn finally_runs_in_order_after_everything() {
    let steps = vec![step("a@m", &[]), step("b@m", &[]), finally("one@m"), finally("two@m")];
    assert_eq!(
        render_steps(&simulate(&plan(steps), &Script::default())),
        "a started\na passed\nb started\nb passed\none started\none passed\ntwo started\ntwo passed\n\
         run passed 0 [4 0 0]\n"
    );
}

#[test]
fn finally_boots_a_machine_of_its_own_after_everything() {
    let steps = vec![step("a@m", &[]), finally("report@other")];
    assert_eq!(
        render(&simulate(&plan(steps), &Script::default())),
        "machine m booting\nmachine m ready\na started\na passed\nmachine m stopping\nmachine other booting\n\
         machine m stopped\nmachine other ready\nreport started\nreport passed\nmachine other stopping\n\
         machine other stopped\nrun passed 0 [2 0 0]\n"
    );
}

#[test]
fn an_allowed_failure_lets_what_needs_it_go_on() {
    let allowed = StepPlan { continue_on_error: true, ..step("lint@m", &[]) };
    let steps = vec![allowed, step("unit@m", &["lint"])];
    let script = Script::default().step("lint", 5, Does::Exit(3));
    assert_eq!(
        render_steps(&simulate(&plan(steps), &script)),
        "lint started\nlint failed (3) (allowed)\nunit started\nunit passed\nrun passed 0 [1 1 0]\n"
    );
}
