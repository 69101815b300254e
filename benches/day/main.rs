//! A day of real readings from three rooms, through a real mosquitto at a thousand times its speed: bytes that the agent
//! receives at the edge against bytes that it sends to the hub.
//!
//! `make day` prints it. All bytes are counted outside the agent, at the sockets, by relays on its two connections; the
//! link runs under TLS. What the link does by the clock (signs of life, reports of counters) runs at the same speed as
//! the readings, so that a day of it is counted too; an agent beside it that hears nothing tells how much that is. Without
//! `--bench`, as `cargo test` runs it, the day passes a hundred times faster still, and only that nothing is lost is checked.
#![cfg(test)]

#[path = "../spine/publisher.rs"]
#[expect(dead_code, reason = "other benches publish at an even rate")]
mod publisher;
mod recording;
#[path = "../spool/relay.rs"]
mod relay;
mod site;
#[path = "../../tests/it/support/mod.rs"]
#[expect(dead_code, reason = "the integration tests need more of it")]
mod support;

use std::fmt;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use weir::clock::Clock;

use recording::Recording;
use relay::Carried;
use site::Site;

const USAGE: &str = "\
usage: cargo bench --bench day -- [--speed N] [--smoke]
  --speed N   how many times faster than it was the day passes, 100 to 1,000,000 [default: 1,000]
  --smoke     as fast as in the tests";

/// How fast the tests have it.
const SMOKE: u32 = 100_000;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--bench") && !args.iter().any(|arg| arg == "--smoke") {
        return match speed(&args).and_then(day) {
            Ok(day) => {
                println!("{day}");
                ExitCode::SUCCESS
            }
            Err(why) => {
                eprintln!("day: {why}\n{USAGE}");
                ExitCode::FAILURE
            }
        };
    }
    let smoke = || {
        let day = day(SMOKE)?;
        println!("{day}");
        match day.sent.up < day.payload {
            true => Ok(()),
            false => Err(Failed::from("more leaves the site than comes in")),
        }
    };
    let trial = Trial::test("a_day_passes_and_nothing_is_lost", smoke);
    let harness: Vec<String> = std::env::args().filter(|arg| arg != "--smoke" && arg != "--bench").collect();
    libtest_mimic::run(&Arguments::from_iter(harness), vec![trial]).exit_code()
}

fn speed(args: &[String]) -> Result<u32, String> {
    let mut args = args.iter().filter(|arg| *arg != "--bench");
    match (args.next().map(String::as_str), args.next()) {
        (None, _) => Ok(1_000),
        (Some("--speed"), Some(text)) => match text.replace([',', '_'], "").parse() {
            Ok(speed @ 100..=1_000_000) => Ok(speed),
            _ => Err(format!("--speed takes 100 to 1,000,000, not `{text}`")),
        },
        (Some(other), _) => Err(format!("`{other}` is not known, or lacks its value")),
    }
}

/// What went over the sockets.
struct Day {
    speed: u32,
    hours: f64,
    seconds: f64,
    readings: usize,
    /// Of all readings, without what MQTT adds.
    payload: u64,
    /// From the broker, and to it.
    received: Carried,
    /// To the hub, and from it.
    sent: Carried,
    /// The same of an agent that heard no reading.
    idle: Carried,
    transitions: usize,
}

/// Lets the day pass.
fn day(speed: u32) -> Result<Day, String> {
    let recording = Recording::load();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut site = Site::start(speed).await;
        let [(received, sent), (_, idle)] = site.carried();
        let clock = Clock::start();
        recording.publish(&mut site.publisher, speed);
        let transitions = site.finish(recording.len()).await?;
        let seconds = clock.uptime().as_secs_f64();
        let [(received_by_now, sent_by_now), (_, idle_by_now)] = site.carried();
        Ok(Day {
            speed,
            hours: recording.span().as_secs_f64() / 3_600.0,
            seconds,
            readings: recording.len(),
            payload: recording.payload(),
            received: received_by_now.since(received),
            sent: sent_by_now.since(sent),
            idle: idle_by_now.since(idle),
            transitions,
        })
    })
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { received, sent, idle, .. } = self;
        let mut line =
            |what: &str, bytes: u64, more: String| writeln!(f, "  {what:<24}{:>9}   {more}", size(bytes),);
        let told = self.transitions;
        line(
            "received at the edge",
            self.payload,
            format!("{} readings of three rooms in {:.1} hours", self.readings, self.hours),
        )?;
        line(
            "  on the socket",
            received.down,
            format!("as MQTT; {} of acknowledgements back", size(received.up)),
        )?;
        line("sent to the hub", sent.up, format!("{told} transitions of alerts, on the socket, under TLS"))?;
        line(
            "  of that the link alone",
            idle.up,
            "signs of life and reports of an agent that hears nothing".to_owned(),
        )?;
        line("received from the hub", sent.down, format!("{} of it the link alone", size(idle.down)))?;
        let part = |whole: u64| whole as f64 / sent.up.max(1) as f64;
        writeln!(
            f,
            "1 byte of {:.0} leaves the site (1 of {:.0} as MQTT carries them)",
            part(self.payload),
            part(received.down)
        )?;
        write!(f, "at {} times its speed, in {:.0} s", self.speed, self.seconds)
    }
}

/// Bytes as a person reads them.
fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.2} MB", bytes as f64 / 1e6),
    }
}
