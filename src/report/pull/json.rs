//! JSON lines of a pull, for programs; the form is in `docs/forms.md`.

use serde::Serialize;

use super::fact::{LayerStep, PullFact, PullOutcome, TimedFact};

/// Version of the form, as that of a run's events.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Line<'a> {
    v: u32,
    t: f64,
    #[serde(flatten)]
    body: Body<'a>,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Body<'a> {
    Pull {
        image: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        layer: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        phase: Option<&'static str>,
        done: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
    },
    Progress {
        image: &'a str,
        text: &'a str,
    },
    PullFinished {
        image: &'a str,
        status: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        digest: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<&'a str>,
        fetched: u64,
    },
}

/// One fact as a line with its end. `sums` are the bytes of the whole image: here, to be fetched in all, come by this pull.
pub fn render_pull_line(timed: &TimedFact, sums: (u64, u64, u64)) -> String {
    let (done, all, fetched) = sums;
    let body = match &timed.fact {
        PullFact::Started { image } => Body::Pull { image, layer: None, phase: None, done: 0, total: None },
        PullFact::Words { image, text } => Body::Progress { image, text },
        PullFact::Layer { image, digest, step, done, total, .. } => {
            Body::Pull { image, layer: Some(digest), phase: Some(phase(*step)), done: *done, total: Some(*total) }
        }
        PullFact::Finished { image, outcome } => match outcome {
            PullOutcome::Here { digest, .. } => {
                let status = if fetched > 0 { "pulled" } else { "here" };
                Body::PullFinished { image, status, digest: Some(digest), cause: None, fetched }
            }
            PullOutcome::Failed { cause } => {
                Body::PullFinished { image, status: "failed", digest: None, cause: Some(cause), fetched }
            }
        },
    };
    let mut text = line(timed, body);
    if let PullFact::Layer { image, .. } = &timed.fact {
        // The whole image, for those who look at nothing finer.
        text.push_str(&line(timed, Body::Pull { image, layer: None, phase: None, done, total: Some(all) }));
    }
    text
}

fn line(timed: &TimedFact, body: Body<'_>) -> String {
    let t = (timed.at.as_secs_f64() * 1000.0).round() / 1000.0;
    let line = Line { v: VERSION, t, body };
    let mut text = serde_json::to_string(&line).expect("text and numbers serialize");
    text.push('\n');
    text
}

fn phase(step: LayerStep) -> &'static str {
    match step {
        LayerStep::Waiting => "waiting",
        LayerStep::Fetching => "fetching",
        LayerStep::Unpacking => "unpacking",
        LayerStep::Done => "done",
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::testing::{finished, layer, started};
    use super::*;

    #[test]
    fn an_image_is_told_as_a_whole_and_by_its_layers() {
        assert_eq!(
            render_pull_line(&started(0, "a:1"), (0, 0, 0)),
            "{\"v\":1,\"t\":0.0,\"event\":\"pull\",\"image\":\"a:1\",\"done\":0}\n"
        );
        let text = render_pull_line(&layer(1500, "a:1", 'b', LayerStep::Fetching, (1, 2)), (5, 9, 5));
        let lines: Vec<&str> = text.lines().collect();
        let digest = "b".repeat(64);
        assert_eq!(
            lines,
            [
                format!(
                    "{{\"v\":1,\"t\":1.5,\"event\":\"pull\",\"image\":\"a:1\",\"layer\":\"sha256:{digest}\",\
                     \"phase\":\"fetching\",\"done\":1048576,\"total\":2097152}}"
                )
                .as_str(),
                "{\"v\":1,\"t\":1.5,\"event\":\"pull\",\"image\":\"a:1\",\"done\":5,\"total\":9}"
            ]
        );
        let text = render_pull_line(&finished(2000, "a:1", false), (9, 9, 0));
        assert!(text.contains("\"event\":\"pull-finished\",\"image\":\"a:1\",\"status\":\"here\""), "{text}");
    }
}
