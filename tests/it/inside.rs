//! `smolvm exec` and `smolvm cp`: commands and files in a machine that is up, through the program and its streams.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use rustix::termios::{LocalModes, tcgetattr};
use sha2::{Digest, Sha256};

use crate::running::{Live, signal};
use crate::support::machines;
use crate::world::{Who, World, as_everyone};

/// Bytes that go through a command and back.
const LARGE: u32 = 100_000_000;

fn up(world: &World) -> Live {
    world.project("", "steps: [{ id: wait, run: echo step-here; sleep 1000 }]\n");
    let mut live = world.up(&[]);
    live.until_output("step-here");
    live
}

fn end(world: &World, live: Live) {
    signal(live.pid(), Signal::TERM);
    assert_eq!(live.finish().code, Some(143));
    world.assert_nothing_stays();
}

fn run(world: &World, words: &[&str], input: &[u8]) -> Output {
    let mut command = world.command(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    thread::scope(|scope| {
        // One that ends before it has read all is fine.
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().unwrap()
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_hundred_million_bytes_go_through_a_command_and_back() {
    let Some(_one_at_a_time) = machines() else { return };
    let world = World::new(Who::Ourselves);
    let live = up(&world);
    let input: Vec<u8> = (0..LARGE / 4).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let output = run(&world, &["exec", world.machine(), "cat"], &input);
    assert_eq!((output.status.code(), output.stdout == input, text(&output.stderr)), (Some(0), true, String::new()));
    // Words, variables and folders are bytes.
    let odd = OsStr::from_bytes(b"/tmp/\xff\n");
    let mut command = world.command(&["exec", "-e", "A=1"]);
    command.env("OWN", odd).args(["-e", "OWN", "-e"]).arg(OsStr::from_bytes(b"B=\xfe")).arg(world.machine());
    let script = "mkdir \"$1\" && cd \"$1\" && printf '%s:%s:%s:' \"$A\" \"$B\" \"$OWN\" && pwd; ulimit -n; ulimit -Hn";
    let output = command.args(["sh", "-c", script, "sh"]).arg(odd).output().unwrap();
    assert_eq!(output.stdout, b"1:\xfe:/tmp/\xff\n:/tmp/\xff\n\n65536\n524288\n", "{}", text(&output.stderr));
    let mut command = world.command(&["exec", "-w"]);
    let output = command.arg(odd).args([world.machine(), "pwd"]).output().unwrap();
    assert_eq!(output.stdout, b"/tmp/\xff\n\n", "{}", text(&output.stderr));
    let script = "echo out; echo err >&2; exit 9";
    let output = run(&world, &["exec", "-w", "/tmp", world.machine(), "sh", "-c", script], b"");
    assert_eq!((output.status.code(), &output.stdout[..], &output.stderr[..]), (Some(9), &b"out\n"[..], &b"err\n"[..]));
    end(&world, live);
}

#[test]
fn a_terminal_is_the_commands_and_is_given_back_when_the_machine_dies() {
    let Some(_one_at_a_time) = machines() else { return };
    let world = World::new(Who::Ourselves);
    let live = up(&world);
    let mut terminal = world.terminal(&["exec", "-it", world.machine(), "sh", "-i"], 77, 31);
    terminal.until_shown("# ");
    terminal.write("test -t 0 && test -t 2 && stty size; echo si''zed\r");
    terminal.until_shown("sized");
    assert!(text(&terminal.bytes).contains("31 77\r\n"), "{}", text(&terminal.bytes));
    terminal.resize(100, 40);
    terminal.write("until [ \"$(stty size)\" = '40 100' ]; do sleep 0.1; done; echo re''done\r");
    terminal.until_shown("redone");
    terminal.write("echo go''es; sleep 1000\r");
    terminal.until_shown("goes");
    terminal.write("\x03");
    // What is typed before the signal has come is thrown away with it.
    terminal.until("a prompt behind ^C", |screen| {
        screen.contents().rsplit_once("^C").is_some_and(|(_, rest)| rest.contains('#'))
    });
    terminal.write("echo code''d $?\r");
    terminal.until_shown("coded 130");
    let is_usual =
        |file: &fs::File| tcgetattr(file).unwrap().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO);
    assert!(!is_usual(&terminal.controller));
    let kept = terminal.controller.try_clone().unwrap();
    let ran = live.kill();
    let left = terminal.end();
    assert_eq!(left.status.code(), Some(125), "{}", left.bytes);
    assert!(left.bytes.contains("went away before it answered"), "{}", left.bytes);
    assert!(is_usual(&kept));
    drop(ran);
    world.assert_no_process_stays();
}

#[test]
fn files_are_copied_into_a_machine_and_out_of_it() {
    let Some(_one_at_a_time) = machines() else { return };
    as_everyone(|who| {
        let world = World::new(who);
        let live = up(&world);
        world.make_folder("project/from");
        world.write("project/from/run.sh", "#!/bin/sh\necho ran\n");
        let from = world.place("project/from");
        fs::set_permissions(from.join("run.sh"), fs::Permissions::from_mode(0o750)).unwrap();
        fs::File::create(from.join("holes")).unwrap().set_len(64 << 20).unwrap();
        fs::set_permissions(from.join("holes"), fs::Permissions::from_mode(0o644)).unwrap();
        symlink("/etc", from.join("link")).unwrap();
        let inside = format!("{}:/root/here", world.machine());
        let copy = |from: &str, to: &str| run(&world, &["cp", from, to], b"");
        let output = copy("from", &inside);
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
        odd_entries(&world, &from);
        let script = "cd /root/here; ./run.sh; stat -c '%a %u' run.sh; readlink link; chmod 4755 run.sh";
        let output = run(&world, &["exec", world.machine(), "sh", "-c", script], b"");
        assert_eq!(text(&output.stdout), "ran\n750 0\n/etc\n", "{}", text(&output.stderr));
        let output = copy(&inside, "to");
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
        let to = world.place("project/to");
        let found = fs::metadata(to.join("run.sh")).unwrap();
        let own = fs::metadata(from.join("run.sh")).unwrap();
        assert_eq!((found.mode() & 0o7777, found.mtime()), (0o755, own.mtime()));
        assert_eq!(fs::read_link(to.join("link")).unwrap().to_str(), Some("/etc"));
        let holes = fs::metadata(to.join("holes")).unwrap();
        assert!(holes.len() == 64 << 20 && holes.blocks() < 1024, "{} blocks", holes.blocks());
        let output = copy(&format!("{}:/nowhere", world.machine()), "x");
        let error = format!("error: machine `{}` cannot copy: `/nowhere`: No such file", world.machine());
        assert!(output.status.code() == Some(125) && text(&output.stderr).starts_with(&error), "{output:?}");
        end(&world, live);
    });
}

/// What is no file, folder or link, and names that are no text, there and back.
fn odd_entries(world: &World, from: &Path) {
    let odd = from.join("odd");
    fs::create_dir(&odd).unwrap();
    let name = OsStr::from_bytes(b"\xff\n");
    fs::write(odd.join(name), "odd").unwrap();
    fs::write(odd.join("empty"), "").unwrap();
    mknodat(CWD, odd.join("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let _socket = UnixListener::bind(odd.join("socket")).unwrap();
    fs::set_permissions(&odd, fs::Permissions::from_mode(0o755)).unwrap();
    let inside = |path: &str| format!("{}:{path}", world.machine());
    let output = run(world, &["cp", "from/odd/", &inside("/root/odd")], b"");
    let remark = "warning: `from/odd/socket` is a socket, which is not copied\n";
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), remark.to_owned()));
    let script = "cd /root/odd; stat -c '%a %F' . pipe empty; ls -A | wc -l; mknod device c 1 3; chmod 711 .";
    let output = run(world, &["exec", world.machine(), "sh", "-c", script], b"");
    let listed = "755 directory\n600 fifo\n644 regular empty file\n4\n";
    assert_eq!(text(&output.stdout), listed, "{}", text(&output.stderr));
    let output = run(world, &["cp", &inside("/root/odd"), "back"], b"");
    let remark = format!(
        "warning: in machine `{}`: `/root/odd/device` is a character device, which is not copied\n",
        world.machine()
    );
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), remark));
    let odd = world.place("project/back");
    assert_eq!(fs::metadata(&odd).unwrap().mode() & 0o7777, 0o711);
    assert_eq!(fs::read_to_string(odd.join(name)).unwrap(), "odd");
    assert!(fs::metadata(odd.join("pipe")).unwrap().file_type().is_fifo());
    // A name of bytes on the command line, on both sides.
    let mut command = world.command(&["cp"]);
    let there = [inside("/root/odd/").as_bytes(), name.as_bytes()].concat();
    let output = command.arg(OsStr::from_bytes(&there)).arg(name).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(fs::read_to_string(world.place("project").join(name)).unwrap(), "odd");
    // What fails midway leaves folders as they are to be, and no half of a file.
    fs::create_dir(from.join("odd/deep")).unwrap();
    fs::write(from.join("odd/deep/large"), vec![1; 1 << 20]).unwrap();
    for (name, mode) in [("odd/deep", 0o750), ("odd/deep/large", 0o644)] {
        fs::set_permissions(from.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    std::os::unix::fs::chown(from.join("odd/deep"), Some(fs::metadata(from).unwrap().uid()), None).unwrap();
    let script = "mkdir /small && mount -t tmpfs -o size=256k none /small";
    assert_eq!(run(world, &["exec", world.machine(), "sh", "-c", script], b"").status.code(), Some(0));
    let output = run(world, &["cp", "from/odd/deep", &inside("/small/deep")], b"");
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    assert!(text(&output.stderr).contains("`/small/deep/large`: No space left on device"), "{output:?}");
    let output = run(world, &["exec", world.machine(), "sh", "-c", "stat -c %a /small/deep; ls -A /small/deep"], b"");
    assert_eq!(text(&output.stdout), "750\n");
    let alone = run(world, &["cp", &inside("/dev/null"), "null"], b"");
    assert!(text(&alone.stderr).contains("`/dev/null`: it is a character device, which is not copied"), "{alone:?}");
    assert_eq!(alone.status.code(), Some(125));
    fs::remove_dir_all(from.join("odd")).unwrap();
}

#[test]
fn a_command_that_is_left_to_itself_goes_on_and_writes_to_the_log_of_its_machine() {
    let Some(_one_at_a_time) = machines() else { return };
    let world = World::new(Who::Ourselves);
    let mut live = up(&world);
    let exec = |options: &[&str], words: &[&str]| {
        let output = run(&world, &[&["exec"], options, &[world.machine()], words].concat(), b"not for it");
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let script = "read line; echo \"got <$line> $A\"; echo aside >&2; sleep 1; printf unended";
    assert_eq!(exec(&["-d", "-e", "A=set"], &["sh", "-c", script]), (Some(0), String::new(), String::new()));
    live.until_output("unended");
    let logs = text(&run(&world, &["logs", world.machine()], b"").stdout);
    assert!(logs.contains("got <> set") && logs.contains("aside"), "{logs}");
    // Each way of starting one refuses with the same codes and words.
    for options in [&[][..], &["-d"]] {
        let refused = |more: &[&str], words: &[&str]| {
            let (code, out, err) = exec(&[options, more].concat(), words);
            assert_eq!(out, "", "{words:?}");
            (code, err)
        };
        assert_eq!(
            refused(&[], &["no-such"]),
            (Some(127), "error: there is no program `no-such` in the machine\n".into())
        );
        assert_eq!(refused(&[], &["/etc"]).0, Some(126));
        assert_eq!(
            refused(&["-u", "no-such"], &["true"]),
            (Some(126), "error: the image has no user `no-such`\n".into())
        );
        assert_eq!(refused(&["-w", "/no-such"], &["true"]).0, Some(126));
        assert_eq!(refused(&["-w", "here"], &["true"]).0, Some(126));
        assert_eq!(refused(&["-e", "=1"], &["true"]).0, Some(2));
        let unknown = run(&world, &[&["exec"], options, &["nobody", "true"]].concat(), b"");
        assert_eq!((unknown.status.code(), &unknown.stdout[..]), (Some(4), &b""[..]));
    }
    assert_eq!(exec(&["-dt"], &["true"]).0, Some(2));
    // Its machine is the end of what still runs.
    assert_eq!(exec(&["-d"], &["sleep", "1000"]).0, Some(0));
    end(&world, live);
    let nobody = run(&world, &["exec", "-d", world.machine(), "true"], b"");
    assert_eq!(nobody.status.code(), Some(125));
}

/// What `tar` makes of a folder, or lists of an archive.
fn tar(args: &[&str], folder: &Path, input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("tar");
    command.args(args).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    let writer = thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    output.stdout
}

#[test]
fn archives_go_into_a_machine_and_come_out_of_it_with_their_owners() {
    let Some(_one_at_a_time) = machines() else { return };
    as_everyone(|who| {
        let world = World::new(who);
        let live = up(&world);
        let inside = |path: &str| format!("{}:{path}", world.machine());
        world.make_folder("project/from");
        world.make_folder("project/from/in");
        world.write("project/from/in/one", &"text\n".repeat(100_000));
        let from = world.place("project/from");
        fs::hard_link(from.join("in/one"), from.join("in/same")).unwrap();
        symlink("in/one", from.join("link")).unwrap();
        let archive = tar(&["-cz", "--owner=4242", "--group=4343", "."], &from, b"");
        for (options, owner) in [(&["cp", "-", "PLACE"][..], "0:0"), (&["cp", "-a", "-", "PLACE"], "4242:4343")] {
            let place = inside(&format!("/root/{}", owner.replace(':', "-")));
            let words: Vec<&str> =
                options.iter().map(|word| if *word == "PLACE" { &place[..] } else { word }).collect();
            let output = run(&world, &words, &archive);
            assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{words:?}");
            let script = format!(
                "cd /root/{}; stat -c '%u:%g %h' in/one; stat -c %u:%g link; sha256sum < in/same | cut -c-64",
                owner.replace(':', "-")
            );
            let output = run(&world, &["exec", world.machine(), "sh", "-c", &script], b"");
            let sum = format!("{:x}", Sha256::digest("text\n".repeat(100_000)));
            assert_eq!(text(&output.stdout), format!("{owner} 2\n{owner}\n{sum}\n"), "{}", text(&output.stderr));
        }
        let output = run(&world, &["cp", &inside("/root/4242-4343/in"), "-"], b"");
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
        let listed = text(&tar(&["-tv", "--numeric-owner"], &from, &output.stdout));
        assert!(listed.lines().all(|line| line.contains(" 4242/4343 ")) && listed.contains(" in/same"), "{listed}");
        let out = world.place("project");
        assert_eq!(tar(&["-xO", "in/one"], &out, &output.stdout), "text\n".repeat(100_000).as_bytes());

        // A link is copied as one, and with -L what it leads to.
        let link = inside("/root/0-0/link");
        for (options, is_link) in [(&["cp"][..], true), (&["cp", "-L"], false)] {
            let words = [options, &[&link[..], "out"]].concat();
            assert_eq!(run(&world, &words, b"").status.code(), Some(0));
            assert_eq!(fs::symlink_metadata(world.place("project/out")).unwrap().is_symlink(), is_link);
        }
        assert_eq!(fs::metadata(world.place("project/out")).unwrap().len(), 500_000);
        let kept = run(&world, &["cp", "-a", &inside("/root/4242-4343/in/one"), "kept"], b"");
        match who {
            Who::Ordinary => assert!(text(&kept.stderr).contains("`./kept`: Operation not permitted"), "{kept:?}"),
            Who::Ourselves => assert_eq!(fs::metadata(world.place("project/kept")).unwrap().uid(), 4242),
        }

        let garbage = run(&world, &["cp", "-", &inside("/root")], &[7; 4096]);
        assert!(
            garbage.status.code() == Some(125) && text(&garbage.stderr).starts_with("error: cannot copy"),
            "{garbage:?}"
        );
        let nowhere = run(&world, &["cp", &inside("/nowhere"), "-"], b"");
        assert!(
            nowhere.status.code() == Some(125) && text(&nowhere.stderr).contains("`/nowhere`: No such file"),
            "{nowhere:?}"
        );
        end(&world, live);
    });
}
