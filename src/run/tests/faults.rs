//! What goes wrong, and what comes of it: statuses, causes and exit codes. One test for each arrow that fails.

use std::time::Duration;

use super::lines::{render, render_steps};
use super::plans::{finally, plan, step, with_output};
use super::sim::{Boot, Does, Script, simulate};
use crate::engine::VmExit;
use crate::event::{Event, Stream};
use crate::plan::{Plan, StepPlan};

/// Two steps of one machine, one after the other.
fn two_steps() -> Plan {
    plan(vec![step("one@web", &[]), step("two@web", &["one"])])
}

/// Two machines with nothing between them, and what needs the first.
fn two_branches() -> Plan {
    plan(vec![step("a@one", &[]), step("b@two", &[]), step("c@one", &["a"]), step("d@two", &["b"])])
}

#[test]
fn a_failed_step_skips_the_rest_and_gives_its_code() {
    let script = Script::default().step("one", 5, Does::Exit(7));
    assert_eq!(
        render_steps(&simulate(&two_steps(), &script)),
        "one started\none failed (7)\ntwo skipped: it needs `one`, which did not pass\n\
         run failed 7: step `one` failed with exit code 7 [0 1 1]\n"
    );
}

#[test]
fn a_failed_step_ends_what_runs_beside_it() {
    let script = Script::default().step("a", 5, Does::Exit(7)).step("b", 50, Does::Sleeps);
    assert_eq!(
        render_steps(&simulate(&two_branches(), &script)),
        "a started\nb started\na failed (7)\nc skipped: it needs `a`, which did not pass\n\
         d skipped: step `a` failed\nb canceled (143): step `a` failed\n\
         run failed 7: step `a` failed with exit code 7 [0 1 3]\n"
    );
}

#[test]
fn keep_going_finishes_what_does_not_depend_on_the_failure() {
    let script = Script::default().keep_going().step("a", 5, Does::Exit(7)).step("b", 50, Does::Exit(0));
    assert_eq!(
        render_steps(&simulate(&two_branches(), &script)),
        "a started\nb started\na failed (7)\nc skipped: it needs `a`, which did not pass\nb passed\n\
         d started\nd passed\nrun failed 7: step `a` failed with exit code 7 [2 1 1]\n"
    );
}

#[test]
fn the_first_failure_in_file_order_gives_the_code() {
    let script = Script::default().keep_going().step("a", 50, Does::Exit(7)).step("b", 5, Does::Exit(9));
    let text = render_steps(&simulate(&two_branches(), &script));
    assert!(text.ends_with("run failed 7: step `a` failed with exit code 7 [0 2 2]\n"), "{text}");
}

#[test]
fn finally_runs_after_a_failure_and_its_own_failure_counts_only_alone() {
    let steps = vec![step("a@m", &[]), finally("one@m"), finally("two@m")];
    let script = Script::default().step("one", 5, Does::Exit(4));
    assert_eq!(
        render_steps(&simulate(&plan(steps.clone()), &script)),
        "a started\na passed\none started\none failed (4)\ntwo started\ntwo passed\n\
         run failed 4: step `one` failed with exit code 4 [2 1 0]\n"
    );
    let text = render_steps(&simulate(&plan(steps), &script.step("a", 5, Does::Exit(3))));
    assert!(text.contains("one failed (4)\ntwo started\n"), "{text}");
    assert!(text.ends_with("run failed 3: step `a` failed with exit code 3 [1 2 0]\n"), "{text}");
}

#[test]
fn a_program_that_is_not_there_gives_127() {
    let script = Script::default().step("one", 5, Does::NotFound);
    let text = render_steps(&simulate(&two_steps(), &script));
    assert!(text.contains("one failed (127): there is no program `cargo`\n"), "{text}");
    assert!(text.ends_with("run failed 127: step `one` failed: there is no program `cargo` [0 1 1]\n"), "{text}");
}

#[test]
fn a_missing_output_fails_with_1() {
    let plan = plan(vec![with_output(step("one@web", &[]))]);
    let text = render_steps(&simulate(&plan, &Script::default().step("one", 5, Does::LacksOutput)));
    assert!(text.contains("one failed (1): output is missing: `/output/app`\n"), "{text}");
    let text = render_steps(&simulate(&plan, &Script::default()));
    assert!(text.contains("one passed\n"), "{text}");
}

#[test]
fn a_step_out_of_time_is_ended_and_gives_124() {
    for does in [Does::Sleeps, Does::IgnoresTerm] {
        let limited = StepPlan { timeout: Some(Duration::from_secs(5)), ..step("one@web", &[]) };
        let script = Script::default().step("one", 0, does);
        assert_eq!(
            render_steps(&simulate(&plan(vec![limited]), &script)),
            "one started\none timedout (124): its time is up (timeout: 5s)\n\
             run timedout 124: step `one` ran out of time after 5s [0 1 0]\n"
        );
    }
}

#[test]
fn an_agent_that_does_not_end_a_step_loses_its_machine() {
    let limited = StepPlan { timeout: Some(Duration::from_secs(5)), ..step("one@web", &[]) };
    let script = Script::default().step("one", 0, Does::AgentDeaf);
    let text = render(&simulate(&plan(vec![limited]), &script));
    assert!(text.contains("machine web failed: the agent did not end step `one`\none timedout (124)"), "{text}");
    assert!(text.ends_with("run timedout 124: step `one` ran out of time after 5s [0 1 0]\n"), "{text}");
}

#[test]
fn a_guest_that_ends_inside_a_step_fails_it_by_name() {
    let cases = [
        (Does::Vm(VmExit::PoweredOff), "the guest powered off"),
        (Does::Vm(VmExit::Rebooted), "the guest rebooted"),
        (Does::Vm(VmExit::Panicked("sysrq".to_owned())), "the guest's kernel panicked: sysrq"),
        (Does::Vm(VmExit::EngineFailed("signal 11".to_owned())), "the engine ended: signal 11"),
        (Does::Silent, "the guest fell silent: no heartbeat for 15 s"),
        (Does::AgentGone, "the agent is gone: the guest closed it"),
        (Does::ShareDies, "the file server of share `share0` (/code) died: killed by signal 9"),
    ];
    for (does, words) in cases {
        assert_eq!(
            render(&simulate(&two_steps(), &Script::default().step("one", 5, does))),
            format!(
                "machine web booting\nmachine web ready\none started\nmachine web failed: {words}\n\
                 one failed (125): machine `web`: {words}\ntwo skipped: machine `web` failed\n\
                 run failed 125: step `one` failed: machine `web`: {words} [0 1 1]\n"
            )
        );
    }
}

#[test]
fn a_step_killed_for_want_of_memory_says_so() {
    let text = render_steps(&simulate(&two_steps(), &Script::default().step("one", 5, Does::OutOfMemory)));
    assert!(text.contains("one failed (137): out of memory (memory: 1GiB)\n"), "{text}");
}

#[test]
fn a_killed_step_names_the_signal() {
    let text = render_steps(&simulate(&two_steps(), &Script::default().step("one", 5, Does::Signal(11))));
    assert!(text.contains("one failed (139): killed by SIGSEGV\n"), "{text}");
}

#[test]
fn a_machine_that_does_not_come_up_skips_its_steps() {
    let cases = [
        (Boot::CannotPrepare, "prepare: no kernel can be had", ""),
        (Boot::CannotStart, "engine: no such program", ""),
        (
            Boot::KernelPanics,
            "kernel: the guest's kernel panicked: no init",
            "\nthe end of its console:\n  Kernel panic - not syncing: no init",
        ),
        (Boot::AgentSilent, "agent: the agent did not answer within 30s", ""),
        (Boot::MountFails, "mount: wrong mount `/code`: it is writable", ""),
    ];
    for (boot, words, console) in cases {
        let played = simulate(&two_steps(), &Script::default().boot("web", boot));
        let text = render(&played).replace("machine web booting\n", "");
        assert_eq!(
            text,
            format!(
                "machine web failed: {words}{console}\none skipped: machine `web` failed\n\
                 two skipped: machine `web` failed\nrun failed 125: machine `web` failed: {words} [0 0 2]\n"
            )
        );
        assert_eq!(played.left, Vec::<String>::new());
    }
}

#[test]
fn a_machine_that_does_not_come_up_stops_the_others() {
    let script = Script::default().boot("one", Boot::CannotStart).step("b", 50, Does::Sleeps);
    let text = render_steps(&simulate(&two_branches(), &script));
    assert!(text.ends_with("run failed 125: machine `one` failed: engine: no such program [0 0 4]\n"), "{text}");
    let text = render_steps(&simulate(&two_branches(), &script.step("b", 5, Does::Exit(0)).keep_going()));
    assert!(text.ends_with("run failed 125: machine `one` failed: engine: no such program [2 0 2]\n"), "{text}");
}

#[test]
fn finally_on_a_machine_that_failed_is_skipped() {
    let plan = plan(vec![step("a@m", &[]), finally("one@m"), finally("two@other")]);
    let script = Script::default().step("a", 5, Does::Vm(VmExit::PoweredOff));
    let text = render_steps(&simulate(&plan, &script));
    assert!(text.contains("one skipped: machine `m` failed\ntwo started\ntwo passed\n"), "{text}");
}

#[test]
fn a_machine_that_does_not_power_off_is_killed_with_a_warning() {
    for boot in [Boot::StopHangs, Boot::Immortal] {
        let played = simulate(&two_steps(), &Script::default().boot("web", boot));
        let text = render(&played);
        let warned = text.contains("warning: machine `web`: it did not power off in time, so it was killed\n");
        assert_eq!(warned, boot == Boot::StopHangs, "{text}");
        assert!(text.ends_with("machine web stopped\nrun passed 0 [2 0 0]\n"), "{text}");
        assert_eq!(played.left, Vec::<String>::new());
    }
}

#[test]
fn output_comes_between_start_and_end_of_its_step() {
    let played = simulate(&plan(vec![step("a@m", &[])]), &Script::default());
    let place = |wanted: fn(&Event) -> bool| played.events.iter().position(|(_, event)| wanted(event)).unwrap();
    let started = place(|event| matches!(event, Event::StepStarted { .. }));
    let output = place(
        |event| matches!(event, Event::Output { stream: Stream::Stdout, bytes, .. } if bytes == "a €\n".as_bytes()),
    );
    let finished = place(|event| matches!(event, Event::StepFinished { .. }));
    assert!(started < output && output < finished);
}
