//! The codes of MQTT as words that say what is wrong and, where something would do, what.
//! Promises words for every code. Leaves logging them to `session`.

use super::packets::Version;

/// Why a broker refused the connection.
pub fn refused(version: Version, code: u8) -> String {
    let words = match (version, code) {
        (_, 1 | 0x84) => "it does not speak this version of MQTT; set `version` to the other one",
        (Version::V311, 2) | (Version::V5, 0x85) => "it does not take this `clientId`",
        (Version::V311, 3) | (Version::V5, 0x88) => "it is not available now",
        (Version::V311, 4) | (Version::V5, 0x86) => "user name or password is wrong; see `username` and `passwordFile`",
        (Version::V311, 5) | (Version::V5, 0x87) => {
            "not authorized; see the broker's rules for this client id and user"
        }
        (Version::V5, 0x8a) => "this client is banned",
        (Version::V5, 0x8c) => "it wants another way of signing in",
        (Version::V5, 0x95) => "the packet was too large for it",
        (Version::V5, 0x97) => "a quota is used up",
        (Version::V5, 0x9c | 0x9d) => "it wants another broker to be used; set `broker`",
        (Version::V5, 0x9f) => "connections come too fast for it",
        _ => return format!("the broker refused the connection: code {code:#04x}"),
    };
    format!("the broker refused the connection: {words}")
}

/// Why a broker ended the connection, MQTT 5.
pub fn disconnected(code: u8) -> String {
    let words = match code {
        0x00 => "no reason given",
        0x81 => "a packet was malformed",
        0x82 => "a rule of the protocol was broken",
        0x87 => "not authorized any longer",
        0x89 => "it is busy",
        0x8b => "it shuts down",
        0x8d => "it heard nothing for too long",
        0x8e => "another client connected with the same `clientId`; each client needs its own",
        0x93 => "it got more than it was ready to receive",
        0x95 => "a packet was too large",
        0x96 => "messages come too fast",
        0x97 => "a quota is used up",
        0x98 => "an administrator ended it",
        0x9c | 0x9d => "it wants another broker to be used; set `broker`",
        0x9e => "it does not support shared subscriptions",
        0x9f => "connections come too fast for it",
        0xa0 => "the connection was open for as long as it may be",
        0xa2 => "it does not support wildcards",
        _ => return format!("the broker ended the connection: code {code:#04x}"),
    };
    format!("the broker ended the connection: {words}")
}

/// Why a broker refused a subscription.
pub const fn not_subscribed(code: u8) -> &'static str {
    match code {
        0x83 => "a rule of the broker forbids it",
        0x87 => "not authorized; see the broker's rules for this client",
        0x8f => "it does not take this filter",
        0x91 => "the packet identifier is in use",
        0x97 => "a quota is used up",
        0x9e => "it does not support shared subscriptions",
        0xa1 => "it does not support subscription identifiers",
        0xa2 => "it does not support wildcards",
        _ => "the broker gives no reason",
    }
}
