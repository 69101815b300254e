//! The ceilings: what does only the unavoidable work, written by hand.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use weir::clock::Clock;
use weir::tasks;

/// SQLite with one table of numbered bodies, set up as the spool is.
pub(crate) struct Table {
    db: Connection,
}

impl Table {
    pub(crate) fn open(path: &Path) -> Self {
        let db = Connection::open(path).unwrap();
        for (name, value) in [("locking_mode", "EXCLUSIVE"), ("journal_mode", "WAL"), ("synchronous", "FULL")]
        {
            db.pragma_update(None, name, value).unwrap();
        }
        db.pragma_update(None, "cache_size", -256).unwrap();
        db.pragma_update(None, "wal_autocheckpoint", 256).unwrap();
        db.execute_batch("CREATE TABLE IF NOT EXISTS rows (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)")
            .unwrap();
        Self { db }
    }

    /// One transaction.
    pub(crate) fn insert(&mut self, bodies: impl Iterator<Item = impl AsRef<[u8]>>) {
        let tx = self.db.transaction().unwrap();
        {
            let mut insert = tx.prepare_cached("INSERT INTO rows (body) VALUES (?1)").unwrap();
            for body in bodies {
                insert.execute([body.as_ref()]).unwrap();
            }
        }
        tx.commit().unwrap();
    }

    /// The newest number; 0 where there is none.
    pub(crate) fn newest(&self) -> i64 {
        self.db.query_row("SELECT coalesce(max(seq), 0) FROM rows", [], |row| row.get(0)).unwrap()
    }

    /// The bodies behind a number, at most so many.
    pub(crate) fn page(&self, after: i64, count: usize) -> Vec<Vec<u8>> {
        let mut query =
            self.db.prepare_cached("SELECT body FROM rows WHERE seq > ?1 ORDER BY seq LIMIT ?2").unwrap();
        let rows = query.query_map([after, i64::try_from(count).unwrap()], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }
}

/// A file that is appended to.
pub(crate) struct Log {
    file: File,
}

impl Log {
    pub(crate) fn open(path: &Path) -> Self {
        Self { file: File::options().create(true).append(true).open(path).unwrap() }
    }

    /// One write, and then it is durable.
    pub(crate) fn append<'a>(&mut self, bodies: impl Iterator<Item = &'a [u8]>) {
        let bytes: Vec<u8> = bodies.flatten().copied().collect();
        self.file.write_all(&bytes).unwrap();
        self.file.sync_data().unwrap();
    }
}

/// Microseconds from sending a body over a fresh pause to its answer, sorted: the other end makes it durable first.
pub(crate) fn round_trips(dir: &Path, body: &[u8], count: usize, pause: Duration) -> Vec<u64> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (mut log, length) = (Log::open(&dir.join("log")), body.len());
    let answering = tasks::thread("answers", move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        let mut bytes = vec![0; length];
        while stream.read_exact(&mut bytes).is_ok() {
            log.append(std::iter::once(&*bytes));
            stream.write_all(&[1]).unwrap();
        }
    })
    .unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let clock = Clock::start();
    let mut micros: Vec<u64> = (0..count)
        .map(|_| {
            std::thread::park_timeout(pause);
            let began = clock.mono();
            stream.write_all(body).unwrap();
            stream.read_exact(&mut [0]).unwrap();
            clock.mono().micros() - began.micros()
        })
        .collect();
    drop(stream);
    answering.join().unwrap();
    micros.sort_unstable();
    micros
}

/// Bodies of a commit on the far side.
const CARRIED: usize = 1_000;

/// Carries bodies that lie in one table over TCP into another, and gives the seconds that it took.
pub(crate) fn carry(dir: &Path, bodies: &[Vec<u8>]) -> f64 {
    let mut from = Table::open(&dir.join("from"));
    bodies.chunks(CARRIED).for_each(|some| from.insert(some.iter()));
    let mut to = Table::open(&dir.join("to"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let clock = Clock::start();
    let taking = tasks::thread("takes", move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 4];
        while stream.read_exact(&mut head).is_ok() {
            let some = (0..u32::from_be_bytes(head)).map(|_| {
                stream.read_exact(&mut head).unwrap();
                let mut body = vec![0; u32::from_be_bytes(head) as usize];
                stream.read_exact(&mut body).unwrap();
                body
            });
            to.insert(some.collect::<Vec<_>>().iter());
            stream.write_all(&[1]).unwrap();
        }
        to.newest()
    })
    .unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let (mut sent, mut answers) = (0, 0);
    while sent < bodies.len() {
        let page = from.page(i64::try_from(sent).unwrap(), CARRIED);
        let mut bytes = length(page.len()).to_vec();
        for body in &page {
            bytes.extend(length(body.len()));
            bytes.extend(body);
        }
        stream.write_all(&bytes).unwrap();
        sent += page.len();
        answers += 1;
    }
    stream.read_exact(&mut vec![0; answers]).unwrap();
    let seconds = clock.uptime().as_secs_f64();
    drop(stream);
    assert_eq!(taking.join().unwrap(), i64::try_from(bodies.len()).unwrap());
    seconds
}

fn length(of: usize) -> [u8; 4] {
    u32::try_from(of).unwrap().to_be_bytes()
}
