//! `smolvm run`: one command, its input, output, terminal and code, through the program and real machines.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustix::termios::{LocalModes, tcgetattr};

use crate::invoker::ORDINARY;
use crate::running::signal;
use crate::support::{Case, machines};
use crate::terminal::Terminal;
use crate::world::{Who, World};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(90);

/// `run` in a machine with the root of this computer.
fn host<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [&["run", "--accel", "tcg", "--memory", "256MiB", "--cpus", "1", "--image", "host"], words].concat()
}

fn start(world: &World, words: &[&str]) -> Child {
    world.command(&host(words)).stdin(Stdio::piped()).spawn().unwrap()
}

fn finish(mut child: Child, input: &[u8]) -> Output {
    let mut stdin = child.stdin.take().unwrap();
    thread::scope(|scope| {
        // One that ends before it has read all is fine.
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().unwrap()
    })
}

fn run(world: &World, words: &[&str], input: &[u8]) -> Output {
    finish(start(world, words), input)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn streams_and_codes_are_the_commands_own() {
    let Some(_one_at_a_time) = machines() else { return };
    let world = World::new(Who::Ourselves);
    let input: Vec<u8> =
        (0..5_000_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let output = run(&world, &["cat"], &input);
    assert_eq!((output.status.code(), output.stdout == input, text(&output.stderr)), (Some(0), true, String::new()));

    // An end without an end: it reads a byte and leaves, whoever goes on writing.
    let mut endless = start(&world, &["--", "head", "-c1"]);
    let mut stdin = endless.stdin.take().unwrap();
    let writer = thread::spawn(move || while stdin.write_all(&[b'y'; 65536]).is_ok() {});
    let output = endless.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "y".to_owned()));
    writer.join().unwrap();

    // What is no text, on both streams, without an end of line; and the code.
    let script = r"printf '\377\000\303('; printf '\200err' >&2; exit 42";
    let output = run(&world, &["sh", "-c", script], b"");
    assert_eq!(
        (output.status.code(), &*output.stdout, &*output.stderr),
        (Some(42), &b"\xff\0\xc3("[..], &b"\x80err"[..])
    );
    let output = run(&world, &["sh", "-c", "kill -9 $$"], b"");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(137), "error: killed by SIGKILL\n".to_owned()));
    let output = run(&world, &["no-such-program"], b"");
    let missing = "error: there is no program `no-such-program` in the machine\n";
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(127), missing.to_owned()));
    let output = run(&world, &["-w", "/missing", "true"], b"");
    let missing = "error: the working folder `/missing` does not exist\n";
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(126), missing.to_owned()));

    // A reader that leaves ends the command, and nobody is told.
    let mut command = world.command(&host(&["yes"])).spawn().unwrap();
    command.stdout.take().unwrap().read_exact(&mut [0; 4]).unwrap();
    let output = command.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(141), String::new()));
    world.assert_no_process_stays();
}

#[test]
fn a_mount_takes_what_the_command_makes_to_whoever_runs_it() {
    let Some(_one_at_a_time) = machines() else { return };
    let who = if crate::invoker::is_root() { Who::Ordinary } else { Who::Ourselves };
    let world = World::new(who);
    world.make_folder("project/out");
    world.make_folder("project/data");
    world.write("project/data/input", "given");
    world.write("project/vars", "FROM_FILE=yes\n");
    let words = [
        "-v",
        "./out:/output",
        "-v",
        "./data:/data:ro",
        "-e",
        "A=$HOME `x`",
        "-e",
        "A=b$c",
        "--env-from-file",
        "vars",
        "-w",
        "/output",
        "--name",
        "writer",
        "--",
        "sh",
        "-c",
        "cat /data/input; ! touch /data/x 2>/dev/null; id -u; hostname; echo \"$A $FROM_FILE\" | tee result; mkdir sub; pwd",
    ];
    // Two at the same time in one folder.
    let other = start(&world, &["-v", "./out:/output", "-u", "nobody", "--", "sh", "-c", "id -un > /output/other"]);
    let output = run(&world, &words, b"");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    assert_eq!(text(&output.stdout), "given0\nwriter\nb$c yes\n/output\n");
    let output = finish(other, b"");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    assert_eq!(fs::read_to_string(world.place("project/out/result")).unwrap(), "b$c yes\n");
    assert_eq!(fs::read_to_string(world.place("project/out/other")).unwrap(), "nobody\n");
    for name in ["result", "sub", "other"] {
        let found = fs::metadata(world.place("project/out").join(name)).unwrap();
        let owner = if who == Who::Ordinary { ORDINARY } else { rustix::process::geteuid().as_raw() };
        assert_eq!((found.uid(), found.gid()), (owner, if who == Who::Ordinary { ORDINARY } else { found.gid() }));
    }
    // Nothing is kept of it.
    // The disk that it had as `/workspace` had no name, in a folder that has one.
    let kept: Vec<_> = world.files("state").into_keys().filter(|path| !path.is_dir()).collect();
    assert!(kept.is_empty(), "{kept:?}");
    assert_eq!(fs::read_dir(world.place("run")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(world.place("tmp")).unwrap().count(), 0);
    world.assert_no_process_stays();
}

#[test]
fn a_machine_of_the_file_is_taken_with_its_mounts_and_without_its_steps() {
    let Some(_one_at_a_time) = machines() else { return };
    let world = World::new(Who::Ourselves);
    world.make_folder("project/src");
    world.make_folder("project/more");
    let keys = ", env: { A: file, B: file }, mounts: [./src:/code:ro], working_dir: /code";
    world.project(keys, "steps: [{ run: touch /code/step }]\n");
    let machine = world.machine().to_owned();
    let words = ["run", "--accel", "tcg", "-e", "B=own", "-v", "./more:/more", &machine, "--", "sh", "-c"];
    let script = "pwd; echo $A $B; ! touch /code/x 2>/dev/null; touch /more/x";
    let output = world.command(&[&words[..], &[script]].concat()).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    assert_eq!(text(&output.stdout), "/code\nfile own\n");
    assert!(world.place("project/more/x").exists() && !world.place("project/src/step").exists());
    let output = world.command(&["run", "boxx", "true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(text(&output.stderr).starts_with("error: there is no machine `boxx` in the file\nhelp: "));
    world.assert_no_process_stays();
}

#[test]
fn signals_are_passed_on_and_the_code_is_the_commands() {
    let Some(_one_at_a_time) = machines() else { return };
    let world = World::new(Who::Ourselves);
    let script = "trap 'echo got; exit 7' TERM; echo ready; while :; do sleep 0.1; done";
    let mut child = start(&world, &["sh", "-c", script]);
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 6]).unwrap();
    signal(child.id(), Signal::TERM);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!((child.wait().unwrap().code(), rest.as_str()), (Some(7), "got\n"));
    world.assert_no_process_stays();
}

#[test]
fn a_person_at_a_terminal_sits_at_the_commands() {
    let Some(_one_at_a_time) = machines() else { return };
    let world = World::new(Who::Ourselves);
    let mut terminal = world.terminal(&host(&["--", "sh", "-i"]), 77, 31);
    let modes = |file: &File| tcgetattr(file).unwrap().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO);
    assert!(modes(&terminal.controller));
    let wait = |terminal: &mut Terminal, what: &[u8]| {
        let deadline = Instant::now() + LIMIT;
        while !terminal.bytes.windows(what.len()).any(|part| part == what) {
            let left = deadline.saturating_duration_since(Instant::now());
            if let Err(error) = terminal.take(left) {
                panic!("no {what:?} ({error}): {}", text(&terminal.bytes));
            }
        }
    };
    wait(&mut terminal, b"# ");
    // The line that told of the boot is gone, and the terminal is the command's.
    assert!(text(&terminal.bytes).contains("booting"), "{}", text(&terminal.bytes));
    assert!(!modes(&terminal.controller));
    terminal.write("test -t 0 && test -t 1 && test -t 2 && stty size && echo $TERM\r");
    wait(&mut terminal, b"31 77\r\nxterm-256color\r\n");
    terminal.resize(100, 40);
    // The size is on its way; a shell asks until it has come.
    terminal.write("until [ \"$(stty size)\" = '40 100' ]; do sleep 0.1; done; echo re''sized\r");
    wait(&mut terminal, b"resized\r\n");
    terminal.write("echo go''es; sleep 1000\r");
    wait(&mut terminal, b"goes\r\n");
    terminal.write("\x03");
    terminal.write("echo code''d $?\r");
    wait(&mut terminal, b"coded 130\r\n");
    terminal.write("stty raw -echo; printf '\\376\\377\\n'; head -c 3 | od -An -tx1; stty sane; echo sa''ne\r");
    wait(&mut terminal, b"\xfe\xff\n");
    terminal.controller.write_all(b"\x03\xff\x00").unwrap();
    wait(&mut terminal, b" 03 ff 00");
    // What is typed before would be read as it is.
    wait(&mut terminal, b"sane\r\n");
    terminal.write("exit 5\r");
    let left = terminal.end();
    assert_eq!(left.status.code(), Some(5), "{}", left.bytes);
    world.assert_no_process_stays();
}

#[test]
fn a_terminal_is_given_back_after_a_signal() {
    let Some(_one_at_a_time) = machines() else { return };
    let world = World::new(Who::Ourselves);
    let script = "trap 'echo heard' TERM; stty size; while :; do sleep 0.1; done";
    let mut terminal = world.terminal(&host(&["--", "sh", "-c", script]), 80, 24);
    terminal.until_shown("24 80");
    let before = |file: &File| tcgetattr(file).unwrap().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO);
    assert!(!before(&terminal.controller));
    let kept = terminal.controller.try_clone().unwrap();
    terminal.signal(Signal::TERM);
    terminal.until_shown("heard");
    terminal.signal(Signal::TERM);
    let status = terminal.end().status;
    assert_eq!(status.code(), Some(143));
    // Nobody has the other end any more, but its settings are those that were left.
    assert!(before(&kept));
    world.assert_no_process_stays();
}

#[test]
fn options_are_read_by_the_rules_of_the_language() {
    let case = || Case::new().folder("out");
    let told = |words: &[&str]| {
        let output = case().args([&["run", "--image", "host"], words, &["--", "true"]].concat()).run();
        (output.status.code(), text(&output.stderr))
    };
    let cases: [(&[&str], &str); 8] = [
        (&["-v", "./missing:/output"], "[-v:1:1]\n 1 │ ./missing:/output"),
        (&["-v", "./out"], "SMOL0116"),
        (&["-v", "./out:/a", "-v", "./out:/a/"], "SMOL0101"),
        (&["-v", "./out:/usr"], "SMOL0103"),
        (&["-u", "a b"], "[-u:1:1]"),
        (&["-w", "relative"], "[-w:1:1]"),
        (&["--memory", "512m"], "[--memory:1:1]"),
        (&["--env-from-file", "gone"], "SMOL0304"),
    ];
    for (words, expected) in cases {
        let (code, stderr) = told(words);
        assert_eq!(code, Some(2), "{words:?}: {stderr}");
        assert!(stderr.contains(expected), "{words:?}: {stderr}");
        assert!(!stderr.contains("machines:"), "{words:?} shows a text that nobody wrote: {stderr}");
    }
    for words in [&["run"][..], &["run", "--image", "host"]] {
        assert_eq!(case().args(words).run().status.code(), Some(2), "{words:?}");
    }
    let bad_file = case().file("smolvm.yaml", "machines: { a: { image: 7 } }\n").args(["run", "a", "true"]).run();
    assert_eq!(bad_file.status.code(), Some(78), "{}", text(&bad_file.stderr));
}
