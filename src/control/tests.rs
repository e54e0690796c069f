//! A server and its clients, without a run behind the handle.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::time::timeout;

use super::place::Note;
use super::*;
use crate::guest::Streams;
use crate::run::{CommandError, ProjectLock, ProjectState, RunCommand, RunDoor, door};
use crate::sys::identity::Actor;

const DEADLINE: Duration = Duration::from_secs(60);

struct Rig {
    server: Option<Server>,
    door: Option<RunDoor>,
    state: ProjectState,
    _lock: ProjectLock,
    _home: tempfile::TempDir,
}

fn rig() -> Rig {
    let home = tempfile::tempdir().unwrap();
    let state = ProjectState::locate(home.path(), Actor::Own, "acme", Path::new("/code/acme"));
    let lock = state.lock("smolvm up", false).unwrap();
    let bound = Bound::open(&state, Some(home.path())).unwrap();
    let (handle, door) = door();
    let about =
        About { pid: 7, command: "smolvm up".to_owned(), since: SystemTime::UNIX_EPOCH, role: Role::Foreground };
    let server = Server::start(bound, handle, about).unwrap();
    Rig { server: Some(server), door: Some(door), state, _lock: lock, _home: home }
}

fn client(state: &ProjectState) -> Client {
    match Client::find(state).unwrap() {
        Found::Held(client) => client,
        other => panic!("{other:?}"),
    }
}

fn ask(machine: &str) -> ExecAsk {
    ExecAsk {
        machine: machine.to_owned(),
        command: vec!["true".into()],
        env: std::collections::BTreeMap::new(),
        working_dir: None,
        user: None,
        streams: Streams::Pipes,
    }
}

#[tokio::test]
async fn a_client_is_answered_and_sees_the_end() {
    let mut rig = rig();
    let client = client(&rig.state);
    assert_eq!(client.about().await.unwrap().pid, 7);
    let mut rows = client.watch().await.unwrap();
    assert!(rows.view().await.unwrap().machines.is_empty());
    let refused = client.exec(ask("db")).await.unwrap_err();
    assert_eq!(refused.to_string(), "the run is over");
    rig.door = None;
    assert_eq!(
        client.command(RunCommand::Start { machines: Vec::new(), is_healthy: false }).await.unwrap(),
        Err(CommandError::Over)
    );
    assert!(timeout(DEADLINE, rows.view()).await.unwrap().is_none());
    rig.server = None;
    assert!(matches!(Client::find(&rig.state).unwrap(), Found::Nobody));
}

#[tokio::test]
async fn a_server_that_was_killed_is_told_apart_from_one_that_is_not_there() {
    let mut rig = rig();
    let note = Note::read(&rig.state).unwrap();
    let kept = fs::read(rig.state.folder().join("control")).unwrap();
    rig.server = None;
    fs::write(rig.state.folder().join("control"), kept).unwrap();
    match Client::find(&rig.state).unwrap() {
        Found::Left(left) => left.clear(&rig.state),
        other => panic!("{other:?}"),
    }
    assert!(!note.socket.exists());
    assert!(matches!(Client::find(&rig.state).unwrap(), Found::Nobody));
}

#[tokio::test]
async fn another_version_and_a_stranger_are_told() {
    let rig = rig();
    let socket = Note::read(&rig.state).unwrap().socket;
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.write_all(b"smolvm--otherone and more").unwrap();
        let mut answer = Vec::new();
        // The server hangs up; bytes that it did not read make that a reset.
        let _ = stream.read_to_end(&mut answer);
        answer
    });
    assert_eq!(&timeout(DEADLINE, answer).await.unwrap().unwrap()[..8], b"smolvm--");

    // One that listens in our place, with another greeting.
    let mut other = rig;
    let note = Note::read(&other.state).unwrap();
    let kept = fs::read(other.state.folder().join("control")).unwrap();
    other.server = None;
    fs::write(other.state.folder().join("control"), kept).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(&note.socket).unwrap();
    let listening = tokio::task::spawn_blocking(move || {
        for _ in 0..2 {
            let mut stream = listener.accept().unwrap().0;
            let _ = stream.write_all(b"smolvm--otherone");
            // A look at whether somebody listens says nothing.
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    let error = client(&other.state).about().await.unwrap_err();
    assert!(matches!(error, ControlError::OtherVersion { .. }), "{error:?}");
    assert!(error.help().unwrap().contains("smolvm down"));
    timeout(DEADLINE, listening).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_folder_that_others_may_enter_is_not_believed() {
    use std::os::unix::fs::PermissionsExt;
    let rig = rig();
    let socket = Note::read(&rig.state).unwrap().socket;
    fs::set_permissions(socket.parent().unwrap(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(Client::find(&rig.state), Err(ControlError::Foreign { .. })));
}
