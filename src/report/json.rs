//! One event a line, for programs. The form is documented in `docs/forms.md` and kept compatible.
//!
//! Deliberately not here: the JSON of diagnostics (`diag`), of a plan (`plan`).

use serde::Serialize;

use crate::event::{Event, OutputOf, RunStatus, Stream, Timed};

use super::reporter::{Reporter, Sink};
use super::words;

const VERSION: u32 = 1;

/// Writes every event as one line of JSON.
#[derive(Debug)]
pub struct JsonReporter {
    stdout: Sink,
}

impl JsonReporter {
    /// A reporter that writes to `stdout`.
    pub fn new(stdout: Sink) -> Self {
        Self { stdout }
    }
}

impl Reporter for JsonReporter {
    fn on(&mut self, timed: &Timed) {
        self.stdout.write(render_line(timed).as_bytes());
    }
}

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
    RunStarted {
        run: &'a str,
        project: &'a str,
    },
    Machine {
        machine: &'a str,
        phase: &'static str,
        seconds: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        engine: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<&'a str>,
    },
    Waiting {
        machine: &'a str,
        on: Vec<AwaitedBody<'a>>,
    },
    Service {
        machine: &'a str,
        phase: &'static str,
        seconds: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        attempt: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        of: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        delay: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        test: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<&'a str>,
    },
    NotStarted {
        machine: &'a str,
        cause: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<&'a str>,
    },
    Progress {
        machine: &'a str,
        text: &'a str,
    },
    Pull {
        machine: &'a str,
        image: &'a str,
        done: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
    },
    StepStarted {
        step: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a str>,
        machine: &'a str,
        attempt: u32,
    },
    Output {
        #[serde(skip_serializing_if = "Option::is_none")]
        step: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        machine: Option<&'a str>,
        stream: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        base64: Option<String>,
    },
    StepFinished {
        step: &'a str,
        machine: &'a str,
        status: &'static str,
        exit_code: Option<i32>,
        seconds: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<&'a str>,
        allowed: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        log: Option<&'a str>,
    },
    Ownership {
        step: &'a str,
        changed: u64,
        linked: u64,
    },
    Warning {
        text: &'a str,
    },
    Paused {
        step: &'a str,
        machine: &'a str,
        #[serde(flatten)]
        totals: Totals<'a>,
    },
    RunHeld {
        #[serde(flatten)]
        totals: Totals<'a>,
    },
    RunFinished {
        #[serde(flatten)]
        totals: Totals<'a>,
        cached: usize,
    },
}

/// How a run stands, or ended.
#[derive(Serialize)]
struct Totals<'a> {
    status: &'static str,
    exit_code: u8,
    cause: Option<&'a str>,
    seconds: f64,
    passed: usize,
    failed: usize,
    skipped: usize,
}

#[derive(Serialize)]
struct AwaitedBody<'a> {
    machine: &'a str,
    condition: &'static str,
}

/// One event as a line with its end.
pub fn render_line(timed: &Timed) -> String {
    let line = Line { v: VERSION, t: millis(timed.at.as_secs_f64()), body: body(&timed.event) };
    let mut text = serde_json::to_string(&line).expect("text, numbers and no maps with other keys serialize");
    text.push('\n');
    text
}

fn body(event: &Event) -> Body<'_> {
    match event {
        Event::RunStarted { run, project } => Body::RunStarted { run, project },
        Event::Machine { machine, phase, seconds, engine, cause } => Body::Machine {
            machine,
            phase: phase.name(),
            seconds: millis(*seconds),
            engine: engine.as_deref(),
            cause: cause.as_deref(),
        },
        Event::Waiting { machine, on } => Body::Waiting {
            machine,
            on: on.iter().map(|on| AwaitedBody { machine: &on.machine, condition: on.condition.word() }).collect(),
        },
        Event::Service { machine, phase, seconds, attempt, of, exit_code, delay, test, cause } => Body::Service {
            machine,
            phase: words::service_phase(*phase),
            seconds: millis(*seconds),
            attempt: *attempt,
            of: *of,
            exit_code: *exit_code,
            delay: delay.map(millis),
            test: test.as_deref(),
            cause: cause.as_deref(),
        },
        Event::NotStarted { machine, cause, by } => Body::NotStarted { machine, cause, by: by.as_deref() },
        Event::Progress { machine, text } => Body::Progress { machine, text },
        Event::Pull { machine, image, done, total } => Body::Pull { machine, image, done: *done, total: *total },
        Event::StepStarted { step, title, machine, attempt } => {
            Body::StepStarted { step, title: title.as_deref(), machine, attempt: *attempt }
        }
        Event::Output { of, stream, bytes } => output(of, *stream, bytes),
        Event::StepFinished { step, machine, status, exit_code, seconds, cause, is_allowed, log } => {
            Body::StepFinished {
                step,
                machine,
                status: words::step_status(*status),
                exit_code: *exit_code,
                seconds: millis(*seconds),
                cause: cause.as_deref(),
                allowed: *is_allowed,
                log: log.as_deref(),
            }
        }
        Event::Ownership { step, changed, linked } => Body::Ownership { step, changed: *changed, linked: *linked },
        Event::Warning { text } => Body::Warning { text },
        Event::Paused { step, machine, status, exit_code, cause, seconds, passed, failed, skipped } => {
            let totals = totals((*status, *exit_code), cause.as_deref(), *seconds, [*passed, *failed, *skipped]);
            Body::Paused { step, machine, totals }
        }
        Event::RunHeld { status, exit_code, cause, seconds, passed, failed, skipped } => Body::RunHeld {
            totals: totals((*status, *exit_code), cause.as_deref(), *seconds, [*passed, *failed, *skipped]),
        },
        Event::RunFinished { status, exit_code, cause, seconds, passed, failed, skipped, cached } => {
            let totals = totals((*status, *exit_code), cause.as_deref(), *seconds, [*passed, *failed, *skipped]);
            Body::RunFinished { totals, cached: *cached }
        }
    }
}

fn totals(
    (status, exit_code): (RunStatus, u8),
    cause: Option<&str>,
    seconds: f64,
    [passed, failed, skipped]: [usize; 3],
) -> Totals<'_> {
    Totals { status: words::run_status(status), exit_code, cause, seconds: millis(seconds), passed, failed, skipped }
}

fn output<'a>(of: &'a OutputOf, stream: Stream, bytes: &'a [u8]) -> Body<'a> {
    let (step, machine) = match of {
        OutputOf::Step(step) => (Some(step.as_str()), None),
        OutputOf::Machine(machine) => (None, Some(machine.as_str())),
    };
    let stream = match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
        Stream::Console => "console",
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => Body::Output { step, machine, stream, text: Some(text), base64: None },
        Err(_) => Body::Output { step, machine, stream, text: None, base64: Some(base64(bytes)) },
    }
}

fn millis(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// RFC 4648, 4, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = [0, 1, 2].map(|place| u32::from(chunk.get(place).copied().unwrap_or(0)));
        let bits = group[0] << 16 | group[1] << 8 | group[2];
        for place in 0..4usize {
            if place <= chunk.len() {
                let index = (bits >> (18 - 6 * place)) & 63;
                out.push(char::from(ALPHABET[index as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Awaited, MachinePhase, ServicePhase, StepStatus};
    use std::time::Duration;

    fn line(event: Event) -> String {
        render_line(&Timed { at: Duration::from_micros(1_234_400), event })
    }

    #[test]
    fn the_envelope_comes_first_and_times_are_milliseconds() {
        assert_eq!(
            line(Event::RunStarted { run: "r1".to_owned(), project: "demo".to_owned() }),
            "{\"v\":1,\"t\":1.234,\"event\":\"run-started\",\"run\":\"r1\",\"project\":\"demo\"}\n"
        );
        assert_eq!(
            line(Event::Machine {
                machine: "build".to_owned(),
                phase: MachinePhase::Booting,
                seconds: 0.0125,
                engine: Some("qemu (tcg)".to_owned()),
                cause: None,
            }),
            "{\"v\":1,\"t\":1.234,\"event\":\"machine\",\"machine\":\"build\",\"phase\":\"booting\",\"seconds\":0.013,\"engine\":\"qemu (tcg)\"}\n"
        );
    }

    #[test]
    fn a_service_says_only_what_belongs_to_its_phase() {
        let service = |phase, attempt, of, exit_code, delay, cause: Option<&str>| Event::Service {
            machine: "db".to_owned(),
            phase,
            seconds: 1.5,
            attempt,
            of,
            exit_code,
            delay,
            test: (phase == ServicePhase::Testing).then(|| "pg_isready".to_owned()),
            cause: cause.map(str::to_owned),
        };
        let started = "{\"v\":1,\"t\":1.234,\"event\":\"service\",\"machine\":\"db\",\"phase\":";
        assert_eq!(
            line(service(ServicePhase::Started, None, None, None, None, None)),
            format!("{started}\"started\",\"seconds\":1.5}}\n")
        );
        assert_eq!(
            line(service(ServicePhase::Testing, Some(4), Some(30), Some(2), None, Some("no response"))),
            format!(
                "{started}\"testing\",\"seconds\":1.5,\"attempt\":4,\"of\":30,\"exit_code\":2,\"test\":\"pg_isready\",\"cause\":\"no response\"}}\n"
            )
        );
        assert_eq!(
            line(service(ServicePhase::Restarting, Some(1), None, None, Some(0.1), None)),
            format!("{started}\"restarting\",\"seconds\":1.5,\"attempt\":1,\"delay\":0.1}}\n")
        );
    }

    #[test]
    fn a_machine_that_waits_says_for_what() {
        let on = vec![Awaited { machine: "db".to_owned(), condition: crate::plan::Condition::Healthy }];
        assert_eq!(
            line(Event::Waiting { machine: "test".to_owned(), on }),
            "{\"v\":1,\"t\":1.234,\"event\":\"waiting\",\"machine\":\"test\",\"on\":[{\"machine\":\"db\",\"condition\":\"healthy\"}]}\n"
        );
    }

    #[test]
    fn a_machine_that_does_not_come_says_what_keeps_it() {
        let event = |by: Option<&str>| Event::NotStarted {
            machine: "web".to_owned(),
            cause: "machine `db` failed".to_owned(),
            by: by.map(str::to_owned),
        };
        let start =
            "{\"v\":1,\"t\":1.234,\"event\":\"not-started\",\"machine\":\"web\",\"cause\":\"machine `db` failed\"";
        assert_eq!(line(event(Some("db"))), format!("{start},\"by\":\"db\"}}\n"));
        assert_eq!(line(event(None)), format!("{start}}}\n"));
    }

    #[test]
    fn output_is_text_where_it_is_utf8_and_base64_elsewhere() {
        let event = |bytes: &[u8]| Event::Output {
            of: OutputOf::Step("a".to_owned()),
            stream: Stream::Stdout,
            bytes: bytes.to_vec(),
        };
        assert_eq!(
            line(event("é\n".as_bytes())),
            "{\"v\":1,\"t\":1.234,\"event\":\"output\",\"step\":\"a\",\"stream\":\"stdout\",\"text\":\"é\\n\"}\n"
        );
        assert_eq!(
            line(event(b"\xff\x00")),
            "{\"v\":1,\"t\":1.234,\"event\":\"output\",\"step\":\"a\",\"stream\":\"stdout\",\"base64\":\"/wA=\"}\n"
        );
    }

    #[test]
    fn the_end_of_a_step_and_of_a_run_have_every_field() {
        assert_eq!(
            line(Event::StepFinished {
                step: "a".to_owned(),
                machine: "m".to_owned(),
                status: StepStatus::TimedOut,
                exit_code: None,
                seconds: 2.0,
                cause: Some("10s".to_owned()),
                is_allowed: false,
                log: None,
            }),
            "{\"v\":1,\"t\":1.234,\"event\":\"step-finished\",\"step\":\"a\",\"machine\":\"m\",\"status\":\"timed-out\",\"exit_code\":null,\"seconds\":2.0,\"cause\":\"10s\",\"allowed\":false}\n"
        );
        assert_eq!(
            line(Event::RunFinished {
                status: RunStatus::Passed,
                exit_code: 0,
                cause: None,
                seconds: 2.5,
                passed: 3,
                failed: 0,
                skipped: 0,
                cached: 0,
            }),
            "{\"v\":1,\"t\":1.234,\"event\":\"run-finished\",\"status\":\"passed\",\"exit_code\":0,\"cause\":null,\"seconds\":2.5,\"passed\":3,\"failed\":0,\"skipped\":0,\"cached\":0}\n"
        );
    }

    #[test]
    fn base64_pads_as_the_standard_says() {
        let pairs =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")];
        for (plain, coded) in pairs {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
