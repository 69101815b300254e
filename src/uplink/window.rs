//! What is under way to the hub. Pure: numbers in, the next piece to send out.

/// How many transitions may be sent and not yet acknowledged.
const IN_FLIGHT: u64 = 1_000;

/// How many go in one message; an acknowledgement comes back for each.
const BATCH: u64 = 200;

/// The sending window of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    sent: u64,
    acked: u64,
}

impl Window {
    /// A window that starts where the hub says it has committed everything.
    pub(super) const fn starting(committed: u64) -> Self {
        Self { sent: committed, acked: committed }
    }

    /// The newest number sent.
    pub(super) const fn sent(self) -> u64 {
        self.sent
    }

    /// How many may be sent at once, given the newest number in the outbox; 0 to wait.
    pub(super) fn room(self, newest: u64) -> usize {
        let waiting = newest.saturating_sub(self.sent);
        let open = IN_FLIGHT.saturating_sub(self.sent.saturating_sub(self.acked));
        usize::try_from(waiting.min(open).min(BATCH)).unwrap_or(0)
    }

    /// Everything up to `seq` is on its way.
    pub(super) fn send_until(&mut self, seq: u64) {
        self.sent = self.sent.max(seq);
    }

    /// The hub committed everything up to `seq`. Returns whether that is news.
    pub(super) fn ack(&mut self, seq: u64) -> bool {
        let news = seq > self.acked && seq <= self.sent;
        if news {
            self.acked = seq;
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_up_to_its_bound_and_goes_on_with_the_acks() {
        let mut window = Window::starting(10);
        assert_eq!(window.room(10), 0);
        assert_eq!(window.room(13), 3);
        assert_eq!(window.room(5_000), 200);
        window.send_until(1_010);
        assert_eq!(window.room(5_000), 0);
        assert!(window.ack(510));
        assert_eq!(window.room(5_000), 200);
    }

    #[test]
    fn an_ack_of_what_was_not_sent_or_is_old_is_ignored() {
        let mut window = Window::starting(10);
        window.send_until(20);
        assert!(!window.ack(21));
        assert!(!window.ack(10));
        assert!(window.ack(20));
    }
}
