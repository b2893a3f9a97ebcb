//! What is subscribed on one connection: what to ask for, what was granted, what is to be asked again.
//! Promises that every topic is asked for, in 3.1.1 unless the session has it, that every answer is looked at, that a
//! session that goes on is brought in line with the settings, and that retained messages come once for each session.
//! Leaves sending to `session`.

use super::memory::{Memory, Past};
use super::packets::{self, Filter, Quality, Retained, Version};
use super::topics::Topic;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Filters in one SUBSCRIBE; AWS IoT Core takes no more.
const FILTERS: usize = 8;
/// What was refused is asked for again after this, so that a change of the broker's rules needs no restart of the agent.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// What the broker says to a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Granted,
    /// With a lower quality than asked for.
    Lowered(Quality),
    Refused(u8),
}

/// The broker answered what was not asked, or not all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unasked;

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Subscriptions {
    /// To be asked for next, by place in the settings.
    wanted: BTreeSet<usize>,
    /// To be taken back: filters of earlier settings.
    unwanted: Vec<String>,
    asked: BTreeMap<u16, Vec<usize>>,
    taking_back: BTreeMap<u16, Vec<String>>,
    refused: BTreeSet<usize>,
    ask_again: Option<Instant>,
    last_packet: u16,
    /// Of shared subscriptions.
    retained: Option<Retained>,
    /// Filters that were subscribed earlier in the session, those that are being taken back among them.
    past: Past,
}

/// The session that the broker has.
#[derive(Clone, Copy, Debug)]
pub enum Session<'a> {
    /// It begins with this connection.
    New,
    /// It goes on, and this is known of it.
    Known(&'a Memory),
    /// It goes on, and nothing is known of it.
    Unknown,
}

/// The connection that the topics are subscribed on.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// From 0 on, of those of the flow.
    pub number: u16,
    pub version: Version,
    pub session: Session<'a>,
}

/// How a subscription is remembered from one start to the next.
pub fn remembered(topic: &Topic) -> String {
    format!("{} {}", topic.quality.number(), topic.filter)
}

impl Subscriptions {
    /// A connection stands.
    ///
    /// A broker may have kept the session and lost subscriptions: it answered before it saved. So they are asked for
    /// again. In 3.1.1 that brings all retained messages again, so there a session that goes on is trusted to have its
    /// subscriptions, but for shared ones: mosquitto keeps a session over a restart and drops its shared subscriptions.
    pub fn connected(topics: &[Topic], link: Link<'_>) -> Self {
        let before = if let Session::Known(memory) = link.session { Some(memory) } else { None };
        let is_trusted = |topic: &Topic| {
            let trusted = link.version == Version::V311 && !topic.is_shared();
            trusted && before.is_some_and(|before| before.topics.contains(&remembered(topic)))
        };
        let wanted = topics.iter().enumerate().filter(|(_, topic)| !is_trusted(topic)).map(|(place, _)| place);
        let is_gone = |filter: &&str| !topics.iter().any(|topic| topic.filter == *filter);
        let unwanted: BTreeSet<&str> = before.into_iter().flat_map(Memory::filters).filter(is_gone).collect();
        let unwanted: Vec<String> = unwanted.into_iter().map(str::to_owned).collect();
        let past = match (link.session, before.and_then(|before| before.past.as_ref())) {
            (Session::New, _) => Past::Filters(Vec::new()),
            (_, None) => Past::Unknown,
            (_, Some(past)) => {
                let all: BTreeSet<&String> = past.iter().chain(&unwanted).collect();
                let parsed = all.into_iter().filter_map(|filter| Topic::parse(filter, Quality::AtMostOnce).ok());
                Past::Filters(parsed.collect())
            }
        };
        // A broker that dropped a shared subscription takes it for new, and would send what is retained with each
        // connection, to each of those that share it. So it is asked for them once, where the session begins.
        let again = before.is_some() || link.number > 0;
        Self { wanted: wanted.collect(), unwanted, retained: again.then_some(Retained::Never), past, ..Self::default() }
    }

    /// Of which topics messages may come beside those of the settings.
    pub const fn past(&self) -> &Past {
        &self.past
    }

    /// What the next connection must know: once every topic was asked for and answered, and before each time that something
    /// is asked, for the broker may do it and the answer be lost.
    pub fn memory(&self, topics: &[Topic], client_id: &str, broker: String, is_kept: bool) -> Memory {
        let open: BTreeSet<usize> = self.asked.values().flatten().chain(&self.wanted).copied().collect();
        let is_granted = |place: &usize| !self.refused.contains(place) && !open.contains(place);
        let granted = topics.iter().enumerate().filter(|(place, _)| is_granted(place));
        let going = self.unwanted.iter().chain(self.taking_back.values().flatten());
        let asked =
            open.iter().map(|place| remembered(&topics[*place])).chain(going.map(|filter| format!("0 {filter}")));
        // What is refused now may have been granted before.
        let refused = self.refused.iter().map(|place| topics[*place].filter.clone());
        let past = self.past.filters().map(|past| past.into_iter().chain(refused).collect::<BTreeSet<_>>());
        Memory {
            client_id: client_id.to_owned(),
            broker,
            is_kept,
            topics: granted.map(|(_, topic)| remembered(topic)).collect(),
            asked: asked.collect(),
            past: past.map(|past| past.into_iter().collect()),
        }
    }

    /// Whether something is to be asked now; it is to be remembered first.
    pub fn is_due(&mut self, now: Instant) -> bool {
        if self.ask_again.is_some_and(|at| at <= now) {
            self.ask_again = None;
            self.wanted.append(&mut self.refused);
        }
        !self.wanted.is_empty() || !self.unwanted.is_empty()
    }

    /// Appends the packets that are due.
    pub fn write(&mut self, topics: &[Topic], version: Version, now: Instant, out: &mut Vec<u8>) {
        if !self.is_due(now) {
            return;
        }
        let wanted: Vec<usize> = std::mem::take(&mut self.wanted).into_iter().collect();
        for places in wanted.chunks(FILTERS) {
            let packet = self.next_packet();
            let filters: Vec<Filter<'_>> = places
                .iter()
                .map(|place| &topics[*place])
                .map(|topic| Filter {
                    text: &topic.filter,
                    quality: topic.quality,
                    retained: self.retained.filter(|_| topic.is_shared()).unwrap_or(Retained::IfNew),
                })
                .collect();
            packets::subscribe(version, packet, &filters, out);
            self.asked.insert(packet, places.to_vec());
        }
        for filters in std::mem::take(&mut self.unwanted).chunks(FILTERS) {
            let packet = self.next_packet();
            packets::unsubscribe(version, packet, &filters.iter().map(String::as_str).collect::<Vec<_>>(), out);
            self.taking_back.insert(packet, filters.to_vec());
        }
    }

    fn next_packet(&mut self) -> u16 {
        loop {
            self.last_packet = self.last_packet.checked_add(1).unwrap_or(1);
            if !self.asked.contains_key(&self.last_packet) && !self.taking_back.contains_key(&self.last_packet) {
                return self.last_packet;
            }
        }
    }

    /// SUBACK came. Returns what was said to which topic.
    pub fn subscribed(
        &mut self,
        topics: &[Topic],
        packet: u16,
        codes: &[u8],
        now: Instant,
    ) -> Result<Vec<(usize, Verdict)>, Unasked> {
        let places = self.asked.remove(&packet).filter(|places| places.len() == codes.len()).ok_or(Unasked)?;
        let verdicts = places.into_iter().zip(codes).map(|(place, code)| {
            let verdict = match Quality::from_number(*code) {
                Some(granted) if granted < topics[place].quality => Verdict::Lowered(granted),
                Some(_) => Verdict::Granted,
                None => Verdict::Refused(*code),
            };
            (place, verdict)
        });
        let verdicts: Vec<_> = verdicts.collect();
        let refused = verdicts.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Refused(_)));
        self.refused.extend(refused.map(|(place, _)| *place));
        if !self.refused.is_empty() {
            self.ask_again = Some(now + ASK_AGAIN);
        }
        Ok(verdicts)
    }

    /// UNSUBACK came.
    pub fn unsubscribed(&mut self, packet: u16) -> Result<(), Unasked> {
        self.taking_back.remove(&packet).map(|_| ()).ok_or(Unasked)
    }

    /// Whether every topic was asked for and answered.
    pub fn is_settled(&self) -> bool {
        self.wanted.is_empty() && self.asked.is_empty() && self.taking_back.is_empty() && self.unwanted.is_empty()
    }

    /// Whether the broker owes an answer.
    pub fn awaits(&self) -> bool {
        !self.asked.is_empty() || !self.taking_back.is_empty()
    }

    /// Topics that the broker refuses, by place in the settings.
    pub const fn refused(&self) -> &BTreeSet<usize> {
        &self.refused
    }

    /// When something is due without an answer.
    pub const fn due(&self) -> Option<Instant> {
        self.ask_again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected(topics: &[Topic], version: Version, session: Session<'_>) -> Subscriptions {
        Subscriptions::connected(topics, Link { number: 0, version, session })
    }

    fn memory(topics: &[&str], past: Option<&[&str]>) -> Memory {
        let all = |list: &[&str]| list.iter().map(|&entry| entry.to_owned()).collect::<Vec<_>>();
        let (client_id, broker) = ("agent".to_owned(), "mqtt://b:1883".to_owned());
        Memory { client_id, broker, is_kept: true, topics: all(topics), asked: Vec::new(), past: past.map(all) }
    }

    fn topics(count: usize) -> Vec<Topic> {
        (0..count).map(|number| Topic::parse(&format!("t/{number}"), Quality::AtLeastOnce).unwrap()).collect()
    }

    #[test]
    fn without_a_session_everything_is_asked_for_eight_filters_at_a_time() {
        let (topics, mut out) = (topics(19), Vec::new());
        let mut subscriptions = connected(&topics, Version::V5, Session::New);
        subscriptions.write(&topics, Version::V5, Instant::now(), &mut out);
        assert_eq!(subscriptions.asked.values().map(Vec::len).collect::<Vec<_>>(), [8, 8, 3]);
        assert_eq!(subscriptions.subscribed(&topics, 9, &[0], Instant::now()), Err(Unasked));
        assert_eq!(subscriptions.subscribed(&topics, 3, &[1], Instant::now()), Err(Unasked), "too few codes");
    }

    #[test]
    fn a_session_that_goes_on_is_only_asked_for_what_is_new_and_told_what_is_gone() {
        let (topics, mut out) = (topics(2), Vec::new());
        let before = memory(&["1 t/0", "0 t/1", "1 old/#"], None);
        let mut subscriptions = connected(&topics, Version::V311, Session::Known(&before));
        subscriptions.write(&topics, Version::V311, Instant::now(), &mut out);
        assert_eq!(subscriptions.asked, BTreeMap::from([(1, vec![1])]), "the quality of t/1 is another now");
        assert!(out.windows(5).any(|bytes| bytes == b"old/#") && !subscriptions.is_settled());
        assert_eq!(subscriptions.subscribed(&topics, 1, &[1], Instant::now()), Ok(vec![(1, Verdict::Granted)]));
        assert_eq!((subscriptions.unsubscribed(2), subscriptions.is_settled()), (Ok(()), true));
    }

    #[test]
    fn what_is_refused_is_asked_again_later_and_what_is_lowered_is_told() {
        let (topics, mut out, now) = (topics(3), Vec::new(), Instant::now());
        let mut subscriptions = connected(&topics, Version::V5, Session::New);
        subscriptions.write(&topics, Version::V5, now, &mut out);
        let said = subscriptions.subscribed(&topics, 1, &[1, 0, 0x87], now).unwrap();
        let expected = [(0, Verdict::Granted), (1, Verdict::Lowered(Quality::AtMostOnce)), (2, Verdict::Refused(0x87))];
        assert_eq!(said, expected);
        assert_eq!(subscriptions.due(), Some(now + ASK_AGAIN));
        out.clear();
        subscriptions.write(&topics, Version::V5, now, &mut out);
        assert!(out.is_empty(), "too soon");
        subscriptions.write(&topics, Version::V5, now + ASK_AGAIN, &mut out);
        assert_eq!(subscriptions.asked, BTreeMap::from([(2, vec![2])]));
    }

    /// mosquitto keeps a session over a clean restart and drops its shared subscriptions: a flow of 3.1.1 was silent for
    /// ever, because the session was said to be there.
    #[test]
    fn shared_topics_are_asked_for_with_every_connection_in_3_1_1_too() {
        let topics: Vec<Topic> =
            ["$share/g/a/+", "b"].map(|filter| Topic::parse(filter, Quality::AtLeastOnce).unwrap()).into();
        let before = memory(&["1 $share/g/a/+", "1 b"], None);
        let (mut subscriptions, mut out) = (connected(&topics, Version::V311, Session::Known(&before)), Vec::new());
        subscriptions.write(&topics, Version::V311, Instant::now(), &mut out);
        assert_eq!(subscriptions.asked, BTreeMap::from([(1, vec![0])]));
    }

    #[test]
    fn retained_messages_of_a_shared_topic_are_asked_for_once_where_the_session_begins() {
        let topics: Vec<Topic> =
            ["$share/g/a", "b"].map(|filter| Topic::parse(filter, Quality::AtLeastOnce).unwrap()).into();
        let before = memory(&["1 $share/g/a", "1 b"], None);
        for (number, session, expected) in [
            (0, Session::New, [0x19, 0x19]),
            (0, Session::Known(&before), [0x29, 0x19]),
            (1, Session::New, [0x29, 0x19]),
        ] {
            let link = Link { number, version: Version::V5, session };
            let mut out = Vec::new();
            Subscriptions::connected(&topics, link).write(&topics, Version::V5, Instant::now(), &mut out);
            // The options stand behind each filter.
            let options = ["$share/g/a", "b"].map(|filter| {
                let at = out.windows(filter.len()).position(|bytes| bytes == filter.as_bytes()).unwrap();
                out[at + filter.len()]
            });
            assert_eq!(options, expected, "connection {number}, {session:?}");
        }
    }

    /// An agent that was killed between SUBSCRIBE and SUBACK knew nothing of the subscription: a topic that was removed from
    /// the settings then stayed subscribed for as long as the session lived.
    #[test]
    fn what_was_asked_is_remembered_before_the_answer_comes_and_taken_back_when_it_is_gone() {
        let both: Vec<Topic> = ["t", "old"].map(|filter| Topic::parse(filter, Quality::AtLeastOnce).unwrap()).into();
        let (now, mut out) = (Instant::now(), Vec::new());
        let mut subscriptions = connected(&both, Version::V311, Session::New);
        let remembered = |subscriptions: &Subscriptions| subscriptions.memory(&both, "agent", "b".to_owned(), true);
        assert!(subscriptions.is_due(now));
        let before = remembered(&subscriptions);
        subscriptions.write(&both, Version::V311, now, &mut out);
        assert!(!subscriptions.is_due(now));
        assert_eq!(remembered(&subscriptions), before, "what is remembered before holds until the answer");
        assert_eq!((before.topics.len(), before.asked.as_slice()), (0, &["1 t".to_owned(), "1 old".to_owned()][..]));
        // Killed here; the session goes on, and the settings have lost a topic.
        let mut next = connected(&both[..1], Version::V311, Session::Known(&before));
        out.clear();
        next.write(&both[..1], Version::V311, now, &mut out);
        assert_eq!(next.asked, BTreeMap::from([(1, vec![0])]), "without an answer nobody knows that it is subscribed");
        assert_eq!(next.taking_back, BTreeMap::from([(2, vec!["old".to_owned()])]));
        assert!(next.past().covers("old") && !next.past().covers("other"));
        // Killed again, between UNSUBSCRIBE and UNSUBACK.
        let again = next.memory(&both[..1], "agent", "b".to_owned(), true);
        let last = connected(&both[..1], Version::V311, Session::Known(&again));
        assert_eq!(last.unwanted, ["old"]);
    }

    #[test]
    fn a_filter_stays_known_for_as_long_as_the_session_may_hold_messages_of_it() {
        let topics = topics(1);
        let past = |session: Session<'_>| connected(&topics, Version::V5, session).past().clone();
        assert!(!past(Session::New).covers("old/x"), "a session that begins now holds nothing");
        assert!(past(Session::Unknown).covers("old/x"), "nobody knows what a session of unknown age holds");
        assert!(past(Session::Known(&memory(&["1 t/0"], None))).covers("old/x"), "nor one of an earlier version");
        let removed = memory(&["1 t/0", "1 old/+"], Some(&["older/#"]));
        let subscriptions = connected(&topics, Version::V5, Session::Known(&removed));
        let next = subscriptions.memory(&topics, "agent", "mqtt://b:1883".to_owned(), true);
        assert_eq!(next.past.as_deref(), Some(&["old/+".to_owned(), "older/#".to_owned()][..]));
        // Connections later, messages of them may still wait at the broker; of others none can.
        let later = past(Session::Known(&next));
        assert!(later.covers("old/x") && later.covers("older/x/y") && !later.covers("other"));
    }
}
