//! Coming to rest: everything that can move moves, trouble ends, time passes; so that what must be so at the end
//! can be looked at. It looks at nothing itself.

use std::time::Duration;

use super::Check;
use super::world::World;

/// Rounds in which everything that can move has moved; whoever is not at rest by then never is.
const ROUNDS_MAX: usize = 20_000;
/// For longer than anybody lingers.
const LINGER_SECONDS: u64 = 7;

impl World {
    /// Everything that can move without time moves, until nothing does.
    fn still(&mut self) -> Check {
        for _ in 0..ROUNDS_MAX {
            let mut moved = self.commit() | self.hand_over();
            while !self.knocks.is_empty() {
                moved |= self.arrive(0)?;
            }
            for shard in 0..self.shards.len() {
                moved |= self.notice(shard) | self.slice(shard, || false) | self.mail(shard) | self.job(shard);
            }
            for device in 0..self.devices.len() {
                let own = &mut self.devices[device];
                moved |= own.send_some(&mut self.chance);
                moved |= own.read_some(&self.store.lock(), &mut self.chance)?;
                moved |= own.keep_up(&mut self.chance);
            }
            if !moved {
                return Ok(());
            }
        }
        Err("it does not come to rest".to_owned())
    }

    /// Trouble ends, and enough time passes for everything to be as it should.
    pub(super) fn settle(&mut self, seconds: u64, come_back: bool) -> Check {
        let failures = std::mem::take(&mut self.store.lock().failures);
        for device in &mut self.devices {
            if let Some(connection) = &mut device.connection {
                connection.is_stalled = false;
                if connection.is_cut {
                    device.lose();
                }
            }
        }
        let mut quiet = 0;
        for second in 0.. {
            self.still()?;
            if second >= seconds && quiet > LINGER_SECONDS {
                break;
            }
            let live = self.live();
            if come_back && second + 20 < seconds {
                for device in 0..self.devices.len() {
                    if self.devices[device].connection.is_none() && self.devices[device].comes_back() {
                        self.connect(device);
                    }
                }
            }
            self.pass(1000)?;
            self.still()?;
            // Tokens end when they end, and who was here lingers.
            quiet = if self.live() == live { quiet + 1 } else { 0 };
        }
        self.store.lock().failures = failures;
        self.parted.clear();
        Ok(())
    }

    fn live(&self) -> Vec<usize> {
        (0..self.devices.len()).filter(|device| self.devices[*device].is_live()).collect()
    }

    /// Every shard sends everybody away, spread over this time.
    pub(super) fn drain(&mut self, over_ms: u64) {
        self.is_draining = true;
        for shard in 0..self.shards.len() {
            self.turn(shard, |state, _| state.begin_drain(Duration::from_millis(over_ms)));
        }
    }

    /// Whether a shard waits for something.
    pub(super) fn is_waiting(&self, shard: usize) -> bool {
        !self.shards[shard].waiting.is_empty()
    }
}
