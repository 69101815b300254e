//! Reads and writes of block devices, from `/proc/diskstats`.

use std::time::Duration;

use super::rate::Counted;
use super::root::Roots;
use super::row::Row;

/// The unit of the sector counts, whatever the device's own sectors are.
const SECTOR: f64 = 512.0;

/// The counters at the last sample: reads, sectors read, writes, sectors written, busy ms.
#[derive(Debug, Default)]
pub(super) struct Devices {
    counted: Counted<5>,
}

impl Devices {
    /// The rows of the stream `node_diskio`: whole devices, without their partitions.
    pub(super) fn sample(&mut self, roots: &Roots, span: Duration) -> Vec<Row> {
        let whole = roots.sys("block");
        let known = whole.is_dir();
        let current: Vec<(String, [u64; 5])> = parse(&roots.proc_text("diskstats"))
            .into_iter()
            .filter(|(name, _)| !is_virtual(name) && (!known || whole.join(name).exists()))
            .collect();
        let rates = self.counted.rates(&current, span);
        current
            .iter()
            .zip(rates)
            .map(|((name, _), [reads, read, writes, written, busy])| {
                Row::default()
                    .text("device", name)
                    .float("read_bytes_per_s", read.map(|sectors| sectors * SECTOR))
                    .float("write_bytes_per_s", written.map(|sectors| sectors * SECTOR))
                    .float("reads_per_s", reads)
                    .float("writes_per_s", writes)
                    // Milliseconds a second are tenths of a percent.
                    .float("busy_pct", busy.map(|millis| (millis / 10.0).min(100.0)))
            })
            .collect()
    }
}

/// Whether a device is no hardware of its own: backed by a file or by memory.
pub(super) fn is_virtual(name: &str) -> bool {
    ["loop", "ram", "zram"].iter().any(|kind| {
        name.strip_prefix(kind).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    })
}

fn parse(diskstats: &str) -> Vec<(String, [u64; 5])> {
    diskstats
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let number = |i: usize| words.get(i).and_then(|word| word.parse().ok());
            let counters = [number(3)?, number(5)?, number(7)?, number(9)?, number(12)?];
            Some(((*words.get(2)?).to_owned(), counters))
        })
        .collect()
}
