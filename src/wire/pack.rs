//! Compression of gRPC messages, each by itself and only where it pays. tonic's own compresses all messages of a stream or
//! none, with a context for large data made anew for each: small ones grow, and a device's memory with them. What comes out
//! is what any gRPC peer reads that was told `grpc-encoding: zstd`.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};
use tonic::codegen::{Service, http};

/// Bytes of the smallest message that is worth trying: below, what a frame of zstd adds is about what it saves.
const LINE: usize = 128;

/// zstd's own default. Greater levels gain little on messages of this size, and take more memory.
const LEVEL: i32 = 3;

/// A flag and the length, before each message.
const HEADER: usize = 5;

/// A client whose messages are compressed.
#[derive(Clone, Debug)]
pub struct Packing<S>(pub S);

impl<S> Service<http::Request<tonic::body::Body>> for Packing<S>
where
    S: Service<http::Request<tonic::body::Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        parts.headers.insert("grpc-encoding", http::HeaderValue::from_static("zstd"));
        self.0.call(http::Request::from_parts(parts, tonic::body::Body::new(Packed(body))))
    }
}

/// A body of gRPC messages, compressed where that pays.
#[derive(Debug)]
pub struct Packed<B>(pub B);

impl<B: Body<Data = Bytes> + Unpin> Body for Packed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.0).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(pack))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// Compresses the messages of a piece of a body. tonic gives whole messages; anything else goes as it came.
fn pack(piece: Bytes) -> Bytes {
    if piece.len() < HEADER + LINE {
        return piece;
    }
    let mut packed = BytesMut::new();
    let mut rest = &*piece;
    while let Some((header, after)) = rest.split_at_checked(HEADER) {
        let [flag, length @ ..] = header else { return piece };
        let length: [u8; 4] = length.try_into().unwrap_or_default();
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        let Some((message, after)) = after.split_at_checked(length) else { return piece };
        let smaller = (*flag == 0 && length >= LINE)
            .then(|| zstd::bulk::compress(message, LEVEL).ok())
            .flatten()
            .filter(|smaller| smaller.len() < length);
        match smaller.as_deref().and_then(|smaller| Some((smaller, u32::try_from(smaller.len()).ok()?))) {
            Some((smaller, length)) => {
                packed.put_u8(1);
                packed.put_u32(length);
                packed.put_slice(smaller);
            }
            None => {
                packed.put_slice(header);
                packed.put_slice(message);
            }
        }
        rest = after;
    }
    if rest.is_empty() { packed.freeze() } else { piece }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(messages: &[Vec<u8>]) -> Bytes {
        let mut all = BytesMut::new();
        for message in messages {
            all.put_u8(0);
            all.put_u32(u32::try_from(message.len()).unwrap());
            all.put_slice(message);
        }
        all.freeze()
    }

    fn read(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        while !bytes.is_empty() {
            let length = u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize;
            let message = &bytes[5..5 + length];
            messages.push(match bytes[0] {
                0 => message.to_vec(),
                _ => zstd::decode_all(message).unwrap(),
            });
            bytes = &bytes[5 + length..];
        }
        messages
    }

    fn message() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            (any::<u8>(), 0_usize..3_000).prop_map(|(byte, length)| vec![byte; length]),
        ]
    }

    proptest! {
        #[test]
        fn what_was_packed_is_read_as_it_was_and_never_larger(messages in prop::collection::vec(message(), 0..6)) {
            let plain = framed(&messages);
            let packed = pack(plain.clone());
            prop_assert!(packed.len() <= plain.len());
            prop_assert_eq!(read(&packed), messages);
        }

        #[test]
        fn what_are_no_whole_messages_goes_as_it_came(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let bytes = Bytes::from(bytes);
            let packed = pack(bytes.clone());
            prop_assert!(packed.len() <= bytes.len());
        }

        #[test]
        fn a_message_that_is_cut_goes_as_it_came(length in 140_usize..1_000, cut in 1_usize..134) {
            let whole = framed(&[vec![7; length]]);
            let piece = whole.slice(..whole.len() - cut);
            prop_assert_eq!(pack(piece.clone()), piece);
        }
    }
}
