//! Questions for names on a connection (RFC 1035, 4.2.2): two bytes of length before each, either way. Pure.

/// Answers that may be owed on one connection; further questions wait.
const OWED_MAX: usize = 16;

/// Bytes of answers that may wait for the machine before further questions do.
const WAITING_MAX: usize = 128 << 10;

/// Bytes of questions that may wait for their turn: the longest one, and its length.
const INPUT_MAX: usize = 2 + 65_535;

/// What is not yet a whole question, and what is not yet sent of the answers.
#[derive(Debug, Default)]
pub(super) struct Names {
    input: Vec<u8>,
    output: Vec<u8>,
    owed: usize,
}

impl Names {
    /// Whether more may be read of the machine.
    pub(super) fn has_room(&self) -> bool {
        self.may_ask() && self.input.len() < INPUT_MAX
    }

    fn may_ask(&self) -> bool {
        self.owed < OWED_MAX && self.output.len() < WAITING_MAX
    }

    /// Takes bytes of the machine, as many as there is room for, and says how many.
    pub(super) fn take(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(INPUT_MAX.saturating_sub(self.input.len()));
        self.input.extend(&bytes[..count]);
        count
    }

    /// The next whole question.
    pub(super) fn question(&mut self) -> Option<Vec<u8>> {
        if !self.may_ask() {
            return None;
        }
        let question = self.whole()?.to_vec();
        self.input.drain(..2 + question.len());
        self.owed += 1;
        Some(question)
    }

    /// The question at the beginning of what came, where all of it did.
    fn whole(&self) -> Option<&[u8]> {
        let (length, rest) = self.input.split_first_chunk::<2>()?;
        rest.get(..usize::from(u16::from_be_bytes(*length)))
    }

    /// Takes an answer; `None` for what is not answered.
    pub(super) fn answer(&mut self, answer: Option<&[u8]>) {
        self.owed = self.owed.saturating_sub(1);
        if let Some(answer) = answer
            && let Ok(length) = u16::try_from(answer.len())
        {
            self.output.extend(length.to_be_bytes());
            self.output.extend(answer);
        }
    }

    /// Bytes for the machine; `sent` of those that were got before are gone.
    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Whether every question was answered and every answer taken.
    pub(super) fn is_done(&self) -> bool {
        self.owed == 0 && self.output.is_empty() && self.whole().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_is_not_done_before_it_is_taken() {
        let mut names = Names::default();
        assert!(names.is_done());
        names.take(&[0, 1, 7, 0, 2]);
        assert!(!names.is_done());
        assert_eq!(names.question(), Some(vec![7]));
        names.answer(None);
        // The rest of a question does not come.
        assert!(names.is_done());
    }

    #[test]
    fn questions_come_whole_and_no_more_of_them_than_may_be_owed() {
        let mut names = Names::default();
        for byte in [0, 3, 1, 2, 3] {
            assert_eq!(names.question(), None);
            names.take(&[byte]);
        }
        assert_eq!(names.question(), Some(vec![1, 2, 3]));
        names.take(&[0, 1, 7].repeat(2 * OWED_MAX));
        assert_eq!(std::iter::from_fn(|| names.question()).count(), OWED_MAX - 1);
        names.answer(Some(b"ab"));
        assert_eq!(*names.output(), [0, 2, b'a', b'b']);
        assert_eq!(names.question(), Some(vec![7]));
        assert!(!names.is_done());
    }
}
