//! The agent in real machines: setup, mounts, commands, output, ends.

use std::fs;
use std::time::{Duration, Instant};

use smolvm::engine::VmExit;
use smolvm::guest::{
    Command, CommandEnd, CommandOutput, CommandStream, Exec, ExecError, ExitStatus, SessionEvent, SetupError,
    SetupMountKind, SetupPhase, Streams, Terminal, TerminalSize,
};

use crate::machine::{Machine, mount};

fn in_runtime(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test);
}

fn list(id: u64, words: &[&str]) -> Exec {
    Exec {
        id,
        command: Command::List(words.iter().map(Into::into).collect()),
        env: Vec::new(),
        working_dir: None,
        is_working_dir_made: false,
        user: "root".into(),
        streams: None,
    }
}

#[test]
fn ready_machine_is_what_steps_may_rely_on() {
    in_runtime(async {
        let mut machine = Machine::ready(512, Vec::new()).await;
        let facts = "hostname; cat /etc/hostname; grep -c box /etc/hosts; wc -c < /etc/resolv.conf; umask; pwd; \
            cat /proc/self/oom_score_adj /proc/1/oom_score_adj; stat -c %a /tmp /dev/shm; \
            echo $HOME $USER $PATH; readlink /dev/fd; cat /proc/self/cgroup; ls /sys/class/net; \
            ls /sys/class/net/lo >/dev/null && grep -c 1 /sys/class/net/lo/carrier; wc -c < /dev/stdin";
        let expected = "box\nbox\n1\n0\n0022\n/\n0\n-1000\n1777\n1777\n\
            /root root /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n/proc/self/fd\n\
            0::/smolvm/step-2\nlo\n1\n0\n";
        assert_eq!(machine.sh(facts).await, expected);
        let clock: u64 = machine.sh("date +%s").await.trim().parse().unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs();
        assert!(now.abs_diff(clock) <= 5, "{now} {clock}");
        machine.sh("touch /root/made /usr/made /etc/made && rm /usr/bin/env && ! ls /usr/bin/env 2>/dev/null").await;
        machine.sh("test -e /usr/made && test ! -e /lower && test ! -e /modules && test ! -e /init").await;
        assert_eq!(machine.power_off().await, VmExit::PoweredOff);
    });
}

#[test]
fn mounts_are_made_verified_and_kept_read_only() {
    in_runtime(async {
        let host = tempfile::tempdir().unwrap();
        for folder in ["code", "out", "out/inner"] {
            fs::create_dir(host.path().join(folder)).unwrap();
        }
        fs::write(host.path().join("code/main.c"), "int main;").unwrap();
        let mounts = vec![
            mount("share0", &host.path().join("code"), "/code", true),
            mount("share1", &host.path().join("out"), "/deep/er/output", false),
            mount("share2", &host.path().join("code"), "/deep/er/output/inner", true),
        ];
        let mut machine = Machine::ready(512, mounts).await;
        assert_eq!(
            machine.sh("cat /code/main.c; ! touch /code/x 2>/dev/null; echo made > /deep/er/output/file").await,
            "int main;"
        );
        assert_eq!(fs::read_to_string(host.path().join("out/file")).unwrap(), "made\n");
        let writable = "mount -o remount,rw /code && ! touch /code/x; mount -t virtiofs share0 /mnt && ! touch /mnt/x";
        let exec = machine.script(writable);
        machine.run(exec).await;
        assert!(!host.path().join("code/x").exists());
        let patterns = ["/code/main.c", "/deep/er/output/*", "/code/*.h", "/missing"].map(String::from);
        let missing = machine.session.missing_outputs(&patterns).await.unwrap();
        assert_eq!(missing, ["/code/*.h", "/missing"]);
        assert_eq!(machine.power_off().await, VmExit::PoweredOff);
    });
}

#[test]
fn wrong_mounts_fail_the_setup_by_name() {
    in_runtime(async {
        let host = tempfile::tempdir().unwrap();
        fs::create_dir(host.path().join("out")).unwrap();
        let out = host.path().join("out");
        let failure = async |mounts| match Machine::boot(256, mounts).await.set_up().await {
            Err(SetupError::Failed { phase, target, message }) => (phase, target.unwrap(), message),
            other => panic!("{other:?}"),
        };
        let (mut declared, tree) = mount("share0", &out, "/out", false);
        declared.kind = SetupMountKind::Folder { tag: "share0".into(), is_read_only: false, inode: Some(1) };
        let (phase, target, message) = failure(vec![(declared, tree)]).await;
        assert_eq!((phase, target.as_str()), (SetupPhase::Verify, "/out"));
        assert!(message.starts_with("another folder is there"), "{message}");

        let mounts = vec![mount("share0", &out, "/out", false), mount("share1", host.path(), "/out/new", true)];
        let (phase, target, message) = failure(mounts).await;
        assert_eq!((phase, target.as_str()), (SetupPhase::Mount, "/out/new"));
        let expected = "the folder `/out/new` does not exist in the mount `/out`, and `create` is not set";
        assert_eq!(message, expected);
        assert!(!out.join("new").exists());

        let (mut created, tree) = mount("share1", host.path(), "/out/new", true);
        created.is_created_in_share = true;
        let machine = Machine::ready(256, vec![mount("share0", &out, "/out", false), (created, tree)]).await;
        assert!(out.join("new").is_dir());
        assert_eq!(machine.power_off().await, VmExit::PoweredOff);
    });
}

#[test]
fn commands_end_as_they_end() {
    in_runtime(async {
        let mut machine = Machine::ready(512, Vec::new()).await;
        let exec = machine.script("echo out; echo err >&2; exit 3");
        let outcome = machine.run(exec).await;
        assert_eq!(
            (outcome.status, outcome.stdout.as_str(), outcome.stderr.as_str()),
            (ExitStatus::Code(3), "out\n", "err\n")
        );
        let exec = machine.script("kill -SEGV $$");
        assert_eq!(machine.run(exec).await.status, ExitStatus::Signal(11));

        let session = machine.session.clone();
        assert!(matches!(session.exec(list(100, &["no-such"])).await, Err(ExecError::NotFound { .. })));
        assert!(matches!(session.exec(list(101, &["/etc/passwd"])).await, Err(ExecError::CannotRun { .. })));
        let mut exec = list(102, &["true"]);
        exec.working_dir = Some("/no/where".into());
        let error = session.exec(exec).await.unwrap_err();
        assert_eq!(error.to_string(), "the working folder `/no/where` does not exist");
        let mut exec = list(103, &["true"]);
        exec.user = "eve".into();
        assert_eq!(session.exec(exec).await.unwrap_err().to_string(), "the image has no user `eve`");

        let mut exec = list(104, &["sh", "-c", "id -u; id -g; id -G; echo $HOME $A; pwd; tail -c3 $0", "/dev/null"]);
        exec.user = "www-data:4242".into();
        exec.env = vec![("A".into(), "b c".into())];
        exec.working_dir = Some("/usr".into());
        let outcome = machine.run(exec).await;
        assert_eq!(outcome.stdout, "33\n4242\n4242 33\n/var/www b c\n/usr\n");
        assert_eq!(machine.power_off().await, VmExit::PoweredOff);
    });
}

#[test]
fn output_is_exact_and_a_background_process_does_not_hold_its_step() {
    in_runtime(async {
        let mut machine = Machine::ready(512, Vec::new()).await;
        let exec = machine.script("head -c 100000000 /dev/zero; printf '\\377\\000end'");
        let id = exec.id;
        machine.session.exec(exec).await.unwrap();
        let (mut length, mut last) = (0, Vec::new());
        let status = loop {
            match machine.event().await {
                SessionEvent::Output { bytes, .. } => {
                    length += bytes.len();
                    last = bytes;
                }
                SessionEvent::Exited { exec, status, .. } if exec == id => break status,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((status, length), (ExitStatus::Code(0), 100_000_005));
        assert!(last.ends_with(b"\xff\x00end"));

        let exec = machine.script("(while :; do echo late; sleep 0.2; done) & echo done");
        assert_eq!(machine.run(exec).await.stdout.replace("late\n", ""), "done\n");
        while !machine.log.starts_with(b"late\n") {
            match machine.event().await {
                SessionEvent::Log { bytes } => machine.log.extend(bytes),
                other => panic!("{other:?}"),
            }
        }
        let ended = machine.session.end_background(Duration::from_secs(5)).await;
        ended.unwrap();
        assert_eq!(machine.sh("ls /sys/fs/cgroup/smolvm | grep step").await, "step-4\n");
        assert_eq!(machine.power_off().await, VmExit::PoweredOff);
    });
}

#[test]
fn flood_that_nobody_reads_holds_up_no_request() {
    in_runtime(async {
        let mut machine = Machine::ready(512, Vec::new()).await;
        let exec = machine.script("yes");
        let id = exec.id;
        machine.session.exec(exec).await.unwrap();
        // Nothing is received here: the flood stands, and requests are answered.
        for _ in 0..20 {
            machine.session.resolve_user("root").await.unwrap();
        }
        // Not SIGINT, which a shell catches in a script: in the moment before it has become `yes` it would be lost.
        machine.session.signal(id, 15).await.unwrap();
        assert_eq!(machine.outcome(id).await.status, ExitStatus::Signal(15));
        assert_eq!(machine.power_off().await, VmExit::PoweredOff);
    });
}

#[test]
fn whole_group_of_a_step_is_ended_also_what_left_its_session() {
    in_runtime(async {
        let mut machine = Machine::ready(512, Vec::new()).await;
        let exec = machine.script("trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$; sleep 1000' & sleep 1000");
        let id = exec.id;
        machine.session.exec(exec).await.unwrap();
        let SessionEvent::Output { bytes, .. } = machine.event().await else { panic!("no output") };
        let escaped = String::from_utf8(bytes).unwrap();
        let start = Instant::now();
        machine.session.terminate(id, Duration::from_millis(700)).await.unwrap();
        assert_eq!(machine.outcome(id).await.status, ExitStatus::Signal(9));
        assert!(start.elapsed() >= Duration::from_millis(700));
        machine.sh(&format!("! kill -0 {} 2>/dev/null", escaped.trim())).await;

        let exec = machine.script("trap 'echo ended; exit 5' TERM; sleep 1000 & wait");
        let id = exec.id;
        machine.session.exec(exec).await.unwrap();
        machine.sh("sleep 0.3").await;
        machine.session.terminate(id, Duration::from_secs(60)).await.unwrap();
        let outcome = machine.outcome(id).await;
        assert_eq!((outcome.status, outcome.stdout.as_str()), (ExitStatus::Code(5), "ended\n"));
        assert_eq!(machine.power_off().await, VmExit::PoweredOff);
    });
}

#[test]
fn step_that_runs_out_of_memory_is_told_so_and_the_agent_lives() {
    in_runtime(async {
        let mut machine = Machine::ready(256, Vec::new()).await;
        let exec = machine.script("exec tail /dev/zero");
        let outcome = machine.run(exec).await;
        assert_eq!((outcome.status, outcome.is_out_of_memory), (ExitStatus::Signal(9), true));
        assert_eq!(machine.sh("echo alive").await, "alive\n");
        assert!(String::from_utf8_lossy(&machine.log).contains("Out of memory: Killed process"));
        assert_eq!(machine.power_off().await, VmExit::PoweredOff);
    });
}

#[test]
fn step_that_forks_without_end_can_be_ended() {
    in_runtime(async {
        let mut machine = Machine::ready(512, Vec::new()).await;
        let exec = machine.script("bomb() { bomb | bomb & }; trap '' TERM; echo go; bomb; wait; sleep 1000");
        let id = exec.id;
        machine.session.exec(exec).await.unwrap();
        // Long enough for thousands of processes, or for as many as memory holds.
        let mut grown = Box::pin(tokio::time::sleep(Duration::from_secs(3)));
        let mut is_killed_for_memory = false;
        loop {
            tokio::select! {
                () = &mut grown => break,
                event = machine.events.recv() => match event {
                    None | Some(SessionEvent::Closed { .. }) => panic!("{}", machine.console()),
                    Some(event) => is_killed_for_memory |= matches!(event, SessionEvent::Exited { .. }),
                },
            }
        }
        machine.session.terminate(id, Duration::from_millis(100)).await.unwrap();
        if !is_killed_for_memory {
            assert_eq!(machine.outcome(id).await.status, ExitStatus::Signal(9));
        }
        assert_eq!(machine.sh("echo alive").await, "alive\n");
        assert_eq!(machine.power_off().await, VmExit::PoweredOff);
    });
}

#[test]
fn owner_view_follows_the_user_of_the_step() {
    in_runtime(async {
        let host = tempfile::tempdir().unwrap();
        let mut machine = Machine::ready(512, vec![mount("share0", host.path(), "/data", false)]).await;
        assert_eq!(machine.sh("echo x > /data/one; stat -c %u:%g /data /data/one").await, "0:0\n0:0\n");
        let user = machine.session.resolve_user("www-data").await.unwrap();
        machine.shares[1].set_view(user.uid, user.gid).unwrap();
        machine.session.refresh_shares().await.unwrap();
        let mut exec = machine
            .script("stat -c %u:%g /data /data/one; echo y >> /data/one; echo z > /data/two; chmod 600 /data/two");
        exec.user = "www-data".into();
        let outcome = machine.run(exec).await;
        assert_eq!((outcome.status, outcome.stdout.as_str()), (ExitStatus::Code(0), "33:33\n33:33\n"), "{outcome:?}");
        assert_eq!(fs::read_to_string(host.path().join("one")).unwrap(), "x\ny\n");
        assert_eq!(machine.power_off().await, VmExit::PoweredOff);
    });
}

#[test]
fn machine_of_a_host_that_goes_away_powers_off() {
    in_runtime(async {
        let mut machine = Machine::ready(256, Vec::new()).await;
        let exec = machine.script("sleep 1000");
        machine.session.exec(exec).await.unwrap();
        assert_eq!(machine.drop_session().await, VmExit::PoweredOff);
    });
}

#[test]
fn power_off_inside_a_step_closes_the_session() {
    in_runtime(async {
        let mut machine = Machine::ready(256, Vec::new()).await;
        let exec = machine.script("echo o > /proc/sysrq-trigger; sleep 1000");
        machine.session.exec(exec).await.unwrap();
        while !matches!(machine.event().await, SessionEvent::Closed { .. }) {}
        assert_eq!(machine.exit().await, VmExit::PoweredOff);
    });
}

/// All that a command writes, and how it ended.
async fn rest(stream: &mut CommandOutput, end: CommandEnd) -> (Vec<u8>, Option<ExitStatus>) {
    let mut bytes = Vec::new();
    while let Some(output) = stream.next().await {
        bytes.extend(output.bytes);
    }
    (bytes, end.wait().await.map(|(status, _)| status))
}

#[test]
fn streams_carry_input_both_ways_and_hold_nothing_else_up() {
    in_runtime(async {
        let mut machine = Machine::ready(512, Vec::new()).await;
        let piped = |id, words: &[&str]| Exec { streams: Some(Streams::Pipes), ..list(id, words) };

        // Everything comes back, byte by byte, and the end of the input is the command's.
        let input: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let CommandStream { input: mut to, output: mut from, end } =
            machine.session.exec_streamed(piped(100, &["cat"])).await.unwrap();
        let sent = input.clone();
        let writer = tokio::spawn(async move { to.write(&sent).await });
        let (bytes, status) = rest(&mut from, end).await;
        assert_eq!((bytes == input, status), (true, Some(ExitStatus::Code(0))));
        assert!(writer.await.unwrap());

        // A command that never reads holds up its own input only.
        let idle = machine.session.exec_streamed(piped(101, &["sleep", "100"])).await.unwrap();
        let (mut to, idle_end, _output) = (idle.input, idle.end, idle.output);
        let chunk = vec![7; 1 << 20];
        let stuck = tokio::spawn(async move { while to.write(&chunk).await {} });
        assert_eq!(machine.sh("echo lives").await, "lives\n");

        // One that reads a byte and ends makes the host stop.
        let CommandStream { input: mut to, output: mut from, end } =
            machine.session.exec_streamed(piped(102, &["head", "-c1"])).await.unwrap();
        let writer = tokio::spawn(async move { while to.write(&[b'y'; 65536]).await {} });
        assert_eq!(rest(&mut from, end).await, (b"y".to_vec(), Some(ExitStatus::Code(0))));
        drop(from);
        writer.await.unwrap();

        // A reader that is gone closes the outputs: the command's next write fails.
        let words = ["sh", "-c", "trap '' PIPE; while echo more; do :; done; exit 9"];
        let stream = machine.session.exec_streamed(piped(103, &words)).await.unwrap();
        drop((stream.input, stream.output));
        assert_eq!(stream.end.wait().await.map(|(status, _)| status), Some(ExitStatus::Code(9)));

        machine.session.signal(101, 15).await.unwrap();
        assert_eq!(idle_end.wait().await.map(|(status, _)| status), Some(ExitStatus::Signal(15)));
        drop(_output);
        stuck.await.unwrap();
        assert_eq!(machine.power_off().await, VmExit::PoweredOff);
    });
}

#[test]
fn terminals_are_whole() {
    in_runtime(async {
        let mut machine = Machine::ready(512, Vec::new()).await;
        let size = TerminalSize { rows: 31, columns: 77 };
        let terminal = Some(Streams::Terminal(Terminal { kind: "xterm-256color".into(), size }));
        let script = "tty; test -t 0 && test -t 1 && test -t 2 && echo all; stty size; echo $TERM; \
            trap 'stty size; exit 3' WINCH; echo ready; while :; do sleep 0.1; done";
        let exec = Exec { streams: terminal.clone(), user: "nobody".into(), ..list(200, &["sh", "-c", script]) };
        let CommandStream { input: _open, output: mut from, end } = machine.session.exec_streamed(exec).await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"ready\r\n") {
            seen.extend(from.next().await.expect("it goes on").bytes);
        }
        assert_eq!(String::from_utf8_lossy(&seen), "/dev/pts/0\r\nall\r\n31 77\r\nxterm-256color\r\nready\r\n");
        machine.session.resize(200, TerminalSize { rows: 10, columns: 20 }).await.unwrap();
        assert_eq!(rest(&mut from, end).await, (b"10 20\r\n".to_vec(), Some(ExitStatus::Code(3))));

        // Job control: the keys of the terminal reach whoever is in front. Bytes pass as they are.
        let exec = Exec { streams: terminal.clone(), ..list(201, &["sh", "-i"]) };
        let CommandStream { input: mut to, output: mut from, end } = machine.session.exec_streamed(exec).await.unwrap();
        to.write(b"PS1=; stty -echo; echo r$(echo eady)\n").await;
        let mut seen = String::new();
        while !seen.contains("ready") {
            seen.push_str(&String::from_utf8_lossy(&from.next().await.expect("it goes on").bytes));
        }
        to.write(b"sleep 1000\n").await;
        while !machine.sh("cat /proc/[0-9]*/comm 2>/dev/null | grep -c sleep || :").await.starts_with('1') {}
        to.write(b"\x03").await;
        to.write(b"printf 'code %d\\n' $?; cat\n\xc3\xa9\xff\xfe\n\x04exit 5\n").await;
        let (bytes, status) = rest(&mut from, end).await;
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("code 130"), "{text:?}");
        assert!(bytes.windows(6).any(|part| part == b"\xc3\xa9\xff\xfe\r\n"), "{bytes:?}");
        assert_eq!(status, Some(ExitStatus::Code(5)));

        // The end of the input is a key, and a terminal that is left hangs up.
        let exec = Exec { streams: terminal.clone(), ..list(202, &["cat"]) };
        let CommandStream { input: mut to, output: mut from, end } = machine.session.exec_streamed(exec).await.unwrap();
        to.write(b"line\n").await;
        drop(to);
        assert_eq!(rest(&mut from, end).await, (b"line\r\nline\r\n".to_vec(), Some(ExitStatus::Code(0))));
        let exec = Exec { streams: terminal, ..list(203, &["sh", "-c", "while echo x; do sleep 0.1; done"]) };
        let stream = machine.session.exec_streamed(exec).await.unwrap();
        drop((stream.input, stream.output));
        assert_eq!(stream.end.wait().await.map(|(status, _)| status), Some(ExitStatus::Signal(1)));
        assert_eq!(machine.power_off().await, VmExit::PoweredOff);
    });
}
