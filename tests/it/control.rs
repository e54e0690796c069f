//! A run that goes on is looked at, and commands are run in its machine, through its socket, by another process.
//!
//! Deliberately not here: the verbs that do it (`exec`, `life`).

use std::collections::BTreeMap;
use std::path::Path;

use rustix::process::Signal;
use smolvm::control::{Client, ControlError, ExecAsk, Found, Tell};
use smolvm::guest::{ExitStatus, Stream, Streams};
use smolvm::run::{ProjectState, StepView};
use smolvm::sys::identity::Actor;

use crate::running::{Live, signal};
use crate::support::machines;
use crate::world::{Who, World};

fn client(world: &World) -> Client {
    let state = ProjectState::locate(&world.place("state"), Actor::Own, "acme", &world.place("project"));
    match Client::find(&state).unwrap() {
        Found::Held(client) => client,
        other => panic!("{other:?}"),
    }
}

fn ask(machine: &str, words: &[&str]) -> ExecAsk {
    ExecAsk {
        machine: machine.to_owned(),
        command: words.iter().map(Into::into).collect(),
        env: BTreeMap::from([("B".into(), "asked".into())]),
        working_dir: Some("/tmp".into()),
        user: None,
        streams: Streams::Pipes,
    }
}

/// Runs a command with this input; what it wrote on both streams, and how it ended.
async fn exec(client: &Client, ask: ExecAsk, input: &[u8]) -> (Vec<u8>, Vec<u8>, Option<(ExitStatus, bool)>) {
    let mut remote = client.exec(ask).await.unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let writing = async {
        let mut stdin = remote.input;
        stdin.write(input).await;
    };
    let reading = async {
        while let Some(chunk) = remote.output.next().await {
            match chunk.stream {
                Stream::Stdout => out.extend(chunk.bytes),
                Stream::Stderr => err.extend(chunk.bytes),
            }
        }
    };
    tokio::join!(writing, reading);
    let ended = remote.end.wait().await.unwrap();
    (out, err, ended)
}

fn until_step(live: &mut Live) {
    live.until_output("step-here");
}

#[test]
fn a_run_that_goes_on_is_looked_at_and_commands_run_in_its_machine() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    world.project(", env: { A: file }", "steps: [{ id: wait, run: echo step-here; sleep 1000 }]\n");
    let mut live = world.up(&[]);
    until_step(&mut live);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = client(&world);
        let view = client.view().await.unwrap();
        assert!(view.machines[0].is_up() && !view.is_settled);
        assert!(matches!(&view.steps[..], [StepView { attempt: Some(1), status: None, .. }]));
        assert_eq!(client.about().await.unwrap().pid, live.pid());

        let text = "echo $A $B $PWD; cat; echo bad >&2; exit 7";
        let (out, err, ended) = exec(&client, ask(world.machine(), &["sh", "-c", text]), b"in\xff").await;
        assert_eq!((&out[..], &err[..]), (&b"file asked /tmp\nin\xff"[..], &b"bad\n"[..]));
        assert_eq!(ended, Some((ExitStatus::Code(7), false)));
        let large = vec![b'x'; 8 << 20];
        let (out, _, _) = exec(&client, ask(world.machine(), &["cat"]), &large).await;
        assert!(out == large, "{} bytes came back", out.len());

        let mut sleeping = client.exec(ask(world.machine(), &["sleep", "1000"])).await.unwrap();
        sleeping.teller.tell(Tell::Signal(15)).await;
        assert_eq!(sleeping.end.wait().await.unwrap(), Some((ExitStatus::Signal(15), false)));

        let code = |error: ControlError| match error {
            ControlError::Refused(refusal) => (refusal.exit_code, refusal.message),
            other => panic!("{other:?}"),
        };
        let missing = code(client.exec(ask(world.machine(), &["no-such-program"])).await.unwrap_err());
        assert_eq!(missing.0, 127, "{missing:?}");
        let unknown = code(client.exec(ask("nobody", &["true"])).await.unwrap_err());
        assert_eq!(unknown, (125, "there is no machine `nobody` in this run".to_owned()));

        // The end of the run ends what runs in it from outside.
        let mut left = client.exec(ask(world.machine(), &["sleep", "1000"])).await.unwrap();
        signal(live.pid(), Signal::TERM);
        assert!(!matches!(left.end.wait().await, Ok(Some((ExitStatus::Code(_), _)))));
    });
    assert_eq!(live.finish().code, Some(143));
    assert!(!Path::new(&world.place("run/smolvm")).exists());
    world.assert_nothing_stays();
}
