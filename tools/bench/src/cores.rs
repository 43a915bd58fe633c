//! Who runs where: the server on one core, the load on the others, so that neither takes the other's time.
//! A process inherits the cores of the thread that starts it.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores that this process may use.
pub struct Cores {
    all: CpuSet,
    numbers: Vec<usize>,
}

/// Where something runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// On the first core.
    Server,
    /// On all but the first.
    Load,
    /// Wherever there is room.
    Anywhere,
}

impl Cores {
    /// Those of this process.
    pub fn of_process() -> io::Result<Self> {
        let all = sched_getaffinity(None)?;
        let numbers = (0..CpuSet::MAX_CPU).filter(|&core| all.is_set(core)).collect();
        Ok(Self { all, numbers })
    }

    pub fn count(&self) -> usize {
        self.numbers.len()
    }

    /// From now on this thread, and whatever it starts, runs there.
    pub fn go(&self, place: Place) -> io::Result<()> {
        let mut set = CpuSet::new();
        match (place, self.numbers.split_first()) {
            (Place::Server, Some((&first, _))) => set.set(first),
            (Place::Load, Some((_, others @ [_, ..]))) => others.iter().for_each(|&core| set.set(core)),
            _ => set = self.all,
        }
        Ok(sched_setaffinity(None, &set)?)
    }
}
