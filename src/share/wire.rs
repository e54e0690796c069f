//! What a file server and its parent tell each other over the control socket.
//!
//! The server says once how its start went; from then on the parent asks, one thing at a time, and each is answered when
//! it is done. Messages are lines of JSON. The end of the stream ends the server.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::source::ServedRoot;

/// The descriptor from which the server reads its [`super::ShareSpec`] as JSON.
pub(super) const SPEC_FD: i32 = 3;
/// The listener to which the front end is connected.
pub(super) const LISTENER_FD: i32 = 4;
/// The control socket.
pub(super) const CONTROL_FD: i32 = 5;

/// The tree of an image; its packs have the numbers that follow.
pub(super) const IMAGE_FD: i32 = 6;

/// The longest report or answer that is read.
const MESSAGE_MAX_BYTES: u64 = 16 * 1024;

/// Time between two signs of life of a server that is long at work.
const SIGN_OF_LIFE: Duration = Duration::from_millis(200);

/// How the start went.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(super) enum Report {
    /// The server is confined and serves this.
    Ready(ServedRoot),
    /// It could not start.
    Failed {
        /// Why, for people.
        message: String,
        /// Whether this host denies what confinement needs.
        is_host_unfit: bool,
    },
}

/// Sends a report: one line of JSON.
pub(super) fn send_report(stream: impl Write, report: &Report) -> io::Result<()> {
    send_line(stream, report)
}

/// Reads a report. `None` where the stream ends before it is whole.
pub(super) fn receive_report(stream: impl Read) -> io::Result<Option<Report>> {
    let mut line = Vec::new();
    // Nothing follows a report before the parent has asked, so that a buffer takes nothing that is another's.
    BufReader::new(stream.take(MESSAGE_MAX_BYTES)).read_until(b'\n', &mut line)?;
    if line.pop() == Some(b'\n') { Ok(Some(serde_json::from_slice(&line)?)) } else { Ok(None) }
}

/// What the parent asks once the server runs.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(super) enum Ask {
    /// Show all files as owned by these ids.
    View {
        /// User of the guest.
        uid: u32,
        /// Group of the guest.
        gid: u32,
    },
    /// Forget what was recorded, and record from now on what the guest makes and changes.
    Record,
    /// Give files to a user of the host.
    Give {
        /// User.
        uid: u32,
        /// Group.
        gid: u32,
        /// What is wanted; without it what was recorded, which ends the recording.
        outputs: Option<Outputs>,
    },
}

/// Declared outputs, as the guest sees them.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Outputs {
    /// Where the share is mounted in the guest, absolute.
    pub target: String,
    /// Absolute paths or globs of the guest; those that lie elsewhere are passed over.
    pub patterns: Vec<String>,
}

/// What the server says to it.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is done.
    Done,
    /// It goes on; the parent may leave.
    Working,
    /// Files were given.
    Given(Given),
}

/// What came of giving files to a user.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct Given {
    /// Entries that were changed.
    pub changed: u64,
    /// Entries that were left alone because they have more than one name.
    pub linked: u64,
    /// The first thing that could not be done, for people.
    pub failure: Option<String>,
}

fn send_line(mut stream: impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// Sends a question and waits for the last answer to it. `goes_on` is asked at each sign of life.
pub(super) fn ask(stream: impl Read + Write, ask: &Ask, mut goes_on: impl FnMut() -> bool) -> io::Result<Answer> {
    let mut stream = stream;
    send_line(&mut stream, ask)?;
    // Nothing comes unasked: a buffer takes nothing that is another's.
    let mut answers = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        answers.by_ref().take(MESSAGE_MAX_BYTES).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match serde_json::from_slice(&line)? {
            Answer::Working if goes_on() => {}
            Answer::Working => return Err(io::Error::other("it is no longer waited for")),
            answer => return Ok(answer),
        }
    }
}

/// Answers each question that comes, until the stream ends.
pub(super) fn serve_asks<S: Read + Write + Copy>(
    stream: S,
    mut answer: impl FnMut(Ask, &mut dyn FnMut() -> io::Result<()>) -> io::Result<Answer>,
) -> io::Result<()> {
    let mut asks = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        if asks.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let mut told = Instant::now();
        let mut tick = || {
            if told.elapsed() < SIGN_OF_LIFE {
                return Ok(());
            }
            told = Instant::now();
            send_line(stream, &Answer::Working)
        };
        let answer = answer(serde_json::from_slice(&line)?, &mut tick)?;
        send_line(stream, &answer)?;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::*;

    #[test]
    fn report_survives_the_way_and_a_broken_one_is_none() {
        let failed = Report::Failed { message: "line\nbreak".into(), is_host_unfit: true };
        let mut bytes = Vec::new();
        send_report(&mut bytes, &failed).unwrap();
        assert_eq!(receive_report(bytes.as_slice()).unwrap(), Some(failed));
        assert_eq!(receive_report(&bytes[..bytes.len() - 1]).unwrap(), None);
    }

    #[test]
    fn questions_are_answered_in_order_until_the_stream_ends() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let server = thread::spawn(move || {
            let mut seen = Vec::new();
            let served = serve_asks(&theirs, |ask, _| {
                seen.push(ask);
                Ok(Answer::Done)
            });
            served.unwrap();
            seen
        });
        let asks = [Ask::View { uid: 1000, gid: 100 }, Ask::Record, Ask::View { uid: u32::MAX - 1, gid: 0 }];
        for question in &asks {
            assert_eq!(ask(&ours, question, || true).unwrap(), Answer::Done);
        }
        drop(ours);
        assert_eq!(server.join().unwrap(), asks);
    }

    #[test]
    fn long_work_gives_signs_of_life_and_whoever_leaves_ends_it() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let server = thread::spawn(move || {
            serve_asks(&theirs, |_, tick| {
                loop {
                    tick()?;
                }
            })
        });
        let mut signs = 0;
        let give = Ask::Give { uid: 1, gid: 1, outputs: None };
        let left = ask(&ours, &give, || {
            signs += 1;
            signs < 2
        });
        assert!(left.is_err() && signs == 2);
        drop(ours);
        assert!(server.join().unwrap().is_err());
    }
}
