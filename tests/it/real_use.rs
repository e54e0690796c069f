//! What people keep machines up for: a database that a client machine works with, a web server that the host reaches.
//! Both are `examples/`, as they are.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use crate::registry::images::made_once;
use crate::running::EVENT_LIMIT;
use crate::support::{machines, repository};
use crate::world::{Who, World, as_everyone};

/// Changes whenever what `make-image.sh` makes does.
const IMAGE_VERSION: u32 = 2;

/// The image of the database's example, made once a build.
fn postgres_image() -> String {
    let made = made_once(&format!("postgres-{IMAGE_VERSION}"), |folder| {
        let script = repository().join("examples/postgres/make-image.sh");
        // What it mounts is nobody else's to see.
        let mut command = Command::new("unshare");
        if rustix::process::geteuid().is_root() {
            command.arg("--mount");
        }
        let output = command.arg("--").arg(script).arg(folder.join("image")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    });
    format!("oci:{}", made.join("image").display())
}

fn example(world: &World, name: &str) {
    let file = repository().join("examples").join(name).join("smolvm.yaml");
    world.write("project/smolvm.yaml", &std::fs::read_to_string(file).unwrap());
}

fn read(world: &World, name: &str) -> String {
    let path = world.place("project").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn owner(path: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).unwrap().uid()
}

#[test]
fn a_client_machine_measures_a_database_that_keeps_its_tables() {
    let Some(_machines) = machines() else { return };
    let image = postgres_image();
    let who = if rustix::process::geteuid().is_root() { Who::Ordinary } else { Who::Ourselves };
    let world = World::new(who);
    example(&world, "postgres");
    let up = |selection: &[&str]| {
        let words = [&["up", "--accel", "tcg", "--progress", "plain"], selection].concat();
        let output = world.command(&words).env("POSTGRES_IMAGE", &image).output().unwrap();
        let told = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{told}");
        told
    };
    up(&[]);
    let first = read(&world, "out/accounts.txt");
    let report = read(&world, "out/pgbench.txt");
    assert!(report.contains("number of failed transactions: 0 (0.000%)"), "{report}");
    assert!(report.contains("tps = "), "{report}");
    assert_eq!(first, "100000\n");
    let expected = if who == Who::Ordinary { crate::invoker::ORDINARY } else { rustix::process::geteuid().as_raw() };
    assert_eq!(owner(&world.place("project/out/pgbench.txt")), expected);
    std::fs::remove_file(world.place("project/out/accounts.txt")).unwrap();
    // Only `measure`, which finds what `load` of the run before has made.
    let text = std::fs::read_to_string(world.place("project/smolvm.yaml")).unwrap();
    world.write("project/smolvm.yaml", &text.replace("  - id: measure\n", "  - id: measure\n    needs: []\n"));
    let told = up(&["measure"]);
    assert!(!told.contains("step load"), "{told}");
    assert_eq!(read(&world, "out/accounts.txt"), first);
    world.assert_nothing_stays();
}

#[test]
fn the_host_reaches_a_web_server() {
    let Some(_machines) = machines() else { return };
    as_everyone(|who| {
        let world = World::new(who);
        example(&world, "web-server");
        world.make_folder("project/site");
        world.write("project/site/index.html", "<h1>hello</h1>\n");
        let mut command = world.command(&["up", "--accel", "tcg", "--progress", "json"]);
        command.env("WEB_PORT", "0");
        let mut live = crate::running::Live::start(command);
        live.until("a healthy web server", |event| event["event"] == "service" && event["phase"] == "healthy");
        let port = world.command(&["port", "web", "80"]).output().unwrap();
        assert!(port.status.success(), "{}", String::from_utf8_lossy(&port.stderr));
        let address = String::from_utf8(port.stdout).unwrap().trim().to_owned();
        for _ in 0..20 {
            let mut stream = TcpStream::connect(&address).unwrap();
            stream.set_read_timeout(Some(EVENT_LIMIT)).unwrap();
            stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(
                answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("\r\n\r\n<h1>hello</h1>\n"),
                "{answer}"
            );
        }
        live.signal(rustix::process::Signal::INT);
        let ended = live.finish();
        assert_eq!(ended.code, Some(130), "{}", ended.stderr);
        world.assert_nothing_stays();
    });
}
