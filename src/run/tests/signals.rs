//! What a signal does to a run, in every phase.

use super::lines::{render, render_steps};
use super::plans::{finally, plan, step};
use super::sim::{Boot, Does, Script, simulate};
use crate::plan::Plan;
use crate::run::Signal;

fn with_finally() -> Plan {
    plan(vec![step("a@m", &[]), step("b@m", &["a"]), finally("end@m"), finally("far@other")])
}

#[test]
fn the_first_interrupt_ends_steps_runs_finally_and_stops() {
    let script = Script::default().step("a", 0, Does::Sleeps).signal(100, Signal::Interrupt);
    assert_eq!(
        render(&simulate(&with_finally(), &script)),
        "machine m booting\nmachine m ready\na started\n\
         warning: SIGINT: ending in order; a second signal ends all at once\n\
         b skipped: interrupted by SIGINT\na canceled (130)\n\
         end started\nend passed\nmachine m stopping\nfar skipped: machine `other` is not up\nmachine m stopped\n\
         run interrupted 130: interrupted by SIGINT [1 0 3]\n"
    );
}

#[test]
fn each_signal_has_its_exit_code() {
    for (signal, code) in [(Signal::Interrupt, 130), (Signal::Terminate, 143), (Signal::Hangup, 129)] {
        let script = Script::default().step("a", 0, Does::Sleeps).signal(100, signal);
        assert_eq!(simulate(&with_finally(), &script).summary.exit_code, code);
    }
}

#[test]
fn a_step_that_ignores_the_interrupt_is_killed_after_the_grace() {
    let script = Script::default().step("a", 0, Does::IgnoresTerm).signal(100, Signal::Interrupt);
    let played = simulate(&with_finally(), &script);
    let text = render_steps(&played);
    assert!(text.contains("a canceled (137)\nend started\n"), "{text}");
    let end = played.events.last().unwrap().0.as_secs();
    assert!((10..12).contains(&end), "it took {end} s");
}

#[test]
fn a_second_signal_kills_at_once_and_keeps_the_first_code() {
    let script =
        Script::default().step("a", 0, Does::IgnoresTerm).signal(100, Signal::Terminate).signal(200, Signal::Interrupt);
    let played = simulate(&with_finally(), &script);
    assert_eq!(
        render(&played),
        "machine m booting\nmachine m ready\na started\n\
         warning: SIGTERM: ending in order; a second signal ends all at once\n\
         b skipped: interrupted by SIGTERM\nwarning: SIGINT again: all ends at once\na canceled\n\
         end skipped: interrupted\nfar skipped: interrupted\nmachine m stopped\n\
         run interrupted 143: interrupted by SIGTERM, and again, so nothing was waited for [0 0 4]\n"
    );
    assert!(played.events.last().unwrap().0.as_millis() < 300);
}

#[test]
fn an_interrupt_while_machines_come_up_gives_them_up() {
    for (at, boot) in [(0, Boot::Works), (1, Boot::PrepareHangs), (2, Boot::Works), (5, Boot::Works), (13, Boot::Works)]
    {
        let script = Script::default().boot("m", boot).signal(at, Signal::Interrupt);
        let played = simulate(&with_finally(), &script);
        let text = render(&played);
        assert!(text.contains("end skipped: machine `m` is not up\n"), "at {at}: {text}");
        assert!(text.ends_with("run interrupted 130: interrupted by SIGINT [0 0 4]\n"), "at {at}: {text}");
        assert_eq!(played.left, Vec::<String>::new());
    }
}

#[test]
fn a_second_signal_does_not_wait_for_a_machine_that_is_prepared() {
    let script =
        Script::default().boot("m", Boot::PrepareHangs).signal(50, Signal::Interrupt).signal(100, Signal::Interrupt);
    let played = simulate(&with_finally(), &script);
    assert!(played.events.last().unwrap().0.as_millis() < 1_300);
}

#[test]
fn all_of_finally_has_ten_seconds_after_an_interrupt() {
    let plan = plan(vec![step("a@m", &[]), finally("slow@m"), finally("late@m")]);
    for does in [Does::Sleeps, Does::IgnoresTerm, Does::AgentDeaf] {
        let script = Script::default().step("a", 0, Does::Sleeps).step("slow", 0, does).signal(100, Signal::Interrupt);
        let played = simulate(&plan, &script);
        let text = render_steps(&played);
        assert!(text.contains("slow canceled"), "{text}");
        assert!(text.contains("late skipped: "), "{text}");
        assert!(played.events.last().unwrap().0.as_secs() < 20, "{text}");
    }
}

#[test]
fn an_interrupt_during_finally_lets_it_go_on() {
    let plan = plan(vec![step("a@m", &[]), finally("one@m"), finally("two@m")]);
    let script = Script::default().step("one", 500, Does::Exit(0)).signal(100, Signal::Interrupt);
    let text = render_steps(&simulate(&plan, &script));
    let news = "warning: SIGINT: ending in order; a second signal ends all at once\n";
    let expected = format!("one started\n{news}one passed\ntwo started\ntwo passed\nrun interrupted 130");
    assert!(text.contains(&expected), "{text}");
}

#[test]
fn a_step_that_ends_by_itself_after_the_interrupt_is_canceled_all_the_same() {
    let script = Script::default().step("a", 100, Does::Exit(0)).signal(99, Signal::Interrupt);
    let played = simulate(&with_finally(), &script);
    assert_eq!(played.summary.exit_code, 130);
}
