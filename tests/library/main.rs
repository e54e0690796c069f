//! The library as a program uses it: the examples of its page in real machines, and what a careless caller does.
//!
//! It is a program of its own, because machines are served by children that are this very program. It runs itself again
//! in a world of its own, as whoever runs the tests, and as an ordinary user where that is root. Deliberately not here:
//! the rules of a config (`config`).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stdout, reason = "a harness of its own tells what passed")]

use std::error::Error;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

#[path = "../../examples/library/main.rs"]
#[expect(dead_code, reason = "its `main` is not this program's")]
mod example;

mod cancel;
mod streams;

use smolvm::{Machine, MachineConfig, MachineError, MountSpec};

type Outcome = Result<(), Box<dyn Error>>;

/// A user without name, groups and rights.
const ORDINARY: u32 = 12345;

/// Says that the tests are to be run here, below this folder.
const WORLD: &str = "SMOLVM_TEST_WORLD";

/// Says that only those tests are to be run that mean something as each user.
const BRIEF: &str = "SMOLVM_TEST_BRIEF";

/// How long things may take that end by themselves.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    if let Some(code) = smolvm::serve_child() {
        return code;
    }
    if let Some(world) = std::env::var_os(WORLD) {
        return all(Path::new(&world));
    }
    let is_root = rustix::process::geteuid().is_root();
    let users: &[Option<u32>] = if is_root { &[None, Some(ORDINARY)] } else { &[None] };
    if users.iter().all(|user| run_as(*user)) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs all tests in a fresh world, as this user; tells whether they passed.
fn run_as(user: Option<u32>) -> bool {
    let world = tempfile::tempdir().unwrap();
    fs::set_permissions(world.path(), PermissionsExt::from_mode(0o755)).unwrap();
    for name in ["project", "state", "cache", "run"] {
        fs::create_dir(world.path().join(name)).unwrap();
    }
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or(home.join(".cache"), PathBuf::from);
    let kernels = cache.join("smolvm/kernels");
    if kernels.is_dir() {
        let copied = world.path().join("cache/smolvm");
        fs::create_dir(&copied).unwrap();
        assert!(Command::new("cp").arg("-a").arg(kernels).arg(copied).status().unwrap().success());
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(WORLD, world.path()).current_dir(world.path().join("project"));
    for (name, folder) in [("XDG_STATE_HOME", "state"), ("XDG_CACHE_HOME", "cache"), ("XDG_RUNTIME_DIR", "run")] {
        command.env(name, world.path().join(folder));
    }
    if user.is_none() && rustix::process::geteuid().is_root() {
        command.env(BRIEF, "1");
    }
    if let Some(user) = user {
        let owner = format!("{user}:{user}");
        assert!(Command::new("chown").args(["-R", &owner]).arg(world.path()).status().unwrap().success());
        command.env("HOME", world.path().join("project")).uid(user).gid(user);
    }
    println!("as {}", user.map_or("ourselves".to_owned(), |user| format!("user {user}")));
    command.status().unwrap().success()
}

fn all(world: &Path) -> ExitCode {
    let project = world.join("project");
    let test = |name: &str, outcome: Outcome| {
        let is_good = outcome.is_ok();
        println!("test {name} ... {}", if is_good { "ok" } else { "FAILED" });
        if let Err(error) = outcome {
            println!("{error}\n{error:?}");
        }
        is_good
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match runtime.block_on(basic(&project)) {
        Err(error) if matches!(error.downcast_ref(), Some(MachineError::Host(_))) => {
            println!("skipped: this host cannot run machines: {error}");
            ExitCode::SUCCESS
        }
        first => {
            let mut passed = vec![
                test("basic", first),
                test("readonly", runtime.block_on(readonly(&project))),
                test("several_mounts", runtime.block_on(several_mounts(&project))),
                test("writing_files", runtime.block_on(writing_files(&project))),
                test("modes_made_in_the_machine", runtime.block_on(modes(&project))),
                test("mistakes_are_told_as_those_of_a_file", runtime.block_on(mistakes())),
                test("what_is_done_in_the_wrong_order", runtime.block_on(wrong_order())),
                test("what_is_dropped_is_ended", runtime.block_on(dropped())),
                test("many_commands_and_two_machines", runtime.block_on(many())),
                test("what_a_command_gets", runtime.block_on(streams::what_a_command_gets())),
                test("the_example", runtime.block_on(the_example(&project))),
                test("a_runtime_of_one_thread", one_thread()),
            ];
            // What has nothing to do with who runs it is tried as one of them.
            let is_whole = std::env::var_os(BRIEF).is_none();
            passed.extend(is_whole.then(|| {
                let passed = [
                    test("streams_as_they_come", runtime.block_on(streams::as_they_come())),
                    test("time_and_signals", runtime.block_on(streams::time_and_signals())),
                    test("ports", runtime.block_on(streams::ports())),
                    test("a_machine_that_fails", runtime.block_on(streams::a_machine_that_fails())),
                    test("futures_may_be_dropped_anywhere", runtime.block_on(cancel::nothing_is_left(world))),
                ];
                passed.iter().all(|is_good| *is_good)
            }));
            if passed.iter().all(|is_good| *is_good) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}

/// A folder with a file.
fn folder(project: &Path, name: &str, file: Option<(&str, &str)>) -> PathBuf {
    let path = project.join(name);
    fs::create_dir_all(&path).unwrap();
    if let Some((file, text)) = file {
        fs::write(path.join(file), text).unwrap();
    }
    path
}

fn small(name: &str) -> MachineConfig {
    MachineConfig { memory_mib: Some(256), ..MachineConfig::new(name) }
}

async fn started(config: MachineConfig) -> Result<Machine, MachineError> {
    let machine = Machine::create(config).await?;
    machine.start().await?;
    Ok(machine)
}

async fn basic(project: &Path) -> Outcome {
    let code = folder(project, "code", Some(("script.py", "print('hello')\n")));
    let machine = started(MachineConfig { mounts: vec![MountSpec::new(code, "/workspace")], ..small("with-mounts") });
    let machine = machine.await?;
    let result = machine.exec(["cat", "/workspace/script.py"]).await?;
    assert_eq!((result.stdout_text(), result.exit_code), ("print('hello')\n".into(), 0));
    let failed = machine.exec(["sh", "-c", "echo oops >&2; exit 3"]).await?;
    assert_eq!((failed.stderr_text(), failed.exit_code, failed.success()), ("oops\n".into(), 3, false));
    machine.stop().await?;
    Ok(())
}

async fn readonly(project: &Path) -> Outcome {
    let data = folder(project, "data", Some(("config.json", "{}")));
    let mounts = vec![MountSpec::new(&data, "/data").read_only()];
    let machine = started(MachineConfig { mounts, ..small("readonly-mount") }).await?;
    assert_eq!(machine.exec(["cat", "/data/config.json"]).await?.stdout, b"{}");
    assert_ne!(machine.exec(["touch", "/data/newfile"]).await?.exit_code, 0);
    assert!(!data.join("newfile").exists());
    machine.stop().await?;
    Ok(())
}

async fn several_mounts(project: &Path) -> Outcome {
    let code = folder(project, "code", None);
    let data = folder(project, "data", Some(("config.json", "{}")));
    let output = folder(project, "output", None);
    let mounts = vec![
        MountSpec::new(code, "/workspace"),
        MountSpec::new(data, "/data").read_only(),
        // As it would be in a file: from the current folder.
        MountSpec::new("output", "/output"),
    ];
    let machine = started(MachineConfig { mounts, ..small("multi-mount") }).await?;
    let result = machine.exec(["cp", "/workspace/script.py", "/data/config.json", "/output"]).await?;
    assert!(result.success(), "{}", result.stderr_text());
    assert!(output.join("script.py").is_file() && output.join("config.json").is_file());
    machine.stop().await?;
    Ok(())
}

async fn writing_files(project: &Path) -> Outcome {
    let output = folder(project, "machine-output", None);
    let machine =
        Machine::create(MachineConfig { mounts: vec![MountSpec::new(&output, "/output")], ..small("writer") }).await?;
    let script = "import json\nresult = {\"answer\": 42}\nwith open(\"/output/result.json\", \"w\") as f:\n    json.dump(result, f)\n";
    let result = machine.run("host", ["python3", "-c", script]).await?;
    assert!(result.success(), "{}", result.stderr_text());
    assert_eq!(fs::read_to_string(output.join("result.json"))?, "{\"answer\": 42}");
    assert_eq!(fs::metadata(output.join("result.json"))?.uid(), rustix::process::getuid().as_raw());
    // It need not be started, and may be.
    machine.start().await?;
    let beside = machine.run("host", ["sh", "-c", "cat /output/result.json; exit 4"]).await?;
    assert_eq!((beside.stdout_text(), beside.exit_code), ("{\"answer\": 42}".into(), 4));
    machine.stop().await?;
    Ok(())
}

async fn modes(project: &Path) -> Outcome {
    let output = folder(project, "modes", None);
    let machine = started(MachineConfig { mounts: vec![MountSpec::new(&output, "/output")], ..small("modes") }).await?;
    let words = ["sh", "-c", "echo 'content' > /output/file.txt && chmod 666 /output/file.txt"];
    assert!(machine.exec(words).await?.success());
    let file = fs::metadata(output.join("file.txt"))?;
    assert_eq!((file.mode() & 0o777, file.uid()), (0o666, rustix::process::getuid().as_raw()));
    machine.stop().await?;
    Ok(())
}

async fn mistakes() -> Outcome {
    let mounts =
        vec![MountSpec::new("/not/there", "/data"), MountSpec::new("code", "data"), MountSpec::new("data", "/proc/x")];
    let error = Machine::create(MachineConfig { mounts, ..small("wrong") }).await.unwrap_err();
    assert_eq!(error.codes(), ["SMOL0109", "SMOL0102", "SMOL0103"], "{}", error.mistakes());
    assert!(error.mistakes().contains("`/not/there`"), "{}", error.mistakes());
    let error = Machine::create(MachineConfig::new("Wrong Name")).await.unwrap_err();
    assert_eq!(error.codes(), ["SMOL0005"], "{}", error.mistakes());
    Ok(())
}

async fn wrong_order() -> Outcome {
    let machine = Machine::create(small("order")).await?;
    assert!(matches!(machine.exec(["true"]).await, Err(MachineError::NotStarted)));
    machine.stop().await?;
    machine.start().await?;
    assert!(matches!(machine.start().await, Err(MachineError::Started)));
    assert!(matches!(Machine::create(small("order")).await?.start().await, Err(MachineError::InUse(_))));
    assert!(matches!(machine.exec(["not-there"]).await, Err(MachineError::Command { exit_code: 127, .. })));
    assert!(matches!(machine.exec(Vec::<String>::new()).await, Err(MachineError::NoCommand)));
    assert!(machine.exec(["sh", "-c", "echo kept > /workspace/note"]).await?.success());
    machine.stop().await?;
    machine.stop().await?;
    assert!(matches!(machine.exec(["true"]).await, Err(MachineError::NotStarted)));
    // The disk is the machine's, by its name: over its lives, and over values.
    machine.start().await?;
    assert_eq!(machine.exec(["cat", "/workspace/note"]).await?.stdout, b"kept\n");
    machine.stop().await?;
    let again = started(small("order")).await?;
    assert_eq!(again.exec(["cat", "/workspace/note"]).await?.stdout, b"kept\n");
    again.stop().await?;
    Ok(())
}

/// Waits until no child of this process is left.
async fn no_children() {
    let start = Instant::now();
    let children = || {
        let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
        tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default()).collect::<String>()
    };
    while !children().trim().is_empty() {
        assert!(start.elapsed() < PATIENCE, "left: {}", children());
        tokio::task::yield_now().await;
    }
}

async fn dropped() -> Outcome {
    let machine = started(small("dropped")).await?;
    // A command whose caller goes away is ended, and the machine goes on.
    let endless = machine.exec(["sh", "-c", "echo $$ > /tmp/pid; exec sleep 1000"]);
    assert!(tokio::time::timeout(Duration::from_secs(3), endless).await.is_err());
    let gone = "while kill -0 $(cat /tmp/pid) 2>/dev/null; do sleep 0.1; done; echo gone";
    assert_eq!(machine.exec(["sh", "-c", gone]).await?.stdout, b"gone\n");
    drop(machine);
    no_children().await;
    // Another one: that one is free again a moment after the last of its processes has ended.
    let machine = Machine::create(small("dropped-early")).await?;
    assert!(tokio::time::timeout(Duration::from_millis(200), machine.start()).await.is_err());
    no_children().await;
    // Nothing holds it when all of it has ended.
    let start = Instant::now();
    while let Err(error) = machine.start().await {
        assert!(matches!(error, MachineError::InUse(_)) && start.elapsed() < PATIENCE, "{error:?}");
        tokio::task::yield_now().await;
    }
    machine.stop().await?;
    no_children().await;
    Ok(())
}

async fn many() -> Outcome {
    let (one, other) = (started(small("one")).await?, started(small("other")).await?);
    for number in 0..50 {
        let machine = if number % 2 == 0 { &one } else { &other };
        let result = machine.exec(["sh", "-c", &format!("echo {number}; hostname")]).await?;
        assert_eq!(result.stdout_text(), format!("{number}\n{}\n", if number % 2 == 0 { "one" } else { "other" }));
    }
    let large = one.exec(["head", "-c", "3000000", "/dev/zero"]);
    let small = one.exec(["echo", "beside"]);
    let (large, small) = tokio::join!(large, small);
    assert_eq!((large?.stdout.len(), small?.stdout), (3_000_000, b"beside\n".to_vec()));
    one.stop().await?;
    other.stop().await?;
    Ok(())
}

async fn the_example(project: &Path) -> Outcome {
    assert_eq!(example::build(&project.join("example")).await?, "42");
    Ok(())
}

fn one_thread() -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let machine = started(small("single")).await?;
        assert!(machine.exec(["true"]).await?.success());
        machine.stop().await
    })?;
    let machine = runtime.block_on(started(small("single")))?;
    // The runtime goes before the machine does.
    drop(runtime);
    drop(machine);
    let waiting = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    waiting.block_on(no_children());
    Ok(())
}
