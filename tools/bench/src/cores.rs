//! CPU placement: the server on one core, the load on the others, so that neither takes the other's time. A process
//! inherits the cores of the thread that starts it.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores of this process.
pub(crate) struct Cores {
    all: CpuSet,
    numbers: Vec<usize>,
}

/// The cores of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Placement {
    /// The first core.
    Server,
    /// All cores but the first.
    Load,
    /// All cores.
    Anywhere,
}

impl Cores {
    /// Reads the affinity of this process.
    pub(crate) fn of_process() -> io::Result<Self> {
        let all = sched_getaffinity(None)?;
        let numbers = (0..CpuSet::MAX_CPU).filter(|&core| all.is_set(core)).collect();
        Ok(Self { all, numbers })
    }

    pub(crate) fn count(&self) -> usize {
        self.numbers.len()
    }

    /// Pins this thread, and every process that it starts.
    pub(crate) fn pin(&self, placement: Placement) -> io::Result<()> {
        let mut set = CpuSet::new();
        match (placement, self.numbers.split_first()) {
            (Placement::Server, Some((&first, _))) => set.set(first),
            (Placement::Load, Some((_, others @ [_, ..]))) => others.iter().for_each(|&core| set.set(core)),
            _ => set = self.all,
        }
        Ok(sched_setaffinity(None, &set)?)
    }
}
