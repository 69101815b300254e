//! Traffic, errors and drops of network interfaces, from `net/dev`.

use std::time::Duration;

use super::rate::Counted;
use super::root::Roots;
use super::row::Row;

/// The counters at the last sample: bytes, packets, errors, drops; received, then sent.
#[derive(Debug, Default)]
pub(super) struct Interfaces {
    counted: Counted<8>,
}

impl Interfaces {
    /// The rows of the stream `node_net`, loopback left out.
    pub(super) fn sample(&mut self, roots: &Roots, span: Duration) -> Vec<Row> {
        let current = parse(&roots.process_text("net/dev"));
        let rates = self.counted.rates(&current, span);
        current
            .iter()
            .zip(rates)
            .map(
                |(
                    (name, _),
                    [
                        rx_bytes,
                        rx_packets,
                        rx_errors,
                        rx_dropped,
                        tx_bytes,
                        tx_packets,
                        tx_errors,
                        tx_dropped,
                    ],
                )| {
                    Row::default()
                        .text("interface", name)
                        .float("rx_bytes_per_s", rx_bytes)
                        .float("tx_bytes_per_s", tx_bytes)
                        .float("rx_packets_per_s", rx_packets)
                        .float("tx_packets_per_s", tx_packets)
                        .float("rx_errors_per_s", rx_errors)
                        .float("tx_errors_per_s", tx_errors)
                        .float("rx_dropped_per_s", rx_dropped)
                        .float("tx_dropped_per_s", tx_dropped)
                },
            )
            .collect()
    }
}

fn parse(dev: &str) -> Vec<(String, [u64; 8])> {
    dev.lines()
        .filter_map(|line| {
            let (name, numbers) = line.split_once(':')?;
            let name = name.trim();
            if name == "lo" {
                return None;
            }
            let numbers: Vec<u64> =
                numbers.split_ascii_whitespace().map_while(|word| word.parse().ok()).collect();
            match numbers.as_slice() {
                [rb, rp, re, rd, _, _, _, _, tb, tp, te, td, ..] => {
                    Some((name.to_owned(), [*rb, *rp, *re, *rd, *tb, *tp, *te, *td]))
                }
                _ => None,
            }
        })
        .collect()
}
