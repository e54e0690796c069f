//! Commands with input, output as it comes, time limits and signals; ports; machines that fail while they are used.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use smolvm::{ExecSpec, Machine, MachineConfig, MachineError, PortSpec, Stream};

use super::{Outcome, PATIENCE, no_children, small, started};

/// Longer than any test takes.
const ENDLESS: &str = "exec sleep 4321";

pub(crate) async fn as_they_come() -> Outcome {
    let machine = started(small("streams")).await?;
    let mut talk = machine.spawn(["sh", "-c", "echo one; read line; echo got $line >&2; exit 5"]).await?;
    let first = talk.next().await.ok_or("nothing came")?;
    assert_eq!((first.stream, first.bytes), (Stream::Stdout, b"one\n".to_vec()));
    talk.stdin.as_mut().ok_or("no input")?.write(b"two\n").await?;
    let second = talk.next().await.ok_or("nothing came")?;
    assert_eq!((second.stream, second.bytes), (Stream::Stderr, b"got two\n".to_vec()));
    assert!(talk.next().await.is_none() && talk.next().await.is_none());
    assert_eq!((talk.wait().await?, talk.wait().await?), (5, 5));
    talk.signal(15).await?;

    // More than any buffer holds, both ways at the same time.
    let sent: Vec<u8> = (0..8_u32 << 20).map(|place| place.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let mut echo = machine.spawn(["cat"]).await?;
    let mut input = echo.stdin.take().ok_or("no input")?;
    let writing = async {
        input.write(&sent).await?;
        drop(input);
        Ok::<(), std::io::Error>(())
    };
    let reading = async {
        let mut got = Vec::new();
        while let Some(piece) = echo.next().await {
            got.extend(piece.bytes);
        }
        got
    };
    let (written, got) = tokio::join!(writing, reading);
    written?;
    assert!(got == sent, "{} bytes of {} came back", got.len(), sent.len());
    assert_eq!(echo.wait().await?, 0);

    // All of the input at once, and none.
    let given = ExecSpec { stdin: Some(sent.clone()), ..ExecSpec::from(["cat"]) };
    assert!(machine.exec(given.clone()).await?.stdout == sent);
    assert!(machine.run("host", given).await?.stdout == sent);
    assert!(machine.exec(["cat"]).await?.stdout.is_empty());
    // A command that takes none of it.
    let given = ExecSpec { stdin: Some(sent.clone()), ..ExecSpec::from(["true"]) };
    assert!(machine.exec(given).await?.success());
    let mut deaf = machine.spawn(["true"]).await?;
    let mut input = deaf.stdin.take().ok_or("no input")?;
    assert_eq!(deaf.wait().await?, 0);
    let refused = async { while input.write(&sent).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, refused).await?;
    assert_eq!(input.write(&sent).await.map_err(|error| error.kind()), Err(ErrorKind::BrokenPipe));
    machine.stop().await?;
    Ok(())
}

pub(crate) async fn what_a_command_gets() -> Outcome {
    let config = MachineConfig { working_dir: Some("/usr".to_owned()), ..small("gets") };
    let config = MachineConfig { env: [("A".to_owned(), "$1".to_owned())].into(), ..config };
    let machine = started(config).await?;
    let show = ["sh", "-c", "echo $A $B; pwd; id -u"];
    assert_eq!(machine.exec(show).await?.stdout_text(), "$1\n/usr\n0\n");
    let other = ExecSpec {
        env: [("B".to_owned(), "x y".to_owned())].into(),
        working_dir: Some("/etc".to_owned()),
        user: Some("1234:1234".to_owned()),
        ..ExecSpec::from(show)
    };
    assert_eq!(machine.exec(other.clone()).await?.stdout_text(), "$1 x y\n/etc\n1234\n");
    assert_eq!(machine.run("host", other.clone()).await?.stdout_text(), "$1 x y\n/etc\n1234\n");
    for wrong in [
        ExecSpec { working_dir: Some("etc".to_owned()), ..other.clone() },
        ExecSpec { working_dir: Some("/not/there".to_owned()), ..other.clone() },
        ExecSpec { user: Some("nobody-of-this-name".to_owned()), ..other.clone() },
        ExecSpec::from(["/etc/passwd"]),
    ] {
        let failed = machine.exec(wrong).await;
        assert!(matches!(failed, Err(MachineError::Command { exit_code: 126, .. })), "{failed:?}");
    }
    let failed = machine.run("host", ["not-there"]).await;
    assert!(
        matches!(&failed, Err(MachineError::Command { exit_code: 127, cause }) if cause.contains("not-there")),
        "{failed:?}"
    );
    // What ran before is not in the way.
    assert_eq!(machine.exec(show).await?.stdout_text(), "$1\n/usr\n0\n");
    machine.stop().await?;
    Ok(())
}

pub(crate) async fn time_and_signals() -> Outcome {
    let machine = started(small("time")).await?;
    // However slow this computer is, there is a time in which a command begins and does not end.
    for image in [None, Some("host")] {
        let mut timeout = Duration::from_millis(500);
        loop {
            let words = ["sh", "-c", &format!("echo begun; {ENDLESS}")];
            let endless = ExecSpec { timeout: Some(timeout), ..ExecSpec::from(words) };
            let outcome = match image {
                None => machine.exec(endless).await,
                Some(image) => machine.run(image, endless).await,
            };
            match outcome {
                Err(MachineError::TimedOut { stdout, .. }) if stdout == b"begun\n" => break,
                Err(MachineError::TimedOut { stdout, .. }) if stdout.is_empty() && timeout < PATIENCE => timeout *= 3,
                other => return Err(format!("{other:?}").into()),
            }
        }
    }
    let soon = Some(Duration::from_millis(300));
    // One that does not heed the first signal.
    let stubborn = format!("trap '' TERM; echo begun; {ENDLESS}");
    let stubborn = ExecSpec { timeout: soon, ..ExecSpec::from(["sh", "-c", &stubborn]) };
    assert!(matches!(machine.exec(stubborn).await, Err(MachineError::TimedOut { .. })));
    // One that ended in time, whose end is asked for later.
    let time = Some(Duration::from_secs(5));
    let mut quick = machine.spawn(ExecSpec { timeout: time, ..ExecSpec::from(["true"]) }).await?;
    assert!(quick.next().await.is_none());
    assert!(machine.exec(["sleep", "6"]).await?.success());
    assert_eq!(quick.wait().await?, 0);
    for number in [15, 10, 9] {
        let mut sleeping = machine.spawn(["sleep", "4321"]).await?;
        sleeping.signal(number).await?;
        assert_eq!(sleeping.wait().await?, 128 + number);
    }
    // What a command leaves in the background does not hold its end back.
    let left = machine.exec(["sh", "-c", "sleep 4321 & echo done"]).await?;
    assert_eq!(left.stdout, b"done\n");
    let flood = machine.exec(["head", "-c", "80000000", "/dev/zero"]).await;
    assert!(matches!(flood, Err(MachineError::TooMuchOutput { .. })), "{flood:?}");
    nothing_sleeps(&machine).await?;
    machine.stop().await?;
    Ok(())
}

/// Waits until no command of the tests is left in the machine.
pub(crate) async fn nothing_sleeps(machine: &Machine) -> Outcome {
    let look = "while grep -qs '^sleep.4321' /proc/[0-9]*/cmdline; do sleep 0.1; done";
    let look = ExecSpec { timeout: Some(PATIENCE), ..ExecSpec::from(["sh", "-c", look]) };
    assert!(machine.exec(look).await?.success());
    Ok(())
}

pub(crate) async fn ports() -> Outcome {
    let config = MachineConfig { ports: vec![PortSpec::new(0, 8000)], ..small("ports") };
    let machine = Machine::create(config.clone()).await?;
    assert_eq!(machine.address_of(8000).await, None);
    machine.start().await?;
    let address = machine.address_of(8000).await.ok_or("no address")?;
    assert_eq!(machine.address_of(8001).await, None);
    let serve = "mkdir /tmp/site; echo hello > /tmp/site/index.html; exec python3 -m http.server -d /tmp/site";
    let _server = machine.spawn(["sh", "-c", serve]).await?;
    let asked = tokio::task::spawn_blocking(move || {
        let start = Instant::now();
        loop {
            let mut answer = String::new();
            let mut ask = || -> std::io::Result<()> {
                let mut stream = TcpStream::connect(address)?;
                stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
                stream.read_to_string(&mut answer).map(drop)
            };
            let asked = ask();
            if answer.ends_with("hello\n") || start.elapsed() > PATIENCE {
                return (asked, answer);
            }
            std::thread::yield_now();
        }
    });
    let (asked, answer) = asked.await?;
    assert!(answer.ends_with("hello\n"), "{asked:?} {answer}");
    // A port that somebody has is told before anything boots.
    let other = MachineConfig { ports: vec![PortSpec::new(address.port(), 8000)], ..small("ports-too") };
    let refused = match Machine::create(other).await {
        Ok(other) => other.start().await,
        Err(error) => Err(error),
    };
    assert!(matches!(refused, Err(MachineError::Port(_))), "{refused:?}");
    machine.stop().await?;
    assert_eq!(machine.address_of(8000).await, None);
    assert!(TcpStream::connect(address).is_err());
    Ok(())
}

pub(crate) async fn a_machine_that_fails() -> Outcome {
    let machine = started(small("fails")).await?;
    let end = machine.exec(["sh", "-c", "echo 1 > /proc/sys/kernel/sysrq; echo o > /proc/sysrq-trigger; sleep 4321"]);
    let ended = end.await;
    assert!(matches!(ended, Err(MachineError::Failed { .. })), "{ended:?}");
    let later = machine.exec(["true"]).await;
    assert!(matches!(later, Err(MachineError::Failed { .. } | MachineError::NotStarted)), "{later:?}");
    // It may be started again at once.
    machine.start().await?;
    assert!(machine.exec(["true"]).await?.success());
    machine.stop().await?;
    no_children().await;
    Ok(())
}
