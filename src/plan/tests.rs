//! Tests of planning: projects built in code, the plan as text.

use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::config::Project;
use crate::config::model::{
    Cache, Combination, Command, GuestPath, Image, KernelSource, Locks, Machine, MachineGaps, Mount, MountKind, Needs,
    Network, Origins, Owner, ProjectGaps, Service, Spanned, Step, StepGaps, Workspace,
};
use crate::diag::{FileId, Span};

const SPAN: Span = Span { file: FileId(0), start: 0, end: 0 };

fn spanned<T>(value: T) -> Spanned<T> {
    Spanned { value, span: SPAN }
}

fn machine(name: &str, mounts: &[(&str, &str)]) -> Machine {
    let mount = |(source, target): &(&str, &str)| Mount {
        kind: MountKind::Bind {
            source: spanned(PathBuf::from(source)),
            is_file: false,
            readonly: false,
            owner: spanned(Owner::Invoker),
            guest_owner: None,
            cache: spanned(Cache::Auto),
        },
        target: spanned(GuestPath::parse(target).unwrap()),
        create: false,
        span: SPAN,
    };
    Machine {
        name: spanned(name.to_owned()),
        image: spanned(Image::Host),
        kernel: spanned(KernelSource::Auto),
        modules: None,
        cpus: None,
        memory_mib: spanned(1024),
        env: BTreeMap::from([("A".to_owned(), "machine".to_owned()), ("B".to_owned(), "machine".to_owned())]),
        working_dir: None,
        user: None,
        hostname: None,
        mounts: mounts.iter().map(mount).collect(),
        combination: None,
        workspace: Workspace::default(),
        network: Network::default(),
        service: Service::default(),
        depends_on: Vec::new(),
        profiles: Vec::new(),
        gaps: MachineGaps::default(),
    }
}

fn step(id: &str, machine: &str, needs: Option<&[&str]>) -> Step {
    Step {
        id: spanned(id.to_owned()),
        title: None,
        machine: spanned(machine.to_owned()),
        command: spanned(Command::List(vec!["true".to_owned()])),
        env: BTreeMap::from([("A".to_owned(), "step".to_owned())]),
        working_dir: None,
        user: None,
        needs: needs
            .map_or(Needs::Above, |ids| Needs::Explicit(ids.iter().map(|id| spanned((*id).to_owned())).collect())),
        timeout: None,
        retry: None,
        inputs: Vec::new(),
        outputs: Vec::new(),
        continue_on_error: false,
        condition: None,
        profiles: Vec::new(),
        chown: None,
        span: SPAN,
        place: 0,
        combination: None,
        gaps: StepGaps::default(),
    }
}

fn project(machines: Vec<Machine>, mut steps: Vec<Step>, finally: Vec<Step>) -> Project {
    for (index, step) in steps.iter_mut().enumerate() {
        step.place = index + 1;
    }
    let folder = PathBuf::from("/code/acme");
    let env = ["A", "B", "C"].map(|name| (name.to_owned(), "file".to_owned())).into();
    Project {
        name: "acme".to_owned(),
        folder,
        origins: Origins::default(),
        env,
        machines,
        steps,
        finally,
        volumes: Vec::new(),
        owners: BTreeMap::new(),
        locks: Locks::default(),
        profiles: Vec::new(),
        gaps: ProjectGaps::default(),
    }
}

fn host(cpus: u32) -> HostFacts {
    let invoker = Invoker { uid: 1000, gid: 1000, groups: vec![], name: None, home: None, is_process_root: false };
    HostFacts { cpus, memory_mib: 8192, invoker }
}

fn two_machines() -> Project {
    project(
        vec![machine("build", &[]), machine("test", &[]), machine("report", &[])],
        vec![
            step("compile", "build", None),
            step("lint", "build", Some(&[])),
            step("unit", "test", Some(&["compile"])),
            step("sums", "test", None),
        ],
        vec![step("finally-1", "report", None)],
    )
}

fn ids(plan: &Plan) -> Vec<&str> {
    plan.steps.iter().map(|step| step.id.as_str()).collect()
}

#[test]
fn every_step_is_planned_with_its_cause() {
    let plan = build(&two_machines(), &host(4), &Selection::all()).unwrap();
    assert_eq!(
        render_text(&plan),
        "acme: 3 machines, 5 steps\n\
         \n\
         machine build: image host, 2 CPUs, 1GiB, user root\n\
         machine test: image host, 2 CPUs, 1GiB, user root\n\
         machine report: image host, 2 CPUs, 1GiB, user root\n\
         \n \
         1  prepare:build      first step `compile`\n \
         2  boot:build         first step `compile` (after #1)\n \
         3  step:compile       needs nothing (after #2)\n \
         4  step:lint          needs nothing (after #2)\n \
         5  prepare:test       first step `unit`\n \
         6  boot:test          first step `unit` (after #5)\n \
         7  step:unit          after `compile` (after #3 #6)\n \
         8  step:sums          after `unit` (after #6 #7)\n \
         9  prepare:report     `finally-1` of `finally` (after #4 #8)\n\
         10  boot:report        `finally-1` of `finally` (after #9)\n\
         11  finally:finally-1  always, at the end (after #4 #8 #10)\n\
         12  stop:build         `lint` is its last (after #3 #4)\n\
         13  stop:test          `sums` is its last (after #7 #8)\n\
         14  stop:report        `finally-1` is its last (after #11)\n"
    );
}

#[test]
fn a_selected_step_brings_what_it_needs_and_nothing_else() {
    let plan = build(&two_machines(), &host(4), &Selection::of(["unit"])).unwrap();
    assert_eq!(ids(&plan), ["compile", "unit", "finally-1"]);
    let why: Vec<&str> = plan.operations.iter().map(|operation| operation.why.as_str()).collect();
    assert!(why.contains(&"needed by `unit`") && why.contains(&"selected"), "{why:?}");
}

#[test]
fn a_selected_machine_brings_all_its_steps() {
    let plan = build(&two_machines(), &host(4), &Selection::of(["build"])).unwrap();
    assert_eq!(ids(&plan), ["compile", "lint", "finally-1"]);
    assert_eq!(plan.machines.iter().map(|machine| machine.name.as_str()).collect::<Vec<_>>(), ["build", "report"]);
}

#[test]
fn an_unknown_name_gets_the_nearest_one() {
    let error = build(&two_machines(), &host(4), &Selection::of(["unti"])).unwrap_err();
    assert_eq!(error.to_string(), "no step and no machine is named `unti`, did you mean `unit`?");
    let error = build(&two_machines(), &host(4), &Selection::of(["zebra"])).unwrap_err();
    assert_eq!(error.to_string(), "no step and no machine is named `zebra`");
}

#[test]
fn a_machine_without_steps_is_not_a_selection() {
    let mut project = two_machines();
    project.machines.push(machine("idle", &[]));
    let error = build(&project, &host(4), &Selection::of(["idle"])).unwrap_err();
    assert_eq!(error, SelectionError::NoSteps { machine: "idle".to_owned() });
}

#[test]
fn mounts_are_made_parents_first_and_tagged_in_that_order() {
    let mounts = [("/code/acme/cache", "/code/a/cache"), ("/code/acme", "/code"), ("/x", "/data")];
    let plan =
        build(&project(vec![machine("m", &mounts)], vec![step("a", "m", None)], vec![]), &host(1), &Selection::all())
            .unwrap();
    let made: Vec<String> = plan.machines[0]
        .mounts
        .iter()
        .map(|mount| format!("{} {}", mount.share().map_or("disk", |(tag, _)| tag), mount.target.as_str()))
        .collect();
    assert_eq!(made, ["disk /workspace", "share0 /code", "share1 /data", "share2 /code/a/cache"]);
    assert_eq!(plan.machines[0].cpus, 1);
    assert!(render_text(&plan).contains("  /code  writable, from .\n"));
}

#[test]
fn the_workspace_is_in_every_machine_and_told_where_the_file_says_something_of_it() {
    let planned = |workspace: Workspace, mounts: &[(&str, &str)]| {
        let machine = Machine { workspace, ..machine("m", mounts) };
        let project = project(vec![machine], vec![step("a", "m", None)], vec![]);
        let plan = build(&project, &host(1), &Selection::all()).unwrap();
        let text = render_text(&plan);
        let told = text.lines().find_map(|line| line.strip_prefix("  /workspace  ")).map(str::to_owned);
        (plan.machines[0].mounts.iter().filter(|mount| mount.share().is_none()).count(), told)
    };
    assert_eq!(planned(Workspace::Default, &[]), (1, None));
    let size = Workspace::Size(spanned(2048));
    assert_eq!(planned(size, &[]), (1, Some("a disk of its own, 2GiB".to_owned())));
    assert_eq!(planned(Workspace::Absent, &[]), (0, None));
    let taken = planned(Workspace::Default, &[("/code/acme", "/workspace")]);
    assert_eq!(taken, (0, Some("writable, from .".to_owned())));
    assert_eq!(planned(Workspace::Default, &[("/x", "/workspace/below")]), (1, None));
}

#[test]
fn the_environment_of_a_step_is_on_top_of_the_machines_and_the_files() {
    let plan = build(&two_machines(), &host(4), &Selection::all()).unwrap();
    let env: Vec<(&str, &str)> = plan.steps[0].env.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(env, [("A", "step"), ("B", "machine"), ("C", "file")]);
}

#[test]
fn json_names_operations_and_what_comes_before_them() {
    let plan = build(&two_machines(), &host(4), &Selection::of(["compile"])).unwrap();
    let value: serde_json::Value = serde_json::from_str(&render_json(&plan)).unwrap();
    assert_eq!(value["version"], 1);
    assert_eq!(
        value["operations"][1],
        serde_json::json!({
            "id": "boot:build", "kind": "boot", "machine": "build",
            "after": ["prepare:build"], "why": "first step `compile`",
        })
    );
}

/// `unit` and `check` in the two machines of a matrix, and `report` in another one.
fn matrix() -> Project {
    let combination = |declared: &str, number: usize| {
        Some(Combination { declared: declared.to_owned(), id: format!("1.{number}"), number, count: 2, span: SPAN })
    };
    let of_matrix = |number: usize| {
        let mut machine = machine(&format!("test[1.{number}]"), &[]);
        machine.combination = combination("test", number);
        machine
    };
    let mut project = project(
        vec![of_matrix(0), of_matrix(1), machine("report", &[])],
        vec![
            step("unit[1.0]", "test[1.0]", None),
            step("unit[1.1]", "test[1.1]", None),
            step("check[1.0]", "test[1.0]", None),
            step("check[1.1]", "test[1.1]", Some(&["unit[1.1]"])),
            step("report", "report", Some(&["check", "unit[1.0]"])),
        ],
        vec![],
    );
    for (index, (declared, place)) in [("unit", 1), ("unit", 1), ("check", 2), ("check", 2)].into_iter().enumerate() {
        project.steps[index].place = place;
        project.steps[index].combination = combination(declared, index % 2);
    }
    project
}

#[test]
fn a_need_of_a_step_of_a_matrix_means_all_that_it_is_and_one_in_brackets_that_one() {
    let plan = build(&matrix(), &host(4), &Selection::all()).unwrap();
    let needs: Vec<String> = plan.steps.iter().map(|step| step.needs.join(" ")).collect();
    assert_eq!(needs, ["", "", "unit[1.0] unit[1.1]", "unit[1.1]", "check[1.0] check[1.1] unit[1.0]"]);
}

#[test]
fn a_name_without_brackets_selects_all_of_a_matrix() {
    let select = |name: &str| build(&matrix(), &host(4), &Selection::of([name])).map(|plan| ids(&plan).join(" "));
    assert_eq!(select("unit").unwrap(), "unit[1.0] unit[1.1]");
    assert_eq!(select("check[1.1]").unwrap(), "unit[1.1] check[1.1]");
    assert_eq!(select("test").unwrap(), "unit[1.0] unit[1.1] check[1.0] check[1.1]");
    assert_eq!(select("test[1.1]").unwrap(), "unit[1.1] check[1.1]");
    let error = select("unit[1.2]").unwrap_err().to_string();
    assert!(error.contains("did you mean `unit[1."), "{error}");
}

#[test]
fn machines_of_a_matrix_have_names_that_a_host_may_have() {
    let plan = build(&matrix(), &host(4), &Selection::all()).unwrap();
    let names: Vec<&str> = plan.machines.iter().map(|machine| machine.hostname.as_str()).collect();
    assert_eq!(names, ["test-1-0", "test-1-1", "report"]);
}

proptest! {
    #[test]
    fn operations_come_after_all_that_they_wait_for(
        shape in prop::collection::vec((0usize..3, prop::option::of(prop::collection::vec(0usize..8, 0..3))), 1..8)
    ) {
        let steps = shape.iter().enumerate().map(|(index, (machine, needs))| {
            let needs: Option<Vec<String>> = needs.as_ref().map(|needs| {
                needs.iter().filter(|need| **need < index).map(|need| format!("s{need}")).collect()
            });
            let needs: Option<Vec<&str>> = needs.as_ref().map(|needs| needs.iter().map(String::as_str).collect());
            step(&format!("s{index}"), &format!("m{machine}"), needs.as_deref())
        }).collect();
        let machines = (0..3).map(|number| machine(&format!("m{number}"), &[])).collect();
        let plan = build(&project(machines, steps, vec![step("f", "m0", None)]), &host(2), &Selection::all()).unwrap();
        for (index, operation) in plan.operations.iter().enumerate() {
            for before in &operation.after {
                let place = plan.operations.iter().position(|other| other.id == *before);
                prop_assert!(place.is_some_and(|place| place < index), "{before} is not before {}", operation.id);
            }
        }
        prop_assert!(!petgraph::algo::is_cyclic_directed(&plan.graph()));
    }
}
