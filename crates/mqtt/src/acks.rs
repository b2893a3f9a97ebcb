//! Which message may be acknowledged now: in the order of receipt, once synced, on the connection it came from.
//! Promises that nothing is acknowledged before it is synced, that order is kept, and that a late sync never
//! acknowledges on another connection, where its packet identifier means another message. Leaves sending to `session`.

use super::packets::{Ack, Answer, Quality};
use std::collections::{HashSet, VecDeque};

/// Up to where a connection's messages were handed over for syncing. From another connection than the present one it
/// means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    generation: u64,
    received: u64,
}

/// What to do with a message that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// Spool it.
    New,
    /// It was spooled and its PUBREC sent before the connection was lost; only the answer is due again.
    Again,
}

/// The answers one connection owes, over all its reconnects.
///
/// Invariants: `synced <= received`; `owed` holds those of `(answered, received]` that want an answer, in order.
#[derive(Debug, Default)]
pub struct Acks {
    /// Counts connections; 0 before the first.
    generation: u64,
    /// Messages of this connection, counted.
    received: u64,
    /// The first of them, which are synced.
    synced: u64,
    /// The place of each among the received, the answer, and the subscription it belongs to.
    owed: VecDeque<(u64, Ack, usize)>,
    /// Messages exactly once whose PUBREC was sent and whose PUBREL did not come.
    half: HashSet<u16>,
}

impl Acks {
    /// A connection stands. Without a session at the broker, nothing is known of earlier packet identifiers.
    pub fn connected(&mut self, session_present: bool) {
        self.generation += 1;
        (self.received, self.synced) = (0, 0);
        self.owed.clear();
        if !session_present {
            self.half.clear();
        }
    }

    /// A message arrived. Every message that is handed over for syncing is counted here, whatever its quality.
    pub fn arrived(&mut self, quality: Quality, packet: u16, duplicate: bool, subscription: usize) -> Arrived {
        self.received += 1;
        let answer = match quality {
            Quality::AtMostOnce => return Arrived::New,
            Quality::AtLeastOnce => Answer::Acknowledged,
            Quality::ExactlyOnce => Answer::Received,
        };
        self.owed.push_back((self.received, Ack { answer, packet }, subscription));
        // Without the mark of a duplicate the broker has begun something new under the old identifier.
        if quality == Quality::ExactlyOnce && duplicate && self.half.contains(&packet) {
            return Arrived::Again;
        }
        Arrived::New
    }

    /// PUBREL: answered at once, for the message is spooled since its PUBREC.
    pub fn released(&mut self, packet: u16) -> Ack {
        self.half.remove(&packet);
        Ack { answer: Answer::Complete, packet }
    }

    /// Everything that arrived so far, to be given back once it is synced.
    pub const fn mark(&self) -> Mark {
        Mark { generation: self.generation, received: self.received }
    }

    /// What the mark stands for is synced.
    pub fn synced(&mut self, mark: Mark) {
        if mark.generation == self.generation {
            self.synced = self.synced.max(mark.received);
        }
    }

    /// The next answer that may be sent, and the subscription of its message.
    pub fn next_due(&mut self) -> Option<(Ack, usize)> {
        let (place, ack, subscription) = *self.owed.front()?;
        if place > self.synced {
            return None;
        }
        self.owed.pop_front();
        if ack.answer == Answer::Received {
            self.half.insert(ack.packet);
        }
        Some((ack, subscription))
    }

    /// Messages that wait for their answer.
    pub fn owed(&self) -> usize {
        self.owed.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Arrive { quality: u8, packet: u16, duplicate: bool },
        HandOver,
        Sync,
        Answer,
        Release,
        Reconnect { session_present: bool },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..3_u8, 1..6_u16, any::<bool>())
                .prop_map(|(quality, packet, duplicate)| Step::Arrive { quality, packet, duplicate }),
            3 => Just(Step::HandOver),
            3 => Just(Step::Sync),
            4 => Just(Step::Answer),
            1 => Just(Step::Release),
            1 => any::<bool>().prop_map(|session_present| Step::Reconnect { session_present }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn answers_come_in_order_once_synced_and_on_their_own_connection(steps in prop::collection::vec(step(), 1..120)) {
            let mut acks = Acks::default();
            acks.connected(false);
            // The model: messages of this connection in order, and whether each is synced; marks on their way.
            let mut messages: Vec<(Quality, u16, bool)> = Vec::new();
            let (mut connection, mut answered) = (0, 0);
            let mut under_way: VecDeque<(Mark, u32, usize)> = VecDeque::new();
            let mut half: Vec<u16> = Vec::new();
            for step in steps {
                match step {
                    Step::Arrive { quality, packet, duplicate } => {
                        let quality = Quality::from_number(quality).unwrap();
                        let again = quality == Quality::ExactlyOnce && duplicate && half.contains(&packet);
                        let arrived = acks.arrived(quality, packet, duplicate, 0);
                        prop_assert_eq!(arrived == Arrived::Again, again);
                        messages.push((quality, packet, false));
                    }
                    Step::HandOver => under_way.push_back((acks.mark(), connection, messages.len())),
                    Step::Sync => {
                        if let Some((mark, of, count)) = under_way.pop_front() {
                            acks.synced(mark);
                            if of == connection {
                                messages[..count].iter_mut().for_each(|message| message.2 = true);
                            }
                        }
                    }
                    Step::Answer => {
                        while messages.get(answered).is_some_and(|message| message.0 == Quality::AtMostOnce) {
                            answered += 1;
                        }
                        match (acks.next_due(), messages.get(answered)) {
                            (Some((ack, _)), Some((quality, packet, synced))) => {
                                prop_assert!(*synced, "{ack:?} before its sync");
                                prop_assert_eq!(ack.packet, *packet, "out of order");
                                let once = *quality == Quality::ExactlyOnce;
                                prop_assert_eq!(ack.answer == Answer::Received, once);
                                if once {
                                    half.push(*packet);
                                }
                                answered += 1;
                            }
                            (None, message) => prop_assert!(message.is_none_or(|message| !message.2), "an answer is held back"),
                            (Some((ack, _)), None) => prop_assert!(false, "{ack:?} for nothing"),
                        }
                    }
                    Step::Release => {
                        if let Some(packet) = half.pop() {
                            half.retain(|other| *other != packet);
                            prop_assert_eq!(acks.released(packet), Ack { answer: Answer::Complete, packet });
                        }
                    }
                    Step::Reconnect { session_present } => {
                        acks.connected(session_present);
                        messages.clear();
                        (connection, answered) = (connection + 1, 0);
                        if !session_present {
                            half.clear();
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_sync_that_comes_after_a_reconnect_does_not_acknowledge_the_new_message_with_the_same_identifier() {
        let mut acks = Acks::default();
        acks.connected(false);
        acks.arrived(Quality::AtLeastOnce, 7, false, 0);
        let late = acks.mark();
        acks.connected(true);
        acks.arrived(Quality::AtLeastOnce, 7, false, 0);
        acks.synced(late);
        assert_eq!((acks.next_due(), acks.owed()), (None, 1));
        let mark = acks.mark();
        acks.synced(mark);
        assert_eq!(acks.next_due(), Some((Ack { answer: Answer::Acknowledged, packet: 7 }, 0)));
    }

    #[test]
    fn a_message_exactly_once_is_spooled_again_when_its_first_answer_was_never_sent() {
        let mut acks = Acks::default();
        acks.connected(false);
        acks.arrived(Quality::ExactlyOnce, 3, false, 0);
        let mark = acks.mark();
        acks.connected(true);
        acks.synced(mark);
        assert_eq!(acks.arrived(Quality::ExactlyOnce, 3, true, 0), Arrived::New);
    }
}
