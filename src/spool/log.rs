//! Whether SQLite's write-ahead log says all that was written to it.
//!
//! SQLite takes what is readable from the log's beginning, and silently leaves the rest: after a power cut that is right,
//! as the rest was never committed. Where a sector of it rots, committed transactions would go without a word, and their
//! numbers would be given again. But each transaction is synced before the next begins: so behind the place where the log
//! breaks off there is at most one of the same run. More of them say that it broke in the middle.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes of the header, and of that of a frame.
const HEADER: usize = 32;
const FRAME: usize = 24;

/// Whether the log, if there is one, is whole. One that cannot be read is left to SQLite.
pub(super) fn is_whole(log: &Path) -> bool {
    let Ok(file) = File::open(log) else { return true };
    read(file).unwrap_or(true)
}

fn read(mut file: File) -> std::io::Result<bool> {
    let length = file.metadata()?.len();
    let mut header = [0; HEADER];
    if length < HEADER as u64 {
        return Ok(true);
    }
    file.read_exact(&mut header)?;
    // A log that was just begun.
    if header == [0; HEADER] {
        return Ok(length == HEADER as u64 || nothing(&mut file)?);
    }
    let big = match word(&header, 0) {
        0x377f_0682 => false,
        0x377f_0683 => true,
        _ => return Ok(false),
    };
    let mut sum = checksum((0, 0), &header[..24], big);
    let page = word(&header, 8) as usize;
    if sum != (word(&header, 24), word(&header, 28)) || !(512..=65_536).contains(&page) {
        return Ok(false);
    }
    let (mut broken, mut behind) = (false, 0);
    let mut frame = vec![0; FRAME + page];
    file.seek(SeekFrom::Start(HEADER as u64))?;
    loop {
        match file.read_exact(&mut frame) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(true),
            other => other?,
        }
        let of_this_run = frame[8..16] == header[16..24];
        if !broken {
            sum = checksum(checksum(sum, &frame[..8], big), &frame[FRAME..], big);
            broken = !of_this_run || sum != (word(&frame, 16), word(&frame, 20));
        }
        if broken && of_this_run {
            // A frame behind one that ended a transaction.
            if behind > 0 {
                return Ok(false);
            }
            behind += u32::from(word(&frame, 4) != 0);
        }
    }
}

/// Whether only zeros follow.
fn nothing(file: &mut File) -> std::io::Result<bool> {
    let mut rest = [0; 4_096];
    loop {
        match file.read(&mut rest)? {
            0 => return Ok(true),
            n if rest[..n].iter().any(|byte| *byte != 0) => return Ok(false),
            _ => {}
        }
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

/// SQLite's own, over pairs of words.
fn checksum((mut a, mut b): (u32, u32), bytes: &[u8], big: bool) -> (u32, u32) {
    let (pairs, _) = bytes.as_chunks::<8>();
    for [w0, w1, w2, w3, w4, w5, w6, w7] in pairs {
        let (first, second) = ([*w0, *w1, *w2, *w3], [*w4, *w5, *w6, *w7]);
        let read = |word| if big { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) };
        a = a.wrapping_add(read(first)).wrapping_add(b);
        b = b.wrapping_add(read(second)).wrapping_add(a);
    }
    (a, b)
}
