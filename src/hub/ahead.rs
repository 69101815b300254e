//! Reading on while a session waits for the disk: only where someone asked whether the agent is still there, as its
//! answer must be heard, and only so much.

use std::collections::VecDeque;

use prost::Message as _;
use tonic::{Status, Streaming};

use super::sessions::Pulse;
use crate::wire::v1::{self, agent_message::Message as Up};

/// What may be read before its turn: an agent's whole window goes before its answer, where it is a usual one.
const BYTES: usize = 1 << 20;

/// One piece of what an agent sends, or the end of it.
pub(super) type Piece = Result<Option<v1::AgentMessage>, Status>;

/// What was read before its turn.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    pieces: VecDeque<Piece>,
    bytes: usize,
    ended: bool,
}

impl Ahead {
    /// The next piece whose turn it is.
    pub(super) fn pop(&mut self) -> Option<Piece> {
        let piece = self.pieces.pop_front()?;
        self.bytes = self.bytes.saturating_sub(size(&piece));
        Some(piece)
    }

    /// Waits for `work`; when asked for a sign of life meanwhile, reads on until it came.
    pub(super) async fn during<T>(
        &mut self,
        pulse: &Pulse,
        up: &mut Streaming<v1::AgentMessage>,
        work: impl Future<Output = T>,
    ) -> T {
        let mut questions = pulse.questions();
        let mut work = std::pin::pin!(work);
        let outcome = loop {
            let is_asked = pulse.is_asked();
            let reads = is_asked && !self.ended && self.bytes < BYTES;
            pulse.set_deaf(is_asked && !reads);
            tokio::select! {
                biased;
                outcome = &mut work => break outcome,
                _ = questions.changed(), if !is_asked => {}
                piece = up.message(), if reads => self.push(piece, pulse),
            }
        };
        pulse.set_deaf(false);
        outcome
    }

    fn push(&mut self, piece: Piece, pulse: &Pulse) {
        if matches!(piece, Ok(Some(v1::AgentMessage { message: Some(Up::Alive(_)) }))) {
            pulse.answer();
            return;
        }
        self.ended = !matches!(piece, Ok(Some(_)));
        self.bytes += size(&piece);
        self.pieces.push_back(piece);
    }
}

fn size(piece: &Piece) -> usize {
    match piece {
        // Even an empty message takes room.
        Ok(Some(message)) => message.encoded_len() + 64,
        _ => 0,
    }
}
