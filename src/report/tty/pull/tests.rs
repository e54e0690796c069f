//! What is seen of pulls on screens of several sizes, by a terminal that is sent the bytes.

use std::time::Duration;

use proptest::prelude::*;

use super::super::bar::Signs;
use super::super::canvas::Painted as _;
use super::super::render::Size;
use super::super::reporter::Screen;
use super::*;
use crate::report::pull::LayerStep;
use crate::report::pull::testing::{at, finished, layer, started};
use crate::report::pull::{PullFact, PullOutcome, PullView, TimedFact};
use crate::report::reporter::Verbosity;
use crate::report::reporter::testing::{Shared, options};

struct Watched {
    reporter: TerminalPull,
    bytes: Shared,
    screen: vt100::Parser,
    read: usize,
}

fn nonzero(count: usize) -> std::num::NonZeroU16 {
    std::num::NonZeroU16::new(u16::try_from(count).unwrap()).unwrap()
}

impl Watched {
    fn new(count: usize, columns: usize, rows: usize) -> Self {
        let bytes = Shared::default();
        let screen = Screen { signs: Signs::Unicode, size: Size { columns, rows }, terminal: bytes.sink() };
        let reporter = TerminalPull::new(options(Verbosity::Normal), count, screen);
        Self { reporter, bytes, screen: vt100::Parser::new(nonzero(rows), nonzero(columns), 100), read: 0 }
    }

    fn take(&mut self, fact: &TimedFact) -> String {
        self.reporter.take(fact);
        self.reporter.draw(fact.at, true);
        let text = self.bytes.text();
        self.screen.process(&text.as_bytes()[self.read..]);
        self.read = text.len();
        let shown = self.screen.screen().contents();
        shown.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }
}

/// Two images: of the first a layer is here, one comes, one is unpacked and one waits; the second is asked for.
fn facts() -> Vec<TimedFact> {
    let alpine = "alpine:3.20";
    vec![
        started(0, alpine),
        started(0, "registry.example/team/app:1"),
        layer(100, alpine, 'a', LayerStep::Done, (5, 5)),
        layer(100, alpine, 'b', LayerStep::Fetching, (0, 40)),
        layer(100, alpine, 'c', LayerStep::Fetching, (0, 8)),
        layer(100, alpine, 'd', LayerStep::Waiting, (0, 2)),
        layer(1000, alpine, 'c', LayerStep::Fetching, (8, 8)),
        layer(1100, alpine, 'c', LayerStep::Unpacking, (4, 8)),
        layer(2100, alpine, 'b', LayerStep::Fetching, (12, 40)),
    ]
}

fn last(columns: usize, rows: usize, facts: &[TimedFact]) -> String {
    let mut watched = Watched::new(2, columns, rows);
    facts.iter().map(|fact| watched.take(fact)).last().unwrap()
}

#[test]
fn all_and_every_layer_that_moves_have_a_bar() {
    assert_eq!(
        last(100, 24, &facts()),
        "\
pulling 0/2 images  ━━━━━━━╸───────────  20 of 50 MiB  10 MiB/s                                2.1s
⠙ alpine:3.20                  1 of 4 layers here
    bbbbbbbbbbbb  fetching   ━━━━━╸─────────────  12 of 40 MiB
    cccccccccccc  unpacking  ━━━━━━━━━╸─────────  4.0 of 8.0 MiB
    … 1 more layer waits
⠙ registry.example/team/app:1  asks the registry
"
    );
}

#[test]
fn a_narrow_and_a_low_screen_keep_the_most_important() {
    assert_eq!(
        last(60, 24, &facts()),
        "\
pulling 0/2 images  ━━━━───────  20 of 50 MiB          2.1s
⠙ alpine:3.20                  1 of 4 layers here
    bbbbbbbbbbbb  fetching   ━━━────────  12 of 40 MiB
    cccccccccccc  unpacking  ━━━━━╸─────  4.0 of 8.0 MiB
    … 1 more layer waits
⠙ registry.example/team/app:1  asks the registry
"
    );
    assert_eq!(
        last(30, 24, &facts()).lines().take(3).collect::<Vec<_>>(),
        ["pulling 0/2 images  20 … 2.1s", "⠙ alpine:3.20     1 of 4 lay…", "    bbbbbbbbbbbb  12 of 40 M…"]
    );
    assert_eq!(
        last(80, 4, &facts()).lines().skip(1).collect::<Vec<_>>(),
        [
            "⠙ alpine:3.20                  1 of 4 layers here",
            "    … 3 more layers",
            "⠙ registry.example/team/app:1  asks the registry"
        ]
    );
    assert_eq!(last(80, 2, &facts()).lines().count(), 2);
    assert_eq!(last(80, 1, &facts()).lines().count(), 1);
}

#[test]
fn an_image_that_is_over_leaves_a_line_and_the_block_goes_with_the_last() {
    let mut facts = facts();
    facts.push(layer(5000, "alpine:3.20", 'b', LayerStep::Done, (40, 40)));
    facts.push(finished(6000, "alpine:3.20", false));
    let shown = last(80, 24, &facts);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[0], "✓ alpine:3.20: pulled 48 MiB in 6.0s (ffffffffffff)");
    assert!(lines[1].starts_with("pulling 1/2 images") && lines.len() == 3, "{lines:?}");
    let outcome = PullOutcome::Failed { cause: "the registry does not answer".to_owned() };
    let image = "registry.example/team/app:1".to_owned();
    facts.push(at(7000, PullFact::Finished { image, outcome }));
    assert_eq!(
        last(80, 24, &facts),
        "✓ alpine:3.20: pulled 48 MiB in 6.0s (ffffffffffff)\n\
         ✗ registry.example/team/app:1: failed: the registry does not answer\n"
    );
}

fn any_fact() -> impl Strategy<Value = TimedFact> {
    let step = prop_oneof![
        Just(LayerStep::Waiting),
        Just(LayerStep::Fetching),
        Just(LayerStep::Unpacking),
        Just(LayerStep::Done)
    ];
    (0..20_000u64, "[a-c漢\x1b]{1,30}", "[a-f]{1,3}", step, any::<u64>(), any::<u64>(), 0..4u8).prop_map(
        |(millis, image, digest, step, done, total, kind)| {
            let (done, total) = (done >> 20, total >> 20);
            let fact = match kind {
                0 => PullFact::Started { image },
                1 => PullFact::Words { image, text: "tries again\x1b[2J".to_owned() },
                2 => PullFact::Layer { image, digest, layers: 3, step, done, total },
                _ => PullFact::Finished { image, outcome: PullOutcome::Failed { cause: "x\ny".to_owned() } },
            };
            at(millis, fact)
        },
    )
}

proptest! {
    #[test]
    fn no_line_is_as_wide_as_the_screen_and_there_are_never_more_than_rows(
        facts in proptest::collection::vec(any_fact(), 0..40), columns in 1usize..120, rows in 1usize..12,
    ) {
        let mut view = PullView::default();
        for fact in &facts {
            view.on(fact);
        }
        let lines = render::render(&view, 3, Signs::Unicode, Size { columns, rows }, Duration::from_secs(20));
        prop_assert!(lines.len() <= rows);
        for line in lines {
            prop_assert!(line.width() < columns.max(2), "{line:?}");
        }
    }
}
