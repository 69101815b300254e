//! The console in a real browser: what it shows, and that names from outside stay text.

use std::process::{Command, Output};

use weir::tasks;

use super::agent::transition;
use super::{Hub, rules};
use crate::support::within;

const NAME: &str = "<img src=x onerror=document.title='x'>";

#[tokio::test]
async fn the_page_shows_what_fires_and_runs_and_takes_names_as_text() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(dir.path(), |_| ()).await;
    let mut gw = hub.agent("gw-1", Vec::new()).await;
    let mut hot = transition(1, NAME);
    hot.annotations = [("summary".to_owned(), format!("{NAME} is too hot"))].into();
    gw.batch(&[hot]).await;
    gw.ack().await;
    hub.desk().put("/rulesets/plant", &rules(&["hot"])).await;
    gw.desired().await;

    let url = format!("http://{}/#token={}", hub.running.http_addr, hub.running.api_token);
    let page = within("the page", async {
        loop {
            let page = open(&url).await;
            // A busy machine may be slower than the time that the browser is given.
            if page.contains("data-saved") {
                return page;
            }
        }
    })
    .await;
    for shown in [
        "<title>(1) Weir</title>",
        "<b>gw-1</b>",
        "device = &lt;img src=x onerror=document.title='x'&gt;",
        "&lt;img src=x onerror=document.title='x'&gt; is too hot</p>",
        "SELECT device, t FROM env WHERE t &gt; 50",
    ] {
        assert!(page.contains(shown), "`{shown}` is missing in {page}");
    }
    assert!(!page.contains("<img"), "{page}");
    hub.stop().await;
}

/// The page as it stands after a few seconds of its own time, as markup.
async fn open(url: &str) -> String {
    let url = url.to_owned();
    let browser = tasks::spawn_blocking(move || {
        let profile = tempfile::tempdir().unwrap();
        let profile = format!("--user-data-dir={}", profile.path().display());
        browse(&["--virtual-time-budget=4000", "--dump-dom", &profile, &url])
    });
    let output = browser.await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn browse(args: &[&str]) -> Output {
    let installed = Command::new("chromium").arg("--version").output();
    installed.expect("there is no chromium; install it with `apt-get install chromium`");
    // Who runs tests as root has no sandbox to give; the page is the hub's own.
    Command::new("timeout")
        .args([
            "30",
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ])
        .args(args)
        .output()
        .unwrap()
}
