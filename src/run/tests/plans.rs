//! Plans for tests, written short.

use std::collections::BTreeMap;

use crate::plan::{Command, GuestPath, Limits, MachinePlan, Plan, StepPlan};

/// A machine of 1 GiB.
pub(crate) fn machine(name: &str) -> MachinePlan {
    MachinePlan::bare(name, 1024)
}

/// A step `ID@MACHINE` with what it needs.
pub(crate) fn step(name: &str, needs: &[&str]) -> StepPlan {
    let (id, machine) = name.split_once('@').unwrap();
    StepPlan {
        id: id.to_owned(),
        title: None,
        machine: machine.to_owned(),
        command: Command::List(vec!["true".to_owned()]),
        uses_entrypoint: false,
        env: BTreeMap::new(),
        working_dir: None,
        user: None,
        needs: needs.iter().map(|need| (*need).to_owned()).collect(),
        timeout: None,
        retry: None,
        outputs: Vec::new(),
        continue_on_error: false,
        chown: None,
        is_finally: false,
    }
}

/// An entry of `finally`.
pub(super) fn finally(name: &str) -> StepPlan {
    StepPlan { is_finally: true, ..step(name, &[]) }
}

/// A step that must leave an output.
pub(super) fn with_output(step: StepPlan) -> StepPlan {
    StepPlan { outputs: vec![GuestPath::parse("/output/app").unwrap()], ..step }
}

/// A plan of these steps, with the machines that they name in order of their first step.
pub(crate) fn plan(steps: Vec<StepPlan>) -> Plan {
    let mut machines: Vec<MachinePlan> = Vec::new();
    for step in &steps {
        if !machines.iter().any(|known| known.name == step.machine) {
            machines.push(machine(&step.machine));
        }
    }
    Plan {
        project: "acme".to_owned(),
        folder: "/code/acme".into(),
        machines,
        steps,
        skipped: Vec::new(),
        operations: Vec::new(),
        limits: Limits { steps_at_once: 4, memory_mib: 8192 },
    }
}
