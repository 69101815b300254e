//! Lines of bounded length, with their numbers.

use std::io::{self, BufRead, Read};

use super::ReplayError;

/// The longest line, bytes. A longer one is an error of that line, not the end of memory.
pub(super) const LONGEST: usize = 16 * 1024 * 1024;

pub(super) struct Lines {
    from: Box<dyn BufRead + Send>,
    line: u64,
    ended: bool,
}

impl Lines {
    pub(super) fn new(from: Box<dyn BufRead + Send>) -> Self {
        Self { from, line: 0, ended: false }
    }

    /// The next line that is not blank, without its end.
    pub(super) fn next_filled(&mut self) -> Option<Result<(u64, Vec<u8>), ReplayError>> {
        loop {
            match self.next()? {
                Ok((_, bytes)) if bytes.trim_ascii().is_empty() => {}
                other => return Some(other),
            }
        }
    }

    /// The next line, without its end. After a failure of the file there is none.
    pub(super) fn next(&mut self) -> Option<Result<(u64, Vec<u8>), ReplayError>> {
        if self.ended {
            return None;
        }
        self.line += 1;
        match self.read() {
            Ok(Some(mut bytes)) => {
                if self.line == 1 && bytes.starts_with(b"\xef\xbb\xbf") {
                    bytes.drain(..3);
                }
                if bytes.len() > LONGEST {
                    return Some(Err(ReplayError::new(
                        self.line,
                        format!("the line is longer than {LONGEST} bytes"),
                    )));
                }
                Some(Ok((self.line, bytes)))
            }
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(error) => {
                self.ended = true;
                Some(Err(ReplayError::new(self.line, format!("read the recording: {error}"))))
            }
        }
    }

    /// A line, or its beginning where it is too long; then the rest of it is passed over.
    fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        let limit = LONGEST as u64 + 2;
        if (&mut self.from).take(limit).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        } else if bytes.len() > LONGEST {
            self.from.skip_until(b'\n')?;
        }
        Ok(Some(bytes))
    }
}
