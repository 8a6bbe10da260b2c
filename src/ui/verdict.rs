//! What is known of the four words that two people share: part of the model.

use crate::room::trust::Comparison;

/// What the two people found when they compared the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Match,
    Differ,
}

/// The four words of the call, and what was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WordsModel {
    pub comparison: Comparison,
    /// Outlasts a fresh connection between the same two people.
    verdict: Option<Verdict>,
}

impl WordsModel {
    pub fn take(&mut self, comparison: Comparison) {
        self.comparison = comparison;
        match comparison {
            // A fresh connection: whether it is to the same person is still to be seen.
            Comparison::Waiting | Comparison::Ready { continued: true, .. } => {}
            Comparison::Unanswered | Comparison::Refused | Comparison::Ready { continued: false, .. } => {
                self.verdict = None;
            }
        }
    }

    /// Only words that are there can have been compared.
    pub fn verdict(&self) -> Option<Verdict> {
        self.verdict.filter(|_| matches!(self.comparison, Comparison::Ready { .. }))
    }

    pub fn judge(&mut self, verdict: Option<Verdict>) {
        self.verdict = verdict;
    }
}
