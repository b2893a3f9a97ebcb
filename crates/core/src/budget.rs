//! One memory budget for all flows, drawn on by open batches and by batches under way.
//! Promises that flows together never hold more than the limit, and that every flow may hold its floor whatever
//! the others hold, so that no flow can wait for another for ever.
//! Leaves what to do when there is no more (seal early, stop reading) to the flow core.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Leases are taken in steps of this many bytes, so that the shared counter is touched once per step.
const STEP: u64 = 512 * 1024;

/// The memory that flows share beyond their floors.
#[derive(Debug)]
pub struct Budget {
    /// Bytes that flows may hold together above their floors.
    shared: AtomicU64,
    /// The sum of all leases' shared parts. Invariant: it grows only while `used <= shared`.
    used: AtomicU64,
    /// How often a lease was refused: who holds much may give up some when this moves.
    refusals: AtomicU64,
}

impl Budget {
    /// A budget of `limit` bytes, of which each flow's floor is set aside.
    ///
    /// # Panics
    /// When the floors are more than the limit: the plan has checked that.
    #[must_use]
    pub fn new(limit: u64, floors: u64) -> Arc<Self> {
        let shared = AtomicU64::new(Self::shared(limit, floors));
        Arc::new(Self { shared, used: AtomicU64::new(0), refusals: AtomicU64::new(0) })
    }

    /// Other flows, or another limit: what is drawn beyond it now comes back as it is used up.
    ///
    /// # Panics
    /// As [`Budget::new`].
    pub fn resize(&self, limit: u64, floors: u64) {
        self.shared.store(Self::shared(limit, floors), Ordering::Release);
    }

    fn shared(limit: u64, floors: u64) -> u64 {
        limit.checked_sub(floors).expect("the plan refuses a budget below the flows' floors")
    }

    /// How often a flow was refused memory.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    fn draw(&self, bytes: u64) -> bool {
        let shared = self.shared.load(Ordering::Acquire);
        let drawn = self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
            used.checked_add(bytes).filter(|used| *used <= shared)
        });
        if drawn.is_err() {
            self.refusals.fetch_add(1, Ordering::Relaxed);
        }
        drawn.is_ok()
    }

    fn give_back(&self, bytes: u64) {
        let before = self.used.fetch_sub(bytes, Ordering::AcqRel);
        assert!(before >= bytes, "more memory was given back than was drawn");
    }
}

/// One flow's part of the budget.
#[derive(Debug)]
pub struct Lease {
    budget: Arc<Budget>,
    floor: u64,
    /// Drawn from the budget beyond the floor. The flow may hold `floor + drawn` bytes.
    drawn: u64,
}

impl Lease {
    /// A lease that always covers `floor` bytes.
    #[must_use]
    pub const fn new(budget: Arc<Budget>, floor: u64) -> Self {
        Self { budget, floor, drawn: 0 }
    }

    /// Whether the flow may hold this many bytes; draws what is missing if there is any to be had.
    pub fn covers(&mut self, held: usize) -> bool {
        let held = held as u64;
        if held <= self.floor + self.drawn {
            return true;
        }
        let missing = (held - self.floor - self.drawn).next_multiple_of(STEP);
        let exact = held - self.floor - self.drawn;
        for bytes in [missing, exact] {
            if self.budget.draw(bytes) {
                self.drawn += bytes;
                return true;
            }
        }
        false
    }

    /// Gives back what the flow does not need to hold this many bytes.
    pub fn shrink(&mut self, held: usize) {
        let needed = (held as u64).saturating_sub(self.floor).next_multiple_of(STEP);
        if needed < self.drawn {
            self.budget.give_back(self.drawn - needed);
            self.drawn = needed;
        }
    }

    /// How often any flow was refused memory.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.budget.refusals()
    }

    /// What it always covers.
    #[must_use]
    pub const fn floor(&self) -> usize {
        self.floor as usize
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budget.give_back(self.drawn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_always_gets_its_floor_however_much_another_holds() {
        let budget = Budget::new(4 << 20, 2 << 20);
        let mut greedy = Lease::new(budget.clone(), 1 << 20);
        let mut modest = Lease::new(budget.clone(), 1 << 20);
        assert!(greedy.covers(3 << 20) && !greedy.covers((3 << 20) + 1));
        assert!(modest.covers(1 << 20) && !modest.covers((1 << 20) + 1));
        assert!(budget.refusals() >= 2);
        greedy.shrink(0);
        assert!(modest.covers(3 << 20));
    }

    #[test]
    fn a_budget_that_shrinks_waits_for_what_is_held_and_one_that_grows_is_there_at_once() {
        let budget = Budget::new(4 << 20, 0);
        let mut lease = Lease::new(budget.clone(), 0);
        assert!(lease.covers(4 << 20));
        budget.resize(3 << 20, 1 << 20);
        let mut other = Lease::new(budget.clone(), 0);
        assert!(lease.covers(4 << 20), "what it holds stays");
        assert!(!other.covers(1));
        lease.shrink(1 << 20);
        assert!(other.covers(1 << 20) && !other.covers((1 << 20) + 1), "2 MiB beyond the floors");
        budget.resize(8 << 20, 0);
        assert!(other.covers(7 << 20));
    }

    #[test]
    fn what_a_flow_drew_comes_back_when_it_ends() {
        let budget = Budget::new(2 << 20, 0);
        let mut lease = Lease::new(budget.clone(), 0);
        assert!(lease.covers(2 << 20));
        drop(lease);
        assert!(Lease::new(budget, 0).covers(2 << 20));
    }
}
