//! Answers to what others ask the tailer while it runs.
//! Promises that a question costs a round no more than a page of its answer.
//! Leaves the answers to the tail cores.

use super::Orders;
use super::inquiry::{Cursor, Inquiry, Page};
use super::stream::Stream;
use std::sync::PoisonError;

/// Contents of a page.
const PAGE: u32 = 256;
/// Contents that are looked through at a time for the oldest: nothing is copied of most.
const GLANCE: u32 = 8_192;

/// Answers a question, or a part of it. Returns whether more wait.
pub(super) fn answer_one(orders: &Orders, streams: &[Stream]) -> bool {
    let take = || orders.inquiries.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let Some(inquiry) = take() else { return false };
    // An asker that is gone needs no answer.
    match inquiry {
        Inquiry::Page { from, reply } => {
            reply.send(page(streams, from)).ok();
        }
        Inquiry::File { key, beginning, reply } => {
            reply.send(streams.iter().map(|stream| stream.about(key, &beginning)).collect()).ok();
        }
        Inquiry::Oldest { from, mut found, mut all, reply } => {
            let Some(stream) = streams.get(from.stream) else {
                reply.send(all).ok();
                return true;
            };
            found.resize(stream.flows.len(), None);
            let from = match stream.oldest(from.number, GLANCE, &mut found) {
                Some(number) => Cursor { number, ..from },
                None => {
                    let numbers = found.iter().flatten().map(|(_, number)| *number);
                    all.extend(numbers.filter_map(|number| stream.seen(number, 1).0.pop()));
                    found.clear();
                    Cursor { stream: from.stream + 1, number: 0 }
                }
            };
            if !reply.is_closed() {
                let rest = Inquiry::Oldest { from, found, all, reply };
                orders.inquiries.lock().unwrap_or_else(PoisonError::into_inner).push_back(rest);
            }
        }
    }
    true
}

fn page(streams: &[Stream], from: Cursor) -> Page {
    let Some(stream) = streams.get(from.stream) else { return (Vec::new(), None) };
    let (seen, next) = stream.seen(from.number, PAGE);
    let next = match next {
        Some(number) => Some(Cursor { number, ..from }),
        None => (from.stream + 1 < streams.len()).then_some(Cursor { stream: from.stream + 1, number: 0 }),
    };
    (seen, next)
}
