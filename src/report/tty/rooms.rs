//! How the rows of a screen are shared among the parts of the block.
//!
//! What runs comes first, then machines on their way, then what waits. The last lines of output get what is left, but
//! at least half of what is not taken by what runs, so that a long list of waiting steps does not hide them. A part
//! that has no room ends with a line that counts the rest. Deliberately not here: any text.

/// Most lines of output that one step shows beside others; one alone shows more.
const TAIL_BESIDE: usize = 5;
const TAIL_ALONE: usize = 10;

/// How many rows each part could use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Steps that run.
    pub(super) running: usize,
    /// Machines that come or go.
    pub(super) moving: usize,
    /// Machines that wait.
    pub(super) still: usize,
    /// Steps that wait.
    pub(super) waiting: usize,
    /// Lines of output of each running step.
    pub(super) tails: Vec<usize>,
}

/// The room of one part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Room {
    /// How many are shown.
    pub(super) shown: usize,
    /// How many the line after them counts; there is none where it is 0.
    pub(super) folded: usize,
}

/// The room of all parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rooms {
    pub(super) running: Room,
    pub(super) moving: Room,
    pub(super) still: Room,
    pub(super) waiting: Room,
    /// Lines of output for each running step that is shown.
    pub(super) tails: Vec<usize>,
}

impl Room {
    fn of(wanted: usize, rows: usize) -> Self {
        match rows {
            0 => Self::default(),
            rows if wanted <= rows => Self { shown: wanted, folded: 0 },
            rows => Self { shown: rows - 1, folded: wanted - (rows - 1) },
        }
    }

    fn rows(self) -> usize {
        self.shown + usize::from(self.folded > 0)
    }
}

impl Rooms {
    /// Shares so many rows.
    pub(super) fn share(wanted: &Wanted, rows: usize) -> Self {
        let running = Room::of(wanted.running, rows);
        let mut left = rows - running.rows();
        let moving = Room::of(wanted.moving, left);
        left -= moving.rows();
        let most = if running.shown == 1 { TAIL_ALONE } else { TAIL_BESIDE };
        let tails: Vec<usize> = wanted.tails.iter().take(running.shown).map(|lines| (*lines).min(most)).collect();
        let kept = tails.iter().sum::<usize>().min(left.div_ceil(2));
        let mut for_waiting = left - kept;
        let still = Room::of(wanted.still, for_waiting);
        for_waiting -= still.rows();
        let waiting = Room::of(wanted.waiting, for_waiting);
        let left = left - still.rows() - waiting.rows();
        Self { running, moving, still, waiting, tails: spread(&tails, left) }
    }
}

/// Gives rows out one by one, so that nobody has two more than another one who wants more.
fn spread(wanted: &[usize], mut rows: usize) -> Vec<usize> {
    let mut given = vec![0; wanted.len()];
    loop {
        let before = rows;
        for (given, wanted) in given.iter_mut().zip(wanted) {
            if rows > 0 && *given < *wanted {
                *given += 1;
                rows -= 1;
            }
        }
        if rows == before {
            return given;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wanted(running: usize, machines: [usize; 2], waiting: usize, tail: usize) -> Wanted {
        Wanted { running, moving: machines[0], still: machines[1], waiting, tails: vec![tail; running] }
    }

    #[test]
    fn one_step_alone_shows_its_last_lines_below_it() {
        let rooms = Rooms::share(&wanted(1, [0, 0], 3, 20), 22);
        assert_eq!(rooms.tails, [10]);
        assert_eq!(rooms.waiting, Room { shown: 3, folded: 0 });
    }

    #[test]
    fn a_long_list_of_waiting_steps_leaves_half_to_the_output() {
        let rooms = Rooms::share(&wanted(1, [0, 0], 50, 20), 11);
        assert_eq!(rooms.tails, [5]);
        assert_eq!(rooms.waiting, Room { shown: 4, folded: 46 });
    }

    #[test]
    fn what_runs_comes_first_on_a_low_screen() {
        let rooms = Rooms::share(&wanted(30, [2, 2], 10, 3), 4);
        assert_eq!(rooms.running, Room { shown: 3, folded: 27 });
        assert_eq!((rooms.moving, rooms.waiting), (Room::default(), Room::default()));
        assert_eq!(rooms.tails, [0, 0, 0]);
    }

    #[test]
    fn rows_are_spread_evenly() {
        assert_eq!(spread(&[5, 1, 5], 6), [3, 1, 2]);
        assert_eq!(spread(&[], 6), [0; 0]);
    }

    proptest! {
        #[test]
        fn no_more_rows_are_given_than_there_are(
            running in 0..40usize, machines in [0..9usize, 0..9], waiting in 0..60usize, tail in 0..25usize, rows in 0..60usize,
        ) {
            let wanted = wanted(running, machines, waiting, tail);
            let rooms = Rooms::share(&wanted, rows);
            let parts = [rooms.running, rooms.moving, rooms.still, rooms.waiting];
            let given = parts.iter().map(|room| room.rows()).sum::<usize>() + rooms.tails.iter().sum::<usize>();
            prop_assert!(given <= rows);
            prop_assert_eq!(rooms.tails.len(), rooms.running.shown);
        }
    }
}
