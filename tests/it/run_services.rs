//! `smolvm run` beside others: the services that its machine needs, published ports, and volumes that stay.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::machines;
use crate::world::{Who, World};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(90);

const SITE: &str = "  site:
    memory: 256MiB
    command: mkdir -p /tmp/site; echo from-the-site > /tmp/site/index.html; exec python3 -m http.server -d /tmp/site 8000
    healthcheck: { test: [python3, -c, 'import socket; socket.create_connection((\"127.0.0.1\", 8000))'], interval: 500ms, retries: 120 }
  idle: { memory: 256MiB, command: sleep 1000 }
  client:
    memory: 256MiB
    depends_on: { site: { condition: healthy } }
    links: [site:8000]
    ports: [0:80]
    command: echo own
";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn services_come_up_for_a_command_and_go_with_it() {
    let Some(_one_at_a_time) = machines() else { return };
    let world = World::new(if crate::invoker::is_root() { Who::Ordinary } else { Who::Ourselves });
    world.write("project/smolvm.yaml", &format!("machines:\n{SITE}"));
    let ask = "import urllib.request as u; print(u.urlopen('http://site:8000/').read().decode(), end='')";
    let output = world.command(&["run", "client", "python3", "-c", ask]).output().unwrap();
    assert_eq!(
        (text(&output.stdout), output.status.code()),
        ("from-the-site\n".to_owned(), Some(0)),
        "{}",
        text(&output.stderr)
    );
    assert!(!text(&output.stderr).contains("port: "), "{}", text(&output.stderr));
    world.assert_no_process_stays();
    // Without them it does not wait, and who comes to a link is sent away at once: the agent's own patience is a minute.
    let alone = "import socket, time
begin = time.monotonic()
try:
    end = socket.create_connection(('site', 8000), 50).recv(1)
except OSError as error:
    end = type(error).__name__
print(end, time.monotonic() - begin < 20)";
    let output = world.command(&["run", "--no-deps", "client", "python3", "-c", alone]).output().unwrap();
    assert_eq!(
        (text(&output.stdout), output.status.code()),
        ("ConnectionResetError True\n".to_owned(), Some(0)),
        "{}",
        text(&output.stderr)
    );
    world.assert_no_process_stays();
}

#[test]
fn ports_are_published_where_options_say_so_and_volumes_stay() {
    let Some(_one_at_a_time) = machines() else { return };
    let world = World::new(if crate::invoker::is_root() { Who::Ordinary } else { Who::Ourselves });
    let image = ["run", "--image", "host", "--memory", "256MiB"];
    let words = |rest: &[&'static str]| [&image[..], rest].concat();
    let kept = ["-v", "notes:/notes", "--", "sh", "-c", "cat /notes/one; echo kept >> /notes/one"];
    for before in ["", "kept\n"] {
        let output = world.command(&words(&kept)).output().unwrap();
        assert_eq!(
            (text(&output.stdout), output.status.code()),
            (before.to_owned(), Some(0)),
            "{}",
            text(&output.stderr)
        );
    }
    let serve = "mkdir /tmp/site; echo hello > /tmp/site/index.html; exec python3 -m http.server -d /tmp/site 8000";
    let words = words(&["--publish", "0:8000", "--", "sh", "-c", serve]);
    let mut child = world.command(&words).stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let mut told = String::new();
    while !told.contains(" reaches port 8000") {
        let mut byte = [0];
        assert_eq!(stderr.read(&mut byte).unwrap(), 1, "{told}");
        told.push(char::from(byte[0]));
    }
    let address = told.split("port: ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert!(address.starts_with("127.0.0.1:"), "{told}");
    let start = Instant::now();
    let mut answer = String::new();
    while !answer.ends_with("hello\n") {
        assert!(start.elapsed() < LIMIT, "{answer}");
        answer.clear();
        let Ok(mut stream) = TcpStream::connect(address) else { continue };
        // One that comes before the program is closed, or reset.
        let _ = stream.write_all(b"GET / HTTP/1.0\r\n\r\n");
        let _ = stream.read_to_string(&mut answer);
    }
    crate::running::signal(child.id(), rustix::process::Signal::TERM);
    child.wait().unwrap();
    world.assert_no_process_stays();
}
