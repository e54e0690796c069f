//! The order of random projects against a naive one: cycles are found where there are some, machines that write one
//! folder are told where their runs may meet, and what the help says mends it.

use std::path::PathBuf;

use proptest::prelude::*;

use crate::config::{FileRequest, LoadRequest, MemoryFiles, Mode, load};
use crate::diag::Diagnostic;

#[derive(Debug, Clone)]
struct DraftMachine {
    has_command: bool,
    /// Numbers of machines, and whether it waits for `completed`, or for the default.
    depends_on: Vec<(usize, bool)>,
}

/// A project: all machines write one folder.
#[derive(Debug, Clone)]
struct Draft {
    machines: Vec<DraftMachine>,
    /// Machine and needs of each step; `None` is the step above.
    steps: Vec<(usize, Option<Vec<usize>>)>,
}

impl Draft {
    /// Makes numbers fit. Where it is to be `forward`, needs point up the file, and dependencies to earlier machines.
    fn new(mut machines: Vec<DraftMachine>, mut steps: Vec<(usize, Option<Vec<usize>>)>, is_forward: bool) -> Self {
        let (machine_count, step_count) = (machines.len(), steps.len());
        for (own, machine) in machines.iter_mut().enumerate() {
            for (other, _) in &mut machine.depends_on {
                *other %= machine_count;
            }
            machine.depends_on.retain(|(other, _)| !is_forward || *other < own);
            machine.depends_on.sort_unstable();
            machine.depends_on.dedup_by_key(|(other, _)| *other);
        }
        for (own, (machine, needs)) in steps.iter_mut().enumerate() {
            *machine %= machine_count;
            for needs in needs.iter_mut() {
                needs.iter_mut().for_each(|need| *need %= step_count);
                needs.retain(|need| !is_forward || *need < own);
                needs.sort_unstable();
                needs.dedup();
            }
        }
        Self { machines, steps }
    }

    fn text(&self) -> String {
        let mut lines = vec!["machines:".to_owned()];
        for (number, machine) in self.machines.iter().enumerate() {
            let command = if machine.has_command { "command: [serve], " } else { "" };
            let waits: Vec<String> = machine
                .depends_on
                .iter()
                .map(|(other, is_completed)| {
                    let default = if self.machines[*other].has_command { "started" } else { "completed" };
                    let word = if *is_completed { "completed" } else { default };
                    format!("m{other}: {{ condition: {word} }}")
                })
                .collect();
            let waits = format!("depends_on: {{ {} }}", waits.join(", "));
            lines.push(format!("  m{number}: {{ {command}mounts: [./out:/out], {waits} }}"));
        }
        lines.push("steps:".to_owned());
        for (number, (machine, needs)) in self.steps.iter().enumerate() {
            let needs = needs.as_ref().map(|needs| {
                let ids: Vec<String> = needs.iter().map(|need| format!("s{need}")).collect();
                format!("needs: [{}], ", ids.join(", "))
            });
            let needs = needs.unwrap_or_default();
            lines.push(format!("  - {{ id: s{number}, machine: m{machine}, {needs}run: x }}"));
        }
        if self.steps.is_empty() {
            lines.pop();
        }
        lines.join("\n")
    }

    fn boot(&self, machine: usize) -> usize {
        self.steps.len() + machine
    }

    fn command(&self, machine: usize) -> usize {
        self.steps.len() + self.machines.len() + machine
    }

    fn has_steps(&self, machine: usize) -> bool {
        self.steps.iter().any(|(own, _)| *own == machine)
    }

    /// Who waits for whom, through others too: steps, boots, commands.
    fn closure(&self) -> Vec<Vec<bool>> {
        let count = self.steps.len() + 2 * self.machines.len();
        let mut waits = vec![vec![false; count]; count];
        for (step, (machine, needs)) in self.steps.iter().enumerate() {
            waits[step][self.boot(*machine)] = true;
            match needs {
                None if step > 0 => waits[step][step - 1] = true,
                None => {}
                Some(needs) => needs.iter().for_each(|need| waits[step][*need] = true),
            }
        }
        for (number, machine) in self.machines.iter().enumerate() {
            waits[self.command(number)][self.boot(number)] = true;
            for (other, is_completed) in &machine.depends_on {
                let own = self.boot(number);
                if self.machines[*other].has_command && !is_completed {
                    waits[own][self.boot(*other)] = true;
                } else if self.has_steps(*other) {
                    let steps = self.steps.iter().enumerate().filter(|(_, (machine, _))| machine == other);
                    steps.for_each(|(step, _)| waits[own][step] = true);
                } else {
                    waits[own][self.command(*other)] = true;
                }
            }
        }
        for via in 0..count {
            for from in 0..count {
                for to in 0..count {
                    waits[from][to] |= waits[from][via] && waits[via][to];
                }
            }
        }
        waits
    }

    /// Whether something of one machine may run beside something of another.
    fn may_meet(&self, waits: &[Vec<bool>], a: usize, b: usize) -> bool {
        let runs = |machine: usize| {
            let steps = self.steps.iter().enumerate().filter(move |(_, (own, _))| *own == machine);
            let command = self.machines[machine].has_command.then(|| self.command(machine));
            steps.map(|(step, _)| step).chain(command).collect::<Vec<_>>()
        };
        runs(a).iter().any(|x| runs(b).iter().any(|y| !waits[*x][*y] && !waits[*y][*x]))
    }

    /// Whether a service that boots when the other machine has completed never meets it.
    fn may_be_kept_apart(&self, (a, b): (usize, usize)) -> bool {
        let mut ways = [(a, b), (b, a)].into_iter();
        ways.any(|(service, other)| {
            let mut more = self.clone();
            let waits = &mut more.machines[service].depends_on;
            waits.retain(|(said, _)| *said != other);
            waits.push((other, true));
            let waits = more.closure();
            let is_circular = more.is_circular() || (0..waits.len()).any(|at| waits[at][at]);
            let is_one = self.machines[service].has_command && self.has_steps(other);
            is_one && !is_circular && !more.may_meet(&waits, a, b)
        })
    }

    /// Whether machines wait for one another by `depends_on` alone.
    fn is_circular(&self) -> bool {
        let count = self.machines.len();
        let mut waits = vec![vec![false; count]; count];
        for (number, machine) in self.machines.iter().enumerate() {
            machine.depends_on.iter().for_each(|(other, _)| waits[number][*other] = true);
        }
        for via in 0..count {
            for from in 0..count {
                for to in 0..count {
                    waits[from][to] |= waits[from][via] && waits[via][to];
                }
            }
        }
        (0..count).any(|machine| waits[machine][machine])
    }
}

fn draft(is_forward: bool) -> impl Strategy<Value = Draft> {
    let machine = (prop::bool::weighted(0.3), prop::collection::vec((0_usize..8, prop::bool::weighted(0.3)), 0..3));
    let machine = machine.prop_map(|(has_command, depends_on)| DraftMachine { has_command, depends_on });
    let step = (0_usize..8, prop::option::of(prop::collection::vec(0_usize..16, 0..3)));
    (prop::collection::vec(machine, 2..5), prop::collection::vec(step, 0..9))
        .prop_map(move |(machines, steps)| Draft::new(machines, steps, is_forward))
}

fn check(text: &str) -> Vec<Diagnostic> {
    let files = MemoryFiles::new().folder("/project/out").file("/project/smolvm.yaml", text);
    let request = LoadRequest {
        files: vec![FileRequest::Path(PathBuf::from("/project/smolvm.yaml"))],
        current_folder: PathBuf::from("/project"),
        mode: Mode::Check,
        ..LoadRequest::default()
    };
    load(request, &files).diagnostics.iter().cloned().collect()
}

fn has(found: &[Diagnostic], code: u16) -> bool {
    found.iter().any(|found| found.code.0 == code)
}

/// The two machines of a remark.
fn pair(message: &str) -> (usize, usize) {
    let mut names = message.split("`m").skip(1).map(|rest| rest.split('`').next().unwrap().parse().unwrap());
    (names.next().unwrap(), names.next().unwrap())
}

/// The file with the lines of a help in it; `None` where the help has no line.
fn mended(text: &str, help: &str) -> Option<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut is_changed = false;
    for part in help.split("step `").skip(1) {
        let Some((id, rest)) = part.split_once("` wait, with `") else { continue };
        let needs = rest.split('`').next()?;
        let line = lines.iter_mut().find(|line| line.contains(&format!("id: {id},")))?;
        let start = line.find("needs: ").or_else(|| line.find("run: "))?;
        let rest = line[line.find("run: ")?..].to_owned();
        *line = format!("{}{needs}, {rest}", &line[..start]);
        is_changed = true;
    }
    if let Some((name, rest)) = help.split_once("machine `").and_then(|(_, rest)| rest.split_once("` wait, with `")) {
        let depends_on = rest.split('`').next()?;
        let line = lines.iter_mut().find(|line| line.starts_with(&format!("  {name}: ")))?;
        *line = format!("{}{depends_on} }}", &line[..line.find("depends_on: ")?]);
        is_changed = true;
    }
    is_changed.then(|| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_cycle_is_told_where_there_is_one(draft in draft(false)) {
        let found = check(&draft.text());
        let waits = draft.closure();
        prop_assert_eq!(has(&found, 206), draft.is_circular(), "{}", draft.text());
        if !draft.is_circular() {
            let is_cyclic = (0..waits.len()).any(|at| waits[at][at]);
            prop_assert_eq!(has(&found, 205), is_cyclic, "{}", draft.text());
        }
    }

    #[test]
    fn machines_that_may_meet_are_told_and_no_others(draft in draft(true)) {
        let text = draft.text();
        let found = check(&text);
        prop_assume!(!has(&found, 205));
        let waits = draft.closure();
        let mut told: Vec<(usize, usize)> =
            found.iter().filter(|found| found.code.0 == 108).map(|found| pair(&found.message)).collect();
        for (a, b) in &told {
            prop_assert!(draft.may_meet(&waits, *a, *b), "m{} and m{}:\n{}", a, b, text);
        }
        // Each machine is told of one of those above that it may meet.
        let meets = |own: &usize| (0..*own).any(|other| draft.may_meet(&waits, *own, other));
        let expected: Vec<usize> = (0..draft.machines.len()).filter(meets).collect();
        told.sort_by_key(|(_, later)| *later);
        prop_assert_eq!(told.iter().map(|(_, later)| *later).collect::<Vec<_>>(), expected, "{}", text);
    }

    #[test]
    fn what_the_help_says_mends_it_and_breaks_nothing(draft in draft(true)) {
        let text = draft.text();
        let before = check(&text);
        prop_assume!(!has(&before, 205));
        for found in before.iter().filter(|found| found.code.0 == 108) {
            let help = found.help.clone().unwrap_or_default();
            let services = {
                let (a, b) = pair(&found.message);
                [a, b].iter().filter(|machine| draft.machines[**machine].has_command).count()
            };
            let Some(mended) = mended(&text, &help) else {
                // More lines than anyone would write.
                let is_much = help.starts_with("let the steps of one machine wait");
                prop_assert!(services > 0 || is_much, "{}\n{}", help, text);
                prop_assert!(!draft.may_be_kept_apart(pair(&found.message)), "{}\n{}", help, text);
                continue;
            };
            let after = check(&mended);
            prop_assert!(!has(&after, 205) && !has(&after, 206), "{}\n{}", help, mended);
            prop_assert_eq!(has(&before, 209), has(&after, 209), "{}\n{}", help, mended);
            let is_left = after.iter().any(|other| other.code.0 == 108 && pair(&other.message) == pair(&found.message));
            prop_assert!(!is_left, "{}\n{}", help, mended);
        }
    }
}

#[test]
fn a_cycle_of_ten_thousand_steps_is_told_once_and_shortly() {
    let steps = (0..10_000).map(|step| format!("  - {{ id: s{step}, needs: [s{}], run: x }}", (step + 1) % 10_000));
    let text = format!("machines: {{ m: }}\nsteps:\n{}", steps.collect::<Vec<_>>().join("\n"));
    let found = check(&text);
    assert_eq!(found.len(), 1);
    assert!(found[0].labels.len() <= 12 && found[0].message.len() < 200, "{}", found[0].message);
}
