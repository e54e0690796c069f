//! Machines that run as another file than today's said: what the file makes of each now, beside what runs.
//!
//! Deliberately not here: what of a machine makes it another one (`run::shape`).

use std::collections::HashMap;

use crate::config::Project;
use crate::plan::{self, Selection};
use crate::run::{self, MachineView, RunView};

/// What the file makes of each machine now, by name.
#[derive(Debug, Default)]
pub(crate) struct Shapes(HashMap<String, String>);

impl Shapes {
    /// Of a project on this host; nothing where it cannot be planned, which is another matter.
    pub(crate) fn of(project: &Project) -> Self {
        let plan = plan::build(project, &crate::host::facts(), &Selection::all().held()).ok();
        let machines = plan.map(|plan| plan.machines).unwrap_or_default();
        Self(machines.iter().map(|machine| (machine.name.clone(), run::shape(machine))).collect())
    }

    /// Those, for tests.
    #[cfg(test)]
    pub(crate) fn these<const N: usize>(shapes: [(&str, &str); N]) -> Self {
        Self(shapes.iter().map(|(name, shape)| ((*name).to_owned(), (*shape).to_owned())).collect())
    }

    /// Whether a machine that is up is another one than the file says now.
    pub(crate) fn is_older(&self, machine: &MachineView) -> bool {
        !machine.is_down() && self.0.get(&machine.name).is_some_and(|shape| *shape != machine.shape)
    }

    /// Whether a machine that is up is none of the file's any more.
    pub(crate) fn is_dropped(&self, machine: &MachineView) -> bool {
        !machine.is_down() && !self.0.is_empty() && !self.0.contains_key(&machine.name)
    }

    /// That machines which were started again are still what an older file says, in words; nothing where none is. Of
    /// those that are named, or of all.
    pub(crate) fn warn(&self, view: &RunView, names: &[String]) -> Option<String> {
        let is_meant = |machine: &&MachineView| names.is_empty() || names.contains(&machine.name);
        let older = view.machines.iter().filter(is_meant).filter(|machine| self.is_older(machine));
        let older: Vec<String> = older.map(|machine| format!("`{}`", machine.name)).collect();
        let (machines, run) = match older.len() {
            0 => return None,
            1 => ("machine", "runs"),
            _ => ("machines", "run"),
        };
        let words = format!("{machines} {} still {run} an older file", older.join(", "));
        Some(format!("warning: {words}: `smolvm up -d` starts anew what has changed\n"))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{FileRequest, LoadRequest, MemoryFiles, Mode};

    const FILE: &str = "
env: { FROM_FILE: one }
machines:
  db:
    image: debian:12
    memory: 512MiB
    env: { A: \"1\", B: \"${B:-two}\" }
    env_file: [db.env]
    mounts: [{ source: ./data, target: /data, readonly: false }]
    command: [serve, --fast]
    healthcheck: { test: [ready], interval: 1s, retries: 4 }
    restart: on-failure
  other: { image: host }
steps:
  - { id: unit, machine: other, run: echo }
";

    fn shapes(file: &str, more: &[(&str, &str)]) -> HashMap<String, String> {
        let mut files = MemoryFiles::new().folder("/code/data").file("/code/smolvm.yaml", file);
        for (name, text) in [("db.env", "C=3\n")].iter().chain(more) {
            files = files.file(format!("/code/{name}"), *text);
        }
        let request = LoadRequest {
            files: vec![FileRequest::Path("/code/smolvm.yaml".into())],
            current_folder: Path::new("/code").to_owned(),
            mode: Mode::Check,
            ..LoadRequest::default()
        };
        let loaded = crate::config::load(request, &files);
        let project = loaded.project.unwrap();
        assert!(!loaded.diagnostics.has_errors(), "{:?}", loaded.diagnostics);
        Shapes::of(&project).0
    }

    /// Whether `db` is another machine; the other one is not in any case.
    fn differs(file: &str, more: &[(&str, &str)]) -> bool {
        let (before, after) = (shapes(FILE, &[]), shapes(file, more));
        assert_eq!(before["other"], after["other"]);
        before["db"] != after["db"]
    }

    #[test]
    fn what_is_only_written_in_another_way_is_no_other_machine() {
        for (from, to) in [
            ("machines:", "# a comment\nmachines: # and another"),
            ("memory: 512MiB", "memory: 512"),
            (
                "env: { A: \"1\", B: \"${B:-two}\" }\n    env_file: [db.env]",
                "env_file: [db.env]\n    env: { B: two, A: 1 }",
            ),
            ("[{ source: ./data, target: /data, readonly: false }]", "[./data:/data]"),
            ("{ test: [ready], interval: 1s, retries: 4 }", "{ retries: 4, interval: 1000ms, test: [ready] }"),
            ("run: echo", "run: another step"),
            ("  other: { image: host }\n", "  new: { image: host }\n  other: { image: host }\n"),
            ("    image: debian:12\n    memory: 512MiB\n", "    memory: 512MiB\n    image: debian:12\n"),
        ] {
            assert!(FILE.contains(from), "{from}");
            assert!(!differs(&FILE.replacen(from, to, 1), &[]), "{to}");
        }
        assert!(!differs(FILE, &[("db.env", "# a comment\n\nC=3\n")]));
        assert!(!differs(FILE, &[(".env", "UNUSED=1\n")]));
    }

    #[test]
    fn what_a_machine_is_made_of_makes_it_another_one() {
        for (from, to) in [
            ("readonly: false", "readonly: true"),
            ("A: \"1\"", "A: \"2\""),
            ("image: debian:12", "image: debian:13"),
            ("retries: 4", "retries: 5"),
            ("interval: 1s", "interval: 2s"),
            ("[ready]", "[ready, -q]"),
            ("--fast", "--slow"),
            ("restart: on-failure", "restart: always"),
            ("target: /data", "target: /datum"),
        ] {
            assert!(FILE.contains(from), "{from}");
            assert!(differs(&FILE.replacen(from, to, 1), &[]), "{to}");
        }
        assert!(differs(FILE, &[("db.env", "C=4\n")]), "the content of an env file");
        let of_file = shapes(&FILE.replacen("FROM_FILE: one", "FROM_FILE: two", 1), &[]);
        assert_ne!(of_file["db"], shapes(FILE, &[])["db"], "what the file gives all of its machines");
        assert!(differs(FILE, &[(".env", "B=three\n")]), "a variable that it uses");
        let lock = "version 1\ndocker.io/library/debian:12 linux/amd64 sha256:";
        let locked = |digit: &str| shapes(FILE, &[("smolvm.lock", &format!("{lock}{}\n", digit.repeat(64)))]);
        assert_ne!(locked("a")["db"], locked("b")["db"], "the digest of its image");
        assert_eq!(locked("a")["other"], locked("b")["other"]);
    }

    #[test]
    fn machines_that_run_an_older_file_are_named() {
        let plan = crate::run::tests::plans::plan(vec![
            crate::run::tests::plans::step("a@one", &[]),
            crate::run::tests::plans::step("b@two", &[]),
        ]);
        let mut view = run::view_of(&plan);
        view.machines.iter_mut().for_each(|machine| machine.phase = Some(crate::event::MachinePhase::Ready));
        let own = view.machines[1].shape.clone();
        let shapes = Shapes::these([("one", "another"), ("two", &own)]);
        let warning = "warning: machine `one` still runs an older file: `smolvm up -d` starts anew what has changed\n";
        assert_eq!(shapes.warn(&view, &[]).as_deref(), Some(warning));
        assert_eq!(shapes.warn(&view, &["two".to_owned()]), None);
        let both = Shapes::these([("one", "another"), ("two", "another")]);
        assert!(both.warn(&view, &[]).unwrap().contains("machines `one`, `two` still run an older file"));
    }
}
