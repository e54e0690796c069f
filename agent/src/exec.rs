//! Starts a command: user, home, script, program, environment, group, pipes, and the pump that serves them.

use std::ffi::{CString, OsStr, OsString};
use std::fmt::Display;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use smolvm_agent::{Command, Exec, Failure, FailureKind, GuestUser, Report, Streams};

use crate::cgroups::Cgroup;
use crate::commands::Commands;
use crate::ends::{self, Ends};
use crate::pump::Pump;
use crate::sys::{self, Identity, Launch, LaunchError, LaunchStage};
use crate::users::resolve_user;
use crate::wire::{Reports, write_message};

/// Where scripts are written.
pub(crate) const SCRIPTS: &str = "/run/smolvm/steps";

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Largest account file of an image that is read.
const ACCOUNTS_MAX: u64 = 16 << 20;

/// Homes that accounts without a home name; they are not made.
const NO_HOMES: &[&str] = &["/", "/nonexistent", "/dev/null", "/var/empty", "/proc"];

fn failure(kind: FailureKind, message: String) -> Failure {
    Failure { kind, message }
}

fn other(what: &str, error: &io::Error) -> Failure {
    failure(FailureKind::Other, format!("{what}: {error}"))
}

/// Looks a user up in the image's files.
pub(crate) fn look_user_up(wanted: &str) -> Result<GuestUser, Failure> {
    let passwd = read_accounts("/etc/passwd")?;
    let group = read_accounts("/etc/group")?;
    resolve_user(wanted, &passwd, &group).map_err(|message| failure(FailureKind::User, message))
}

/// The text of an account file; empty where there is none. What is no file is not opened: a step may have put a pipe
/// there, which would never end.
fn read_accounts(path: &str) -> Result<String, Failure> {
    let Some(found) = fs::metadata(path).ok().filter(fs::Metadata::is_file) else {
        return Ok(String::new());
    };
    let size = found.len();
    if size > ACCOUNTS_MAX {
        return Err(failure(FailureKind::User, format!("`{path}` of the image is {size} bytes long")));
    }
    Ok(fs::read(path).map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Starts a command; its output and its end are reported by a thread of its own. `stream` is the one that the host has
/// opened for it.
pub(crate) fn start(
    exec: Exec,
    stream: Option<File>,
    hostname: &str,
    commands: &Arc<Commands>,
    reports: &Arc<Reports>,
) -> Result<(), Failure> {
    commands.forget_ended();
    if commands.is_known(exec.id) {
        return Err(failure(FailureKind::Other, format!("command {} runs already", exec.id)));
    }
    let stream = exec.streams.is_some().then_some(stream).flatten();
    if exec.streams.is_some() && stream.is_none() {
        return Err(failure(FailureKind::Other, "the host has opened no stream for the command".to_owned()));
    }
    let user = look_user_up(&exec.user)?;
    make_home(&user);
    let arguments = arguments(&exec.command)?;
    let environment = environment(&exec, &user, hostname);
    let program = arguments.first().cloned().unwrap_or_default();
    let programs = candidates(&program, &environment);
    let working_dir = exec.working_dir.clone().unwrap_or_else(|| "/".into());
    if exec.is_working_dir_made {
        // Where it cannot be made, the command does not start, and says why.
        make_in_layer(Path::new(&working_dir));
    }
    let identity = Identity { uid: user.uid, gid: user.gid, groups: user.groups.clone() };

    let cgroup = Arc::new(Cgroup::create(exec.id).map_err(|error| other("cannot make the command's group", &error))?);
    let plan = Plan {
        exec: exec.id,
        programs: c_strings(&programs)?,
        arguments: c_strings(&arguments)?,
        environment: c_strings(&environment)?,
        working_dir: c_string(&working_dir)?,
        identity,
        streams: exec.streams,
    };
    let (pump, input) = plan
        .launch(&cgroup, commands)
        .map_err(|error| explain(&error, &program, &programs, &working_dir, &exec.user))?;
    let has_ended = Arc::new(AtomicBool::new(false));
    let is_terminal = matches!(plan.streams, Some(Streams::Terminal(_)));
    if let Some((stream, input)) = stream.as_ref().zip(input) {
        let stream = stream.try_clone().map_err(|error| other("cannot serve the command's input", &error))?;
        let has_ended = Arc::clone(&has_ended);
        let feed = move || ends::feed(&stream, input, is_terminal, &has_ended);
        thread::Builder::new()
            .name("input".to_owned())
            .spawn(feed)
            .map_err(|error| other("cannot serve the command's input", &error))?;
    }
    spawn_pump(pump, Outlet { stream, has_ended }, cgroup, commands, reports)
}

/// Where what a command says goes, and who else must know of its end.
struct Outlet {
    stream: Option<File>,
    has_ended: Arc<AtomicBool>,
}

impl Outlet {
    /// Tells whether more is wanted.
    fn send(&self, report: &Report, reports: &Reports) -> bool {
        match (&self.stream, report) {
            (Some(stream), Report::Output { .. }) => return write_message(stream, report).is_ok(),
            (Some(stream), Report::Exited { .. }) => {
                self.has_ended.store(true, Ordering::Relaxed);
                // A host that has closed it knows.
                let _ = sys::end_writing(stream);
            }
            _ => {}
        }
        reports.send(report);
        true
    }
}

/// Serves a command's output on a thread.
fn spawn_pump(
    pump: Pump,
    outlet: Outlet,
    cgroup: Arc<Cgroup>,
    commands: &Arc<Commands>,
    reports: &Arc<Reports>,
) -> Result<(), Failure> {
    let (commands, reports) = (Arc::clone(commands), Arc::clone(reports));
    commands.pump_began();
    let counted = Arc::clone(&commands);
    let serve = move || {
        let exec = pump.exec;
        let send = |report| {
            let is_wanted = outlet.send(&report, &reports);
            if !is_wanted {
                commands.hang_up(exec);
            }
            is_wanted
        };
        pump.run(&send, &|| cgroup.has_run_out_of_memory());
        commands.pump_ended();
        commands.forget_ended();
    };
    thread::Builder::new().name("pump".to_owned()).spawn(serve).map(drop).map_err(|error| {
        counted.pump_ended();
        other("cannot serve the command's output", &error)
    })
}

/// Everything about a command, in the form that the kernel takes.
struct Plan {
    exec: u64,
    programs: Vec<CString>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    working_dir: CString,
    identity: Identity,
    streams: Option<Streams>,
}

impl Plan {
    /// Starts it; returns who serves its output, and where its input goes.
    fn launch(&self, cgroup: &Arc<Cgroup>, commands: &Commands) -> Result<(Pump, Option<File>), LaunchError> {
        let prepare = |error| LaunchError { stage: LaunchStage::Prepare, error };
        let Ends { child, stdout, stderr, input, terminal } =
            Ends::make(self.streams.as_ref(), self.identity.uid).map_err(prepare)?;
        let (end, told) = sys::pipe().map_err(prepare)?;
        let entrance = cgroup.entrance().map_err(prepare)?;
        let launch = Launch {
            programs: &self.programs,
            arguments: &self.arguments,
            environment: &self.environment,
            working_dir: &self.working_dir,
            identity: Some(&self.identity),
            cgroup: Some(entrance.as_fd()),
            stdin: child[0].as_fd(),
            stdout: child[1].as_fd(),
            stderr: child[2].as_fd(),
            has_terminal: terminal.is_some(),
        };
        let forked = commands.fork(self.exec, Arc::clone(cgroup), &launch, told, terminal).map_err(prepare)?;
        drop(child);
        forked.wait_program()?;
        Ok((Pump { exec: self.exec, stdout, stderr, end }, input))
    }
}

/// The words of a command. A script is written to its file first.
fn arguments(command: &Command) -> Result<Vec<OsString>, Failure> {
    let words = match command {
        Command::List(words) => words.clone(),
        Command::Script { name, text, shell } => {
            if name.is_empty() || name.contains(['/', '\0']) || name == "." || name == ".." || name.len() > 255 {
                return Err(failure(FailureKind::Other, format!("`{name}` is no name for a script")));
            }
            let path = format!("{SCRIPTS}/{name}");
            fs::write(&path, text).map_err(|error| other("cannot write the script", &error))?;
            shell.iter().cloned().chain([path]).map(OsString::from).collect()
        }
    };
    if words.first().is_none_or(|word| word.is_empty()) {
        return Err(failure(FailureKind::NotFound, "the command is empty".to_owned()));
    }
    Ok(words)
}

/// The environment as `NAME=value`, a name once; later ones win.
fn environment(exec: &Exec, user: &GuestUser, hostname: &str) -> Vec<OsString> {
    let mut own: Vec<(&str, &str)> = vec![("PATH", DEFAULT_PATH), ("HOME", &user.home), ("HOSTNAME", hostname)];
    if let Some(Streams::Terminal(terminal)) = &exec.streams {
        own.push(("TERM", &terminal.kind));
    }
    if let Some(name) = &user.name {
        own.extend([("USER", name.as_str()), ("LOGNAME", name)]);
    }
    let mut env: Vec<(&OsStr, &OsStr)> =
        own.into_iter().map(|(name, value)| (OsStr::new(name), OsStr::new(value))).collect();
    for (name, value) in &exec.env {
        match env.iter_mut().find(|(known, _)| *known == name) {
            Some(entry) => entry.1 = value,
            None => env.push((name.as_os_str(), value.as_os_str())),
        }
    }
    let entry = |(name, value): &(&OsStr, &OsStr)| [name.as_bytes(), b"=", value.as_bytes()].concat();
    env.iter().map(|pair| OsString::from_vec(entry(pair))).collect()
}

/// The files that may be the program, in order, as execvp(3) looks for them.
fn candidates(program: &OsStr, environment: &[OsString]) -> Vec<OsString> {
    if program.as_bytes().contains(&b'/') {
        return vec![program.to_owned()];
    }
    let path = environment.iter().find_map(|entry| entry.as_bytes().strip_prefix(b"PATH=")).unwrap_or_default();
    path.split(|byte| *byte == b':')
        .map(|folder| if folder.is_empty() { &b"."[..] } else { folder })
        .map(|folder| OsString::from_vec([folder, b"/", program.as_bytes()].concat()))
        .collect()
}

fn c_string(text: &OsStr) -> Result<CString, Failure> {
    CString::new(text.as_bytes())
        .map_err(|_| failure(FailureKind::Other, "the command or its environment has a NUL".to_owned()))
}

fn c_strings(texts: &[OsString]) -> Result<Vec<CString>, Failure> {
    texts.iter().map(|text| c_string(text)).collect()
}

/// Says why a command did not start, by its kind.
fn explain(error: &LaunchError, program: &OsStr, programs: &[OsString], working_dir: &OsStr, user: &str) -> Failure {
    let code = error.error.raw_os_error();
    let (program, working_dir) = (program.display(), working_dir.display());
    let why = &error.error;
    match error.stage {
        LaunchStage::Prepare => other("cannot start the command", why),
        LaunchStage::Identity => failure(FailureKind::User, format!("cannot become user `{user}`: {why}")),
        LaunchStage::WorkingDir => {
            let message = match code {
                Some(libc::ENOENT) => format!("the working folder `{working_dir}` does not exist"),
                Some(libc::ENOTDIR) => format!("the working folder `{working_dir}` is not a folder"),
                Some(libc::EACCES) => format!("user `{user}` may not enter the working folder `{working_dir}`"),
                _ => format!("cannot enter the working folder `{working_dir}`: {why}"),
            };
            failure(FailureKind::WorkingDir, message)
        }
        LaunchStage::Program => explain_program(code, why, &program, programs, user),
    }
}

fn explain_program(
    code: Option<i32>,
    why: &io::Error,
    program: &impl Display,
    programs: &[OsString],
    user: &str,
) -> Failure {
    match code {
        // What is there and yet "does not exist" lacks the interpreter that it names.
        Some(libc::ENOENT) => match programs.iter().find(|file| Path::new(file).exists()) {
            Some(file) => failure(
                FailureKind::CannotRun,
                format!("cannot run `{}`: the interpreter or loader that it names does not exist", file.display()),
            ),
            None => failure(FailureKind::NotFound, format!("there is no program `{program}` in the machine")),
        },
        Some(libc::EACCES) => {
            failure(FailureKind::CannotRun, format!("user `{user}` may not run `{program}`: it is not executable"))
        }
        Some(libc::ENOEXEC) => failure(
            FailureKind::CannotRun,
            format!("cannot run `{program}`: it is neither a program of this machine nor does it begin with `#!`"),
        ),
        _ => failure(FailureKind::CannotRun, format!("cannot run `{program}`: {why}")),
    }
}

/// Makes the user's home where it is missing and would lie in the machine's own writable layer. A command can run
/// without one, so nothing fails here.
fn make_home(user: &GuestUser) {
    let home = Path::new(&user.home);
    if !NO_HOMES.contains(&user.home.as_str()) && make_in_layer(home) {
        let _ = chown(home, Some(user.uid), Some(user.gid));
    }
}

/// Makes a folder, with those above it, where it is missing and would lie in the machine's own writable layer: nothing
/// is made on the host. Tells whether it was made.
fn make_in_layer(folder: &Path) -> bool {
    if !folder.is_absolute() || folder.exists() {
        return false;
    }
    let Some(above) = folder.ancestors().skip(1).find(|above| above.exists()) else {
        return false;
    };
    let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
    if device(above) != device(Path::new("/")) {
        return false;
    }
    folder.parent().is_some_and(|parent| fs::create_dir_all(parent).is_ok()) && fs::create_dir(folder).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn exec(env: &[(&str, &str)]) -> Exec {
        Exec {
            id: 1,
            command: Command::List(vec!["true".into()]),
            env: env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            working_dir: None,
            is_working_dir_made: false,
            user: "root".into(),
            streams: None,
        }
    }

    fn joe() -> GuestUser {
        GuestUser { name: Some("joe".into()), uid: 1000, gid: 1000, groups: vec![1000], home: "/home/joe".into() }
    }

    #[test]
    fn environment_is_the_users_with_the_commands_own_above() {
        let env = environment(&exec(&[("A", "1"), ("HOME", "/x"), ("A", "2")]), &joe(), "box");
        let path = format!("PATH={DEFAULT_PATH}");
        assert_eq!(env, [path.as_str(), "HOME=/x", "HOSTNAME=box", "USER=joe", "LOGNAME=joe", "A=2"]);
    }

    #[test]
    fn program_without_a_slash_is_looked_for_in_the_commands_own_path() {
        let env = [OsString::from_vec(b"PATH=/a::/\xff".to_vec())];
        assert_eq!(candidates(OsStr::new("x"), &env)[..2], ["/a/x", "./x"]);
        assert_eq!(candidates(OsStr::new("x"), &env)[2].as_bytes(), b"/\xff/x");
        assert_eq!(candidates(OsStr::new("./x"), &env), ["./x"]);
    }

    #[test]
    fn script_name_cannot_leave_its_folder() {
        for name in ["../x", "a/b", "", "..", "."] {
            let command = Command::Script { name: name.into(), text: String::new(), shell: vec!["sh".into()] };
            assert!(arguments(&command).is_err(), "{name}");
        }
    }

    /// Runs a program as this process and gives its output, or the kind of its failure.
    fn run(program: &str, words: &[&str], working_dir: &str) -> Result<String, FailureKind> {
        let working_dir = OsStr::new(working_dir);
        let program = OsStr::new(program);
        let arguments: Vec<OsString> =
            [program].into_iter().chain(words.iter().map(OsStr::new)).map(OsStr::to_owned).collect();
        let environment = ["PATH=/usr/bin:/bin".into(), OsString::from_vec(b"A=1\xff".to_vec())];
        let programs = candidates(program, &environment);
        let (mut stdout, out) = sys::pipe().expect("a pipe");
        let null = sys::open_null().expect("there is /dev/null");
        let launch = Launch {
            programs: &c_strings(&programs).expect("no NUL"),
            arguments: &c_strings(&arguments).expect("no NUL"),
            environment: &c_strings(&environment).expect("no NUL"),
            working_dir: &c_string(working_dir).expect("no NUL"),
            identity: None,
            cgroup: None,
            stdin: null.as_fd(),
            stdout: out.as_fd(),
            stderr: out.as_fd(),
            has_terminal: false,
        };
        let forked = sys::fork_child(&launch).expect("fork works");
        drop(out);
        let started = forked.wait_program();
        let mut text = String::new();
        stdout.read_to_string(&mut text).expect("it is text");
        started.map(|()| text).map_err(|error| explain(&error, program, &programs, working_dir, "root").kind)
    }

    #[test]
    fn child_has_its_own_session_folder_and_environment() {
        let text = run(
            "sh",
            &[
                "-c",
                "cat; pwd; umask; test \"$A\" = \"$(printf '1\\377')\" && echo bytes; ulimit -n; ulimit -Hn; ps -o sid= -p $$ | tr -d ' ' | grep -qx $$ && echo own",
            ],
            "/usr",
        );
        let text = text.expect("there is a shell");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..3], ["/usr", "0022", "bytes"], "{text}");
        // As many open files as servers ask for, where more may be had.
        let [soft, hard] = [lines[3], lines[4]].map(|line| line.parse::<u64>().unwrap_or(u64::MAX));
        assert_eq!(soft, hard.min(65_536), "{text}");
        assert_eq!(lines[5], "own", "{text}");
    }

    #[test]
    fn failures_are_told_apart() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name).to_str().expect("it is text").to_owned();
        fs::write(path("plain"), "x").expect("it is written");
        fs::write(path("orphan"), "#!/nonexistent/interpreter\n").expect("it is written");
        fs::set_permissions(path("orphan"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("it is ours");
        assert_eq!(run("no-such-program", &[], "/"), Err(FailureKind::NotFound));
        assert_eq!(run(&path("plain"), &[], "/"), Err(FailureKind::CannotRun));
        assert_eq!(run(&path("orphan"), &[], "/"), Err(FailureKind::CannotRun));
        assert_eq!(run("true", &[], &path("missing")), Err(FailureKind::WorkingDir));
        assert_eq!(run("true", &[], &path("plain")), Err(FailureKind::WorkingDir));
    }
}
