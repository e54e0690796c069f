//! The block as lines: a pure function of how far the images are, the size of the screen and the time.

use std::time::Duration;

use super::super::bar::{FULL, Signs};
use super::super::line::{Line, Tint};
use super::super::render::{Size, bar_columns, body_rows, clock};
use crate::report::pull::{ImageView, LayerStep, LayerView, PullView, image_size, progress_of, short_digest};
use crate::report::readable::{readable, width};

/// Fewest columns that the left end of a line keeps before its right end is left out.
const LEFT_LEAST: usize = 12;
/// Narrower screens show no words of layers.
const NARROW: usize = 45;
/// Columns of the bar of all images, where there is room.
const HEAD_BAR: usize = 30;
/// Columns of the bar of a layer, where there is room.
const LAYER_BAR: usize = 20;

/// The lines of the block.
pub(super) fn render(view: &PullView, count: usize, signs: Signs, size: Size, now: Duration) -> Vec<Line> {
    let columns = size.columns.saturating_sub(1).max(1);
    let rows = body_rows(size.rows);
    let block = Block { view, signs, columns, now };
    let mut lines = vec![block.head(count)];
    lines.extend(block.body(rows.saturating_sub(1)));
    lines
}

struct Block<'a> {
    view: &'a PullView,
    signs: Signs,
    columns: usize,
    now: Duration,
}

impl Block<'_> {
    /// How far all is together, how fast it comes, how long it takes.
    fn head(&self, count: usize) -> Line {
        let (over, _) = self.view.counts();
        let (done, total) = self.view.total();
        let what = if count == 1 { "pulling 1 image".to_owned() } else { format!("pulling {over}/{count} images") };
        let mut left = Line::of(Tint::Bold, what).with(Tint::Plain, "  ");
        let bar = bar_columns(self.columns, HEAD_BAR);
        if bar > 0 && total > 0 {
            left = left.then(self.signs.bar(bar, part(done, total))).with(Tint::Plain, "  ");
        }
        if total > 0 {
            left = left.with(Tint::Plain, progress_of(done, total));
        }
        let right = Line::of(Tint::Dim, clock(self.now));
        let rate = self.view.rate(self.now).filter(|_| total > done);
        let rate = rate.map(|rate| format!("  {}/s", image_size(rate)));
        let rest = self.view.remaining(self.now).map(|rest| format!("  {} left", whole_time(rest)));
        for word in [rate, rest].into_iter().flatten() {
            // Half a rate is worse than none.
            let more = left.clone().with(Tint::Dim, word);
            if more.width() + right.width() + 2 <= self.columns {
                left = more;
            }
        }
        left.beside(right, self.columns, LEFT_LEAST)
    }

    fn body(&self, rows: usize) -> Vec<Line> {
        let going: Vec<&ImageView> = self.view.images.iter().filter(|view| view.outcome.is_none()).collect();
        // Every image has its line before any has one for a layer.
        let shown = going.len().min(if going.len() > rows { rows.saturating_sub(1) } else { rows });
        let mut room = rows.saturating_sub(going.len());
        let names = going.iter().take(shown).map(|view| width(&readable(view.name.as_bytes()))).max().unwrap_or(0);
        let mut lines = Vec::new();
        for view in going.iter().take(shown) {
            lines.push(self.image(view, names.min(self.columns / 2)));
            let layers = self.layers(view, room);
            room = room.saturating_sub(layers.len());
            lines.extend(layers);
        }
        if shown < going.len() && rows > 0 {
            lines.push(Line::of(Tint::Dim, format!("  … {} more images", going.len() - shown)).fit(self.columns));
        }
        lines
    }

    fn image(&self, view: &ImageView, name_columns: usize) -> Line {
        let name = readable(view.name.as_bytes());
        let gap = name_columns.saturating_sub(width(&name));
        let sign = Line::of(Tint::Live, self.signs.turning(self.now).to_string()).with(Tint::Plain, " ");
        let left = sign.with(Tint::Bold, name).with(Tint::Plain, " ".repeat(gap));
        let what = match (&view.words, view.layers.is_empty()) {
            (Some(words), _) => readable(words.as_bytes()),
            (None, true) => "asks the registry".to_owned(),
            (None, false) => match view.layers.iter().filter(|layer| is_here(layer)).count() {
                0 => String::new(),
                here => format!("{here} of {} layers here", view.layers.len()),
            },
        };
        let line = if what.is_empty() { left } else { left.with(Tint::Dim, format!("  {what}")) };
        line.fit(self.columns)
    }

    /// Layers on their way, and how many wait.
    fn layers(&self, view: &ImageView, room: usize) -> Vec<Line> {
        let is_moving = |layer: &&LayerView| matches!(layer.step, LayerStep::Fetching | LayerStep::Unpacking);
        let moving: Vec<&LayerView> = view.layers.iter().filter(is_moving).collect();
        let waiting = view.layers.iter().filter(|layer| layer.step == LayerStep::Waiting).count();
        if room == 0 {
            return Vec::new();
        }
        let wanted = moving.len() + usize::from(waiting > 0);
        let shown = if wanted > room { room - 1 } else { moving.len() };
        let mut lines: Vec<Line> = moving.iter().take(shown).map(|layer| self.layer(layer)).collect();
        let rest = moving.len() - shown + waiting;
        if rest > 0 && lines.len() < room {
            let layers = if rest == 1 { "layer" } else { "layers" };
            let does = if shown < moving.len() {
                ""
            } else if rest == 1 {
                " waits"
            } else {
                " wait"
            };
            lines.push(Line::of(Tint::Dim, format!("    … {rest} more {layers}{does}")).fit(self.columns));
        }
        lines
    }

    fn layer(&self, layer: &LayerView) -> Line {
        let (word, tint) = match layer.step {
            LayerStep::Unpacking => ("unpacking", Tint::Dim),
            _ => ("fetching ", Tint::Plain),
        };
        let digest = short_digest(&layer.digest);
        let left = Line::of(Tint::Dim, format!("    {digest}"));
        let left = if self.columns < NARROW { left } else { left.with(tint, format!("  {word}")) };
        let bar = bar_columns(self.columns, LAYER_BAR);
        let mut right = Line::default();
        if bar > 0 {
            right = right.with(Tint::Plain, "  ").then(self.signs.bar(bar, part(layer.done, layer.total)));
        }
        let sizes = Line::of(Tint::Plain, format!("  {}", progress_of(layer.done.min(layer.total), layer.total)));
        left.then(right).then(sizes).fit(self.columns)
    }
}

fn is_here(layer: &LayerView) -> bool {
    layer.step == LayerStep::Done
}

fn part(done: u64, total: u64) -> u64 {
    let part = u128::from(done) * u128::from(FULL) / u128::from(total.max(1));
    u64::try_from(part).unwrap_or(FULL)
}

/// `4s`, `2m 05s`: what is foretold needs no tenths.
fn whole_time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}
