//! The tasks of a session: who writes requests, who reads either connection, who says that it is over.

use std::sync::Arc;
use std::time::Duration;

use smolvm_agent::{ANSWER_MAX, Answer, Numbered, REQUEST_MAX, Report, Request, encode};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::frames::{FrameReader, StreamEnd};
use super::session::{Linked, SessionEvent, Shared};

/// How long one connection may outlive the other: what was said on it before the end still counts.
const DRAIN: Duration = Duration::from_secs(5);

pub(super) async fn write_requests(mut stream: OwnedWriteHalf, mut frames: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = frames.recv().await {
        if stream.write_all(&frame).await.is_err() {
            // The reader of the same connection says why.
            return;
        }
    }
}

pub(super) async fn read_answers(
    stream: OwnedReadHalf,
    shared: Arc<Shared>,
    heard: watch::Sender<()>,
    links: mpsc::Sender<Linked>,
) -> StreamEnd {
    let mut reader = FrameReader::new(stream, ANSWER_MAX);
    let end = loop {
        match reader.next::<Answer>().await {
            Ok(Answer::Heartbeat) => {}
            // Where too many wait, the guest gives this one up in time.
            Ok(Answer::Linked { link, ticket }) => drop(links.try_send(Linked { link, ticket })),
            Ok(Answer::Reply { id, reply }) => {
                let waiting = shared.lock().waiting.remove(&id);
                if let Some(waiting) = waiting {
                    // The caller may have given up.
                    let _ = waiting.send(reply);
                }
            }
            Err(end) => break end,
        }
        heard.send_replace(());
    };
    shared.close(&end.to_string());
    end
}

/// Reads the output connection; holds its unused other half, so that the guest sees it close only at the end.
pub(super) async fn read_reports(
    stream: OwnedReadHalf,
    _open: OwnedWriteHalf,
    shared: Arc<Shared>,
    events: mpsc::Sender<SessionEvent>,
) -> StreamEnd {
    let mut reader = FrameReader::new(stream, ANSWER_MAX);
    loop {
        let report = reader.next::<Report>().await;
        if let Ok(Report::Exited { exec, status, is_out_of_memory }) = report
            && let Some(ended) = shared.lock().ends.remove(&exec)
        {
            // Nobody may wait for it any more.
            let _ = ended.send((status, is_out_of_memory));
            continue;
        }
        let event = match report {
            Ok(Report::Output { exec, stream, bytes }) if shared.lock().execs.contains(&exec) => {
                SessionEvent::Output { exec, stream, bytes: bytes.0 }
            }
            Ok(Report::Exited { exec, status, is_out_of_memory }) if shared.lock().execs.remove(&exec) => {
                SessionEvent::Exited { exec, status, is_out_of_memory }
            }
            Ok(Report::Log { bytes }) => SessionEvent::Log { bytes: bytes.0 },
            Ok(Report::Output { .. } | Report::Exited { .. }) => continue,
            Err(end) => return end,
        };
        if events.send(event).await.is_err() {
            return StreamEnd::Closed;
        }
    }
}

/// Asks for a sign of life, and waits for nothing.
pub(super) fn asker(shared: Arc<Shared>, requests: mpsc::Sender<Vec<u8>>) -> impl Fn() + Send {
    move || {
        if let Ok(frame) = encode(&Numbered { id: shared.lock().take_id(), request: Request::Ping }, REQUEST_MAX) {
            // Where requests wait for the guest already, one more changes nothing.
            let _ = requests.try_send(frame);
        }
    }
}

/// Waits for the end of either connection, and says it after the last output.
pub(super) async fn supervise(
    mut control: tokio::task::JoinHandle<StreamEnd>,
    mut output: tokio::task::JoinHandle<StreamEnd>,
    shared: Arc<Shared>,
    events: mpsc::Sender<SessionEvent>,
) {
    let (end, mut other) = tokio::select! {
        end = &mut control => (end, output),
        end = &mut output => (end, control),
    };
    if matches!(end, Ok(StreamEnd::Closed)) {
        let _ = timeout(DRAIN, &mut other).await;
    }
    other.abort();
    let reason = end.map_or_else(|_| "the session ended".to_owned(), |end| end.to_string());
    shared.close(&reason);
    // Nobody listens where the run is over.
    let _ = events.send(SessionEvent::Closed { reason }).await;
}
