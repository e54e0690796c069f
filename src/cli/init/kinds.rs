//! The kinds of project that are known, and what each adds to the file: Cargo, Node.js, Python and Make.

use super::look::{Folder, Program};

/// What a kind of project adds.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// Its name, for people.
    pub(super) title: &'static str,
    /// Whether its steps write beside the sources.
    pub(super) writes_in_place: bool,
    /// Whether it needs more memory than a machine has by default.
    pub(super) is_large: bool,
    /// Mounts, and what each is for.
    pub(super) mounts: Vec<(String, &'static str)>,
    /// Variables.
    pub(super) env: Vec<(&'static str, String)>,
    /// Folders of programs, before those of the image.
    pub(super) path: Vec<String>,
    /// Steps.
    pub(super) steps: Vec<Step>,
    /// What the user should know before the first run.
    pub(super) remarks: Vec<String>,
}

/// A step.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) id: String,
    /// A line above it.
    pub(super) comment: Option<String>,
    pub(super) run: String,
    pub(super) output: Option<&'static str>,
}

fn step(id: &str, run: impl Into<String>) -> Step {
    Step { id: id.to_owned(), comment: None, run: run.into(), output: None }
}

/// Every kind that the folder is.
pub(super) fn parts(folder: &Folder<'_>) -> Vec<Part> {
    [cargo(folder), node(folder), python(folder), make(folder)].into_iter().flatten().collect()
}

/// A part for a program that may lie in a home.
fn with_program(part: &mut Part, folder: &Folder<'_>, name: &str, target: &'static str, bin: &'static str) {
    match folder.program(name) {
        Program::Seen => {}
        Program::InHome(home) => {
            part.mounts.push((format!("{home}:{target}:ro"), "homes are hidden from machines; this one folder is not"));
            part.path.push(bin.to_owned());
        }
        Program::Aside(bin) => part.path.push(bin),
        Program::Nowhere => part.remarks.push(nowhere(name)),
    }
}

fn nowhere(name: &str) -> String {
    format!(
        "`{name}` was not found where machines see it; install it for all users, or give the machine an `image` that has it"
    )
}

fn cargo(folder: &Folder<'_>) -> Option<Part> {
    if !folder.has_file("Cargo.toml") {
        return None;
    }
    let has_lock = folder.has_file("Cargo.lock");
    let mut part = Part { title: "Cargo", writes_in_place: !has_lock, is_large: true, ..Part::default() };
    let rustup = folder.own_folder("RUSTUP_HOME", ".rustup");
    match folder.program("cargo") {
        Program::InHome(home) => {
            part.mounts
                .push((format!("{home}/bin:/opt/cargo/bin:ro"), "the toolchain: homes are hidden from machines"));
            part.path.push("/opt/cargo/bin".to_owned());
            if let Some(rustup) = rustup {
                part.mounts.push((format!("{rustup}:/opt/rustup:ro"), "the toolchain, too"));
                part.env.push(("RUSTUP_HOME", "/opt/rustup".to_owned()));
            }
        }
        Program::Aside(bin) => {
            part.path.push(bin);
            part.env.extend(rustup.filter(|path| path.starts_with('/')).map(|path| ("RUSTUP_HOME", path)));
        }
        Program::Seen => {}
        Program::Nowhere => part.remarks.push(nowhere("cargo")),
    }
    part.env.extend([("CARGO_HOME", "/opt/cargo".to_owned()), ("CARGO_TARGET_DIR", "/out/target".to_owned())]);
    for name in ["registry", "git"] {
        let own = folder.own_folder("CARGO_HOME", ".cargo").filter(|own| folder.holds(own, name));
        part.mounts.extend(own.map(|own| {
            let mount = format!("{{ type: overlay, source: {own}/{name}, target: /opt/cargo/{name} }}");
            (mount, "crates that are here; a guest changes none")
        }));
    }
    let has_dependencies = folder.text("Cargo.toml").contains("dependencies");
    if has_dependencies && !folder.has("vendor") {
        part.remarks.push("machines have no network: `cargo fetch` gets the crates that they see".to_owned());
    }
    let flags = if has_lock { "--offline --locked" } else { "--offline" };
    let mut build = step("cargo-build", format!("cargo build {flags}"));
    build.output = Some("/out/target");
    part.steps = vec![build, step("cargo-test", format!("cargo test {flags}"))];
    Some(part)
}

fn node(folder: &Folder<'_>) -> Option<Part> {
    if !folder.has_file("package.json") {
        return None;
    }
    let (manager, title) = match () {
        () if folder.has("pnpm-lock.yaml") => ("pnpm", "pnpm"),
        () if folder.has("yarn.lock") => ("yarn", "Yarn"),
        () => ("npm", "npm"),
    };
    let mut part = Part { title, writes_in_place: true, is_large: true, ..Part::default() };
    with_program(&mut part, folder, "node", "/opt/node", "/opt/node/bin");
    if manager != "npm" && folder.program(manager) == Program::Nowhere {
        part.remarks.push(format!("`{manager}` was not found where machines see it; install it for all users"));
    }
    let package: serde_json::Value = serde_json::from_str(&folder.text("package.json")).unwrap_or_default();
    let has = |key: &str| package[key].as_object().is_some_and(|entries| !entries.is_empty());
    if (has("dependencies") || has("devDependencies")) && !folder.has("node_modules") {
        part.remarks.push(format!("machines have no network: run `{manager} install` before `smolvm up`"));
    }
    let scripts = ["build", "lint", "test"].into_iter().filter(|script| package["scripts"][script].is_string());
    part.steps =
        scripts.map(|script| step(&format!("{manager}-{script}"), format!("{manager} run {script}"))).collect();
    if part.steps.is_empty() {
        let mut first = step("node", "node --version");
        first.comment = Some("`package.json` has no script `build`, `lint` or `test`: write what is to run".to_owned());
        part.steps.push(first);
    }
    Some(part)
}

fn python(folder: &Folder<'_>) -> Option<Part> {
    let files = ["pyproject.toml", "requirements.txt", "setup.py", "setup.cfg"];
    if !files.iter().any(|name| folder.has_file(name)) {
        return None;
    }
    let mut part = Part { title: "Python", writes_in_place: true, ..Part::default() };
    let venv = [".venv", "venv"].into_iter().find(|name| folder.has(&format!("{name}/bin/python3")));
    let python = venv.map_or_else(|| "python3".to_owned(), |name| format!("{name}/bin/python3"));
    with_program(&mut part, folder, "python3", "/opt/python", "/opt/python/bin");
    if venv.is_none() {
        part.remarks.push(
            "machines have no network: packages come from a virtual environment, as `python3 -m venv .venv` makes it, \
             or from this computer"
                .to_owned(),
        );
    }
    part.steps.push(step("python-compile", format!("{python} -m compileall -q -x '/\\.?venv/' .")));
    let has_pytest = venv.is_some_and(|name| folder.has(&format!("{name}/bin/pytest")));
    if has_pytest {
        part.steps.push(step("python-test", format!("{python} -m pytest")));
    } else if folder.has("tests") || folder.has("test") {
        let tests = if folder.has("tests") { "tests" } else { "test" };
        // Tests that are a package import each other from the project's folder.
        let top = if folder.has(&format!("{tests}/__init__.py")) { " -t ." } else { "" };
        part.steps.push(step("python-test", format!("{python} -m unittest discover -s {tests}{top}")));
    }
    Some(part)
}

fn make(folder: &Folder<'_>) -> Option<Part> {
    let file = ["GNUmakefile", "makefile", "Makefile"].into_iter().find(|name| folder.has_file(name))?;
    let mut part = Part { title: "Make", writes_in_place: true, ..Part::default() };
    with_program(&mut part, folder, "make", "/opt/make", "/opt/make/bin");
    let text = folder.text(file);
    let has = |target: &str| {
        text.lines().any(|line| {
            let rest = line.strip_prefix(target).map(str::trim_start);
            rest.is_some_and(|rest| rest.starts_with(':') && !rest.starts_with(":="))
        })
    };
    let mut all = step("make", "make");
    all.comment = Some("what is to stay goes to /out, as with `cp app /out/`".to_owned());
    part.steps.push(all);
    if let Some(target) = ["check", "test"].into_iter().find(|target| has(target)) {
        part.steps.push(step(&format!("make-{target}"), format!("make {target}")));
    }
    Some(part)
}
