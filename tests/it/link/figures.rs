//! What a transition costs on the wire, without TLS.

use weir::uplink::Config;

use super::hub::FakeHub;
use super::outbox::FakeAgent;
use super::relay::{Relay, Way};
use super::{recorded, speaking};

/// How many wait in the backlog.
const BACKLOG: usize = 1_000;

/// Bytes up and down for each: of one at a time, each acknowledged before the next; and of a backlog.
async fn measure(protocol: u32, zstd: bool, bodies: &[(u64, Vec<u8>)]) -> [f64; 4] {
    let mut figures = [0.0; 4];
    for (place, backlog) in [(0, false), (2, true)] {
        let hub = FakeHub::start(speaking(protocol), zstd).await;
        let relay = Relay::start(hub.address, Way::Up, 0).await;
        let agent = FakeAgent::start(relay.address, Config::default());
        // Whether the hub takes zstd, and the connection itself, are not what is measured.
        agent.commit(9_999, false);
        agent.until_empty().await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let before = [Way::Up, Way::Down].map(|way| relay.bytes(way));
        let count = if backlog { BACKLOG } else { bodies.len() };
        for (i, (alert, body)) in bodies.iter().cycle().take(count).enumerate() {
            agent.commit_body(*alert, false, recorded::later(body, i / bodies.len()));
            if !backlog {
                agent.until_empty().await;
            }
        }
        agent.until_empty().await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        for (i, way) in [Way::Up, Way::Down].into_iter().enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "a few kilobytes")]
            let each = (relay.bytes(way) - before[i]) as f64 / count as f64;
            figures[place + i] = each;
        }
        let all = hub.known().came.len();
        assert_eq!(all, count + 1);
    }
    figures
}

/// The figures, of the first version of the protocol and of the second; run with `--nocapture` to see them.
#[tokio::test]
async fn a_transition_of_the_environment_pack_costs_a_fraction_of_what_it_says() {
    let bodies = recorded::bodies();
    let said = bodies.iter().map(|(_, body)| body.len()).sum::<usize>() / bodies.len();
    println!("{} transitions, {said} bytes each in the outbox", bodies.len());
    println!("                         one at a time       backlog of {BACKLOG}");
    println!("                         up       down       up       down");
    let mut all = Vec::new();
    for (name, protocol, zstd) in
        [("as it is", 1, false), ("zstd", 1, true), ("series", 2, false), ("series and zstd", 2, true)]
    {
        let figures = measure(protocol, zstd, &bodies).await;
        let [up, down, backlog_up, backlog_down] = figures;
        println!("{name:<20} {up:>8.1} {down:>9.1} {backlog_up:>9.1} {backlog_down:>9.1}");
        all.push(figures);
    }
    assert!(all[3][0] < all[0][0] * 0.7, "one at a time");
    assert!(all[3][2] < all[0][2] * 0.25, "a backlog");
}
