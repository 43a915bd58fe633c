//! The sink that receives a store's commits. It fixes the order of commits and answers, and never reads their contents.

use teahouse_core::Commit;

/// Receives the commits, in order, on the thread that commits.
///
/// `commit` returns at once: the next group waits for it. A consumer that cannot keep up reads the store later.
/// A sink that panics stops the store, since its commits are lost to all who listen.
pub trait CommitSink: Send {
    /// The commits of this group are durable. Its callers are not answered yet: they are when the sink calls
    /// [`CommitGroup::answer_callers`], at the latest when `commit` returns.
    fn commit(&mut self, group: CommitGroup<'_>);
}

/// The commits of one transaction, and the callers who wait for it.
///
/// A sink that delivers to the callers' clients takes the commits, answers the callers, and only then wakes its
/// readers, so that an answer and a commit can leave in one write.
pub struct CommitGroup<'a> {
    commits: Vec<Commit>,
    answer: &'a mut dyn FnMut(),
}

impl<'a> CommitGroup<'a> {
    /// For a store. `answer` answers the callers of the group; the store itself answers those that are left when
    /// the sink has returned or panicked.
    pub fn new(commits: Vec<Commit>, answer: &'a mut dyn FnMut()) -> Self {
        Self { commits, answer }
    }

    /// The commits, in the order of commit.
    #[must_use]
    pub fn commits(&self) -> &[Commit] {
        &self.commits
    }

    /// Takes the commits out, in the order of commit.
    #[must_use]
    pub fn take_commits(&mut self) -> Vec<Commit> {
        std::mem::take(&mut self.commits)
    }

    /// Answers everybody whose write is in this group.
    pub fn answer_callers(self) {
        (self.answer)();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_answered_when_the_sink_says_so() {
        let mut answered = 0;
        let mut answer = || answered += 1;
        let mut group = CommitGroup::new(Vec::new(), &mut answer);
        assert!(group.take_commits().is_empty());
        group.answer_callers();
        assert_eq!(answered, 1);
    }
}
