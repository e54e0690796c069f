//! Runs the program in a folder of its own and compares all that it says: standard output, standard error, exit code.
//!
//! What differs from run to run is redacted by one list. Deliberately not here: expectations.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

/// One run of the program.
pub(crate) struct Case {
    folder: TempDir,
    current: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    stdin: Vec<u8>,
    stdout: Option<String>,
    stderr: Option<String>,
    has_own_cache: bool,
}

impl Case {
    /// A case in an empty folder.
    pub(crate) fn new() -> Self {
        let folder = TempDir::with_prefix("smolvm-case-").unwrap();
        let project = folder.path().join("project");
        fs::create_dir(&project).unwrap();
        Self {
            folder,
            current: project,
            args: Vec::new(),
            env: Vec::new(),
            stdin: Vec::new(),
            stdout: None,
            stderr: None,
            has_own_cache: true,
        }
    }

    /// Folder of the project.
    pub(crate) fn project(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    /// Writes a file below the project's folder.
    pub(crate) fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.project().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Makes a folder below the project's folder.
    pub(crate) fn folder(self, name: &str) -> Self {
        fs::create_dir_all(self.project().join(name)).unwrap();
        self
    }

    /// Copies a folder of the repository into the project's folder.
    pub(crate) fn copy(self, folder: &Path) -> Self {
        copy_folder(folder, &self.project());
        self
    }

    /// Copies a folder of the repository into a folder below the project's.
    pub(crate) fn copy_to(self, folder: &Path, name: &str) -> Self {
        copy_folder(folder, &self.project().join(name));
        self
    }

    /// Runs in this folder, relative to the project's.
    pub(crate) fn current(mut self, name: &str) -> Self {
        self.current = self.project().join(name);
        self
    }

    /// Adds words of the command line.
    pub(crate) fn args<I: IntoIterator<Item = A>, A: Into<OsString>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable.
    pub(crate) fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Uses the invoking user's cache (of kernels), which a machine needs.
    pub(crate) fn with_shared_cache(mut self) -> Self {
        self.has_own_cache = false;
        self
    }

    /// Gives standard input.
    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Expects exactly this on standard output; nothing by default.
    pub(crate) fn stdout(mut self, text: &str) -> Self {
        self.stdout = Some(text.to_owned());
        self
    }

    /// Expects exactly this on standard error; nothing by default.
    pub(crate) fn stderr(mut self, text: &str) -> Self {
        self.stderr = Some(text.to_owned());
        self
    }

    /// Runs and compares all three.
    #[track_caller]
    pub(crate) fn exit(self, code: i32) {
        let output = self.run();
        let expected = render(&self.stdout.unwrap_or_default(), &self.stderr.unwrap_or_default(), Some(code));
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let folder = self.folder.path();
        let actual = render(&redact(&stdout, folder), &redact(&stderr, folder), output.status.code());
        assert!(expected == actual, "expected\n{expected}\nbut got\n{actual}");
    }

    /// Runs and gives what came out, as it is.
    pub(crate) fn run(&self) -> Output {
        let mut child = self.command().spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A program that does not read its input closes it; that is its right.
        let _ = stdin.write_all(&self.stdin);
        drop(stdin);
        child.wait_with_output().unwrap()
    }

    /// The command, ready to be started.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smolvm"));
        command.args(&self.args).current_dir(&self.current);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy().into_owned();
            if text.starts_with("SMOLVM_")
                || ["NO_COLOR", "CLICOLOR_FORCE", "GITHUB_ACTIONS", "GITLAB_CI"].contains(&&*text)
            {
                command.env_remove(name);
            }
        }
        command.env("XDG_STATE_HOME", self.folder.path().join("state"));
        command.env("XDG_CONFIG_HOME", self.folder.path().join("config"));
        if self.has_own_cache {
            command.env("XDG_CACHE_HOME", self.folder.path().join("cache"));
        }
        command.env("TZ", "UTC");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// All below a folder, with what the host knows of it; links are not followed.
pub(crate) fn all_below(folder: &Path) -> Vec<(PathBuf, fs::Metadata)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let data = fs::symlink_metadata(&path).unwrap();
            if data.is_dir() {
                open.push(path.clone());
            }
            found.push((path, data));
        }
    }
    found
}

/// Where the repository is.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// One machine test at a time: emulated machines are slow enough alone.
static MACHINES: Mutex<()> = Mutex::new(());

/// Why this host cannot run machines; asked once, for it does not change.
static HINDRANCE: LazyLock<Option<String>> = LazyLock::new(|| {
    let output = Case::new().args(["doctor"]).with_shared_cache().run();
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stdout).into_owned())
});

/// Leave to run machines, or none where this host cannot; then the reason has been said.
pub(crate) fn machines() -> Option<MutexGuard<'static, ()>> {
    let guard = MACHINES.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(reason) = &*HINDRANCE else { return Some(guard) };
    let _ = writeln!(std::io::stderr(), "skipped: this host cannot run machines\n{reason}");
    None
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn render(stdout: &str, stderr: &str, code: Option<i32>) -> String {
    let mut out = String::new();
    let _ = write!(out, "── stdout\n{stdout}── stderr\n{stderr}── exit {}\n", code.map_or(-1, |code| code));
    out
}

/// Folder of the case, ids of projects and runs below its state, times of day and durations, version.
pub(crate) fn redact(text: &str, folder: &Path) -> String {
    let text = text.replace(&folder.join("project").display().to_string(), "[PROJECT]");
    let text = text.replace(&folder.display().to_string(), "[CASE]");
    let text = text.replace(concat!("smolvm ", env!("CARGO_PKG_VERSION")), "smolvm [VERSION]");
    text.split_inclusive('\n').map(|line| redact_state(redact_seconds(redact_clock(line)))).collect()
}

/// `12:34:56 ` at the start of a line.
fn redact_clock(line: &str) -> String {
    let bytes = line.as_bytes();
    let is_clock = bytes.len() > 8
        && (0..8).all(|place| if place % 3 == 2 { bytes[place] == b':' } else { bytes[place].is_ascii_digit() });
    if is_clock { format!("[TIME]{}", &line[8..]) } else { line.to_owned() }
}

/// `in 1.2s`, `in 1m 05s`.
fn redact_seconds(line: String) -> String {
    let Some((before, after)) = line.split_once(" in ") else { return line };
    let length = after.find(|character: char| !character.is_ascii_digit() && !". ms".contains(character));
    let taken = after[..length.unwrap_or(after.len())].trim_end().len();
    if taken > 1 && after.starts_with(|character: char| character.is_ascii_digit()) {
        format!("{before} in [SECONDS]{}", &after[taken..])
    } else {
        line
    }
}

/// `[CASE]/state/smolvm/acme-0123456789ab/runs/20260301T120000000Z/`.
fn redact_state(line: String) -> String {
    let Some((before, after)) = line.split_once("[CASE]/state/smolvm/") else { return line };
    let parts: Vec<&str> = after.splitn(4, '/').collect();
    match parts.as_slice() {
        [project, "runs", _, rest] => {
            let name = project.rsplit_once('-').map_or(*project, |(name, _)| name);
            format!("{before}[CASE]/state/smolvm/{name}-[ID]/runs/[ID]/{rest}")
        }
        _ => line,
    }
}
