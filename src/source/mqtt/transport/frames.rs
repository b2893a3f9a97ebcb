//! The frames of a WebSocket, cut into small ones before the library gathers each whole.
//! Promises that a frame costs no memory for its length: one may be as long as a message, and that as long as a broker
//! likes, where a message over the limit is only stepped over. Leaves handshake, pings and the rest to the library.

use bytes::{Buf, BytesMut};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The longest frame that is handed on, its head not counted; also what is read at once.
pub(super) const LONGEST: usize = 32 << 10;

/// Where in the stream the next byte stands.
#[derive(Clone, Copy, Debug)]
enum At {
    /// In the answer to the handshake, this many bytes into the empty line that ends it.
    Handshake(usize),
    Head,
    /// In a frame of data: this many bytes are to come.
    Data(u64),
    /// In a frame that goes on as it is.
    Other(u64),
}

/// The cutting alone: bytes in, bytes out.
#[derive(Debug)]
struct Cutter(At);

impl Cutter {
    /// Moves what can be moved from the one to the other. For MQTT the borders of frames mean nothing.
    fn cut(&mut self, from: &mut BytesMut, to: &mut BytesMut) {
        const END: &[u8] = b"\r\n\r\n";
        while !from.is_empty() {
            self.0 = match self.0 {
                At::Handshake(matched) => {
                    let byte = from.get_u8();
                    to.extend_from_slice(&[byte]);
                    let matched = if byte == END[matched] { matched + 1 } else { usize::from(byte == END[0]) };
                    if matched == END.len() { At::Head } else { At::Handshake(matched) }
                }
                At::Head => match head(from) {
                    None => return,
                    // Whole messages all of them; a long one follows as several.
                    Some((length, left)) if is_data(from[0]) && left > 0 => {
                        from.advance(length);
                        At::Data(left)
                    }
                    Some((length, left)) => {
                        to.extend_from_slice(&from.split_to(length));
                        At::Other(left)
                    }
                },
                At::Data(0) | At::Other(0) => At::Head,
                At::Data(left) => {
                    let part = from.split_to(from.len().min(LONGEST).min(usize::try_from(left).unwrap_or(LONGEST)));
                    let length = u16::try_from(part.len()).expect("the longest frame is shorter than 64 KiB");
                    // A whole message of bytes; its length is in the next two.
                    to.extend_from_slice(&[0x82, 126]);
                    to.extend_from_slice(&length.to_be_bytes());
                    to.extend_from_slice(&part);
                    At::Data(left - part.len() as u64)
                }
                At::Other(left) => {
                    let part = from.split_to(from.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
                    to.extend_from_slice(&part);
                    At::Other(left - part.len() as u64)
                }
            };
        }
    }
}

/// Bytes, or more of them, without flags of extensions.
const fn is_data(first: u8) -> bool {
    matches!(first & 0x7f, 0 | 2)
}

/// The length of the head and of what follows it; `None` while more is needed.
fn head(bytes: &[u8]) -> Option<(usize, u64)> {
    let masked = bytes.get(1)? & 0x80 != 0;
    let (length, left) = match bytes[1] & 0x7f {
        126 => (4, u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)),
        short => (2, short.into()),
    };
    // A broker must not mask. Handed on as it is, it is refused by the library.
    if masked { Some((length, u64::MAX)) } else { Some((length, left)) }
}

/// See the head of this file.
pub(super) struct Frames<S> {
    stream: S,
    cutter: Cutter,
    from: BytesMut,
    to: BytesMut,
}

impl<S> Frames<S> {
    /// Around a stream on which the handshake is to come.
    pub(super) fn new(stream: S) -> Self {
        Self { stream, cutter: Cutter(At::Handshake(0)), from: BytesMut::new(), to: BytesMut::new() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Frames<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.to.is_empty() {
            let begun = this.from.len();
            this.from.resize(begun + LONGEST, 0);
            let mut room = ReadBuf::new(&mut this.from[begun..]);
            let read = Pin::new(&mut this.stream).poll_read(context, &mut room);
            let count = room.filled().len();
            this.from.truncate(begun + count);
            ready!(read)?;
            if count == 0 {
                return Poll::Ready(Ok(()));
            }
            this.cutter.cut(&mut this.from, &mut this.to);
        }
        let part = this.to.split_to(this.to.len().min(into.remaining()));
        into.put_slice(&part);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Frames<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_tungstenite::tungstenite::protocol::Role;
    use async_tungstenite::tungstenite::{Message, WebSocket};
    use proptest::prelude::*;
    use std::io::Cursor;

    /// Bytes to be read; what is written is for nobody.
    struct Replay(Cursor<Vec<u8>>);

    impl io::Read for Replay {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.0.read(into)
        }
    }

    impl io::Write for Replay {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]
        #[test]
        fn what_arrives_is_the_same_in_smaller_frames(
            lengths in prop::collection::vec(prop_oneof![0..200_usize, 60_000..140_000_usize], 0..5),
            step in prop_oneof![1..20_usize, 1_000..90_000_usize],
        ) {
            let mut server = WebSocket::from_raw_socket(Cursor::new(Vec::new()), Role::Server, None);
            let mut sent = Vec::new();
            for (number, length) in lengths.iter().enumerate() {
                let payload = vec![number as u8; *length];
                sent.extend_from_slice(&payload);
                server.send(Message::Binary(payload.into())).unwrap();
                server.send(Message::Ping(vec![9; 3].into())).unwrap();
            }
            let handshake = b"HTTP/1.1 101 Switching Protocols\r\nA: \r\r\nB: c\r\n\r\n";
            let wire = [handshake, &server.get_ref().get_ref()[..]].concat();
            let (mut cutter, mut from, mut to) = (Cutter(At::Handshake(0)), BytesMut::new(), BytesMut::new());
            for part in wire.chunks(step) {
                from.extend_from_slice(part);
                cutter.cut(&mut from, &mut to);
            }
            prop_assert!(from.is_empty() && to.starts_with(handshake));
            to.advance(handshake.len());
            let mut client = WebSocket::from_raw_socket(Replay(Cursor::new(to.to_vec())), Role::Client, None);
            let (mut received, mut pings) = (Vec::new(), 0);
            while let Ok(message) = client.read() {
                match message {
                    Message::Binary(bytes) => {
                        prop_assert!(bytes.len() <= LONGEST);
                        received.extend_from_slice(&bytes);
                    }
                    other => pings += usize::from(other.is_ping()),
                }
            }
            prop_assert!(received == sent && pings == lengths.len());
        }
    }
}
