//! Quiescing a run: faults end, everything that can progress does, and time passes, until the final checks can run. It
//! checks nothing itself.

use std::time::Duration;

use super::Check;
use super::world::World;

/// Rounds after which a run that still progresses counts as livelocked.
const ROUNDS_MAX: usize = 20_000;
/// Longer than every linger.
const LINGER_SECONDS: u64 = 7;

impl World {
    /// Takes every step that needs no time, until none makes progress.
    fn run_until_idle(&mut self) -> Check {
        for _ in 0..ROUNDS_MAX {
            let mut moved = self.commit() | self.push_commits();
            while !self.pending_connections.is_empty() {
                moved |= self.arrive(0)?;
            }
            for shard in 0..self.shards.len() {
                moved |= self.deliver_socket_event(shard)
                    | self.slice(shard, || false)
                    | self.process_inbox(shard)
                    | self.poll_job(shard);
            }
            for device in 0..self.devices.len() {
                let own = &mut self.devices[device];
                moved |= own.send_some(&mut self.rng);
                moved |= own.read_some(&self.store.lock(), &mut self.rng)?;
                moved |= own.send_required(&mut self.rng);
            }
            if !moved {
                return Ok(());
            }
        }
        Err("the run does not become quiescent".to_owned())
    }

    /// Ends all faults, and lets enough time pass for the quiescent state.
    pub(super) fn settle(&mut self, seconds: u64, may_reconnect: bool) -> Check {
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
            self.run_until_idle()?;
            if second >= seconds && quiet > LINGER_SECONDS {
                break;
            }
            let live = self.live();
            if may_reconnect && second + 20 < seconds {
                for device in 0..self.devices.len() {
                    if self.devices[device].connection.is_none() && self.devices[device].may_reconnect() {
                        self.connect(device);
                    }
                }
            }
            self.advance_time(1000)?;
            self.run_until_idle()?;
            // Tokens expire meanwhile, and users linger after that.
            quiet = if self.live() == live { quiet + 1 } else { 0 };
        }
        self.store.lock().failures = failures;
        self.left_cleanly.clear();
        Ok(())
    }

    fn live(&self) -> Vec<usize> {
        (0..self.devices.len()).filter(|device| self.devices[*device].is_live()).collect()
    }

    /// Drains every shard over this time.
    pub(super) fn drain(&mut self, over_ms: u64) {
        self.is_draining = true;
        for shard in 0..self.shards.len() {
            self.turn(shard, |state, _| state.begin_drain(Duration::from_millis(over_ms)));
        }
    }

    /// Whether jobs of a shard are pending.
    pub(super) fn is_waiting(&self, shard: usize) -> bool {
        !self.shards[shard].waiting.is_empty()
    }
}
