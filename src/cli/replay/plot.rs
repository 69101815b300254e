//! Pictures of a replay, as SVG by itself or in a page. No script, nothing from elsewhere; readable on dark and
//! on light. Series are drawn by the least and the greatest value of each pixel (min-max decimation), so that no
//! peak is lost, however long the recording.

use std::fmt::Write as _;

use crate::model::time::Timestamp;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 96.0;
const HEIGHT: f64 = 220.0;
const HEAD: f64 = 34.0;
const FOOT: f64 = 30.0;

const STYLE: &str = "
  svg { font: 12px system-ui, sans-serif; background: #fff; color: #1b1f24 }
  .line { fill: none; stroke: #0b62c4; stroke-width: 1.2 } .dot { fill: #0b62c4 }
  .other { fill: none; stroke: #c2410c; stroke-width: 1.2 } .otherdot { fill: #c2410c }
  .limit { stroke: #b3261e; stroke-dasharray: 5 4 } .axis { stroke: #8b949e; stroke-width: .6 }
  .band { fill: #b3261e; opacity: .18 } .incident { fill: #6e40c9; opacity: .55 }
  text { fill: currentColor } .quiet { opacity: .65 } .title { font-weight: 600; font-size: 14px }
  @media (prefers-color-scheme: dark) {
    svg { background: #0d1117; color: #e6edf3 } .line { stroke: #58a6ff } .dot { fill: #58a6ff }
    .other { stroke: #f0883e } .otherdot { fill: #f0883e } .limit { stroke: #ff7b72 } .band { fill: #ff7b72 }
    .incident { fill: #a371f7 }
  }
";

/// One key of a rule, over time.
#[derive(Clone, Debug, Default)]
pub(super) struct Panel {
    /// Which key, and which column.
    pub(super) title: String,
    /// Time and value, ascending.
    pub(super) points: Vec<(Timestamp, f64)>,
    /// While its alert was up.
    pub(super) bands: Vec<(Timestamp, Timestamp)>,
    /// Lines, with what they are.
    pub(super) limits: Vec<(f64, String)>,
}

/// Panels below one another, over the same time.
pub(super) fn series(
    title: &str,
    panels: &[Panel],
    incidents: &[(Timestamp, Timestamp)],
    span: (Timestamp, Timestamp),
) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let height = HEAD + panels.len() as f64 * (HEIGHT + FOOT + 18.0);
    let mut svg = begin(height, title);
    let room = WIDTH - LEFT - RIGHT;
    let time = (micros(span.1) - micros(span.0)).max(1.0);
    let x = |at: Timestamp| LEFT + (micros(at) - micros(span.0)) / time * room;
    let mut top = HEAD;
    for panel in panels {
        let values = panel.points.iter().map(|(_, value)| *value);
        let scale = Scale::of(values.chain(panel.limits.iter().map(|(at, _)| *at)), top + 18.0);
        text(&mut svg, LEFT, top + 10.0, "start", "", &panel.title);
        scale.draw(&mut svg);
        let (above, below) = (top + 18.0, top + 18.0 + HEIGHT);
        for (from, until) in &panel.bands {
            let width = (x(*until) - x(*from)).max(1.0);
            writeln!(
                svg,
                r#"<rect class="band" x="{:.1}" y="{above:.1}" width="{width:.1}" height="{HEIGHT}"/>"#,
                x(*from)
            )
            .ok();
        }
        for (from, until) in incidents {
            let (from, until) = (x(*from).max(LEFT), x(*until).min(LEFT + room));
            if until > from {
                writeln!(
                    svg,
                    r#"<rect class="incident" x="{from:.1}" y="{:.1}" width="{:.1}" height="6"/>"#,
                    below - 6.0,
                    until - from
                )
                .ok();
            }
        }
        for (at, name) in &panel.limits {
            let y = scale.y(*at);
            writeln!(
                svg,
                r#"<line class="limit" x1="{LEFT}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}"/>"#,
                LEFT + room
            )
            .ok();
            text(&mut svg, LEFT + room + 4.0, y + 4.0, "start", "quiet", &format!("{name} {}", number(*at)));
        }
        writeln!(svg, r#"<polyline class="line" points="{}"/>"#, decimated(&panel.points, &x, &scale)).ok();
        for (at, label) in ticks(span) {
            writeln!(
                svg,
                r#"<line class="axis" x1="{0:.1}" x2="{0:.1}" y1="{below:.1}" y2="{1:.1}"/>"#,
                x(at),
                below + 4.0
            )
            .ok();
            text(&mut svg, x(at), below + 17.0, "middle", "quiet", &label);
        }
        top += HEIGHT + FOOT + 18.0;
    }
    svg + "</svg>\n"
}

/// How often alerts fire, over the values of a number; with how often falsely, where that is known.
pub(super) fn curve(title: &str, values: &[String], alerts: &[f64], falsely: Option<&[f64]>) -> String {
    let mut svg = begin(HEAD + HEIGHT + FOOT + 24.0, title);
    let all = alerts.iter().chain(falsely.into_iter().flatten()).copied().chain([0.0]);
    let scale = Scale::of(all, HEAD + 4.0);
    scale.draw(&mut svg);
    let room = WIDTH - LEFT - RIGHT;
    #[expect(clippy::cast_precision_loss, reason = "at most 200")]
    let x = |n: usize| LEFT + n as f64 / (values.len().saturating_sub(1)).max(1) as f64 * room;
    let mut line = |ys: &[f64], class: &str, name: &str| {
        let points: Vec<String> =
            ys.iter().enumerate().map(|(n, y)| format!("{:.1},{:.1}", x(n), scale.y(*y))).collect();
        writeln!(svg, r#"<polyline class="{class}" points="{}"/>"#, points.join(" ")).ok();
        let dot = if class == "line" { "dot" } else { "otherdot" };
        for (n, y) in ys.iter().enumerate() {
            writeln!(svg, r#"<circle class="{dot}" cx="{:.1}" cy="{:.1}" r="2.5"/>"#, x(n), scale.y(*y)).ok();
        }
        // The name of the lower line stands below it, so that two that are close can be read.
        let below = if class == "line" { 0.0 } else { 12.0 };
        if let Some(last) = ys.last() {
            text(&mut svg, LEFT + room + 6.0, scale.y(*last) + 1.0 + below, "start", "", name);
        }
    };
    line(alerts, "line", "alerts");
    if let Some(falsely) = falsely {
        line(falsely, "other", "false");
    }
    let each = values.len().div_ceil(12).max(1);
    for (n, value) in values.iter().enumerate().step_by(each) {
        text(&mut svg, x(n), HEAD + HEIGHT + 22.0, "middle", "quiet", value);
    }
    svg + "</svg>\n"
}

/// A page with a picture and the table below it.
pub(super) fn page(title: &str, svg: &str, table: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{title}</title>\
         <style>body{{max-width:980px;margin:1em auto;font:14px system-ui,sans-serif}}svg{{max-width:100%;height:auto}}\
         pre{{overflow-x:auto}}</style>\n{svg}<pre>{}</pre></html>\n",
        escape(table),
        title = escape(title),
    )
}

fn begin(height: f64, title: &str) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n<style>{STYLE}</style>\n<title>{}</title>\n",
        escape(title)
    );
    text(&mut svg, LEFT, 20.0, "start", "title", title);
    svg
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, class: &str, said: &str) {
    writeln!(
        svg,
        r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" class="{class}">{}</text>"#,
        escape(said)
    )
    .ok();
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            c if c.is_control() && c != '\n' => {}
            c => safe.push(c),
        }
    }
    safe
}

/// The vertical axis of a panel.
struct Scale {
    low: f64,
    high: f64,
    step: f64,
    top: f64,
}

impl Scale {
    fn of(values: impl Iterator<Item = f64>, top: f64) -> Self {
        let (low, high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| (low.min(y), high.max(y)));
        let (low, high) = if low < high {
            (low, high)
        } else if low.is_finite() {
            (low - 1.0, low + 1.0)
        } else {
            (0.0, 1.0)
        };
        let step = nice((high - low) / 5.0);
        Self { low: (low / step).floor() * step, high: (high / step).ceil() * step, step, top }
    }

    fn y(&self, value: f64) -> f64 {
        self.top + HEIGHT - (value - self.low) / (self.high - self.low) * HEIGHT
    }

    fn draw(&self, svg: &mut String) {
        let mut at = self.low;
        while at <= self.high + self.step / 2.0 {
            let y = self.y(at);
            writeln!(
                svg,
                r#"<line class="axis" x1="{LEFT}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}"/>"#,
                WIDTH - RIGHT
            )
            .ok();
            text(svg, LEFT - 6.0, y + 4.0, "end", "quiet", &number(at));
            at += self.step;
        }
    }
}

/// The next of 1, 2 and 5 times a power of ten.
fn nice(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let times = step / power;
    power
        * if times <= 1.0 {
            1.0
        } else if times <= 2.0 {
            2.0
        } else if times <= 5.0 {
            5.0
        } else {
            10.0
        }
}

fn number(x: f64) -> String {
    let text = format!("{x:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
fn micros(at: Timestamp) -> f64 {
    at.micros() as f64
}

/// For each pixel the least and the greatest value, in the order in which they came.
fn decimated(points: &[(Timestamp, f64)], x: &impl Fn(Timestamp) -> f64, scale: &Scale) -> String {
    let mut drawn: Vec<String> = Vec::new();
    let mut rest = points;
    while let Some((first, _)) = rest.first() {
        let pixel = x(*first).floor();
        let here = rest.iter().take_while(|(at, _)| x(*at).floor() <= pixel).count().max(1);
        let (those, others) = rest.split_at(here);
        let order = |a: &&(Timestamp, f64), b: &&(Timestamp, f64)| a.1.total_cmp(&b.1);
        let mut ends: Vec<&(Timestamp, f64)> =
            those.iter().min_by(order).into_iter().chain(those.iter().max_by(order)).collect();
        ends.sort_by_key(|(at, _)| *at);
        ends.dedup();
        drawn.extend(ends.iter().map(|(at, y)| format!("{:.1},{:.1}", x(*at), scale.y(*y))));
        rest = others;
    }
    drawn.join(" ")
}

/// Some times of a span, with what stands there.
fn ticks(span: (Timestamp, Timestamp)) -> Vec<(Timestamp, String)> {
    const STEPS: [i64; 12] = [1, 5, 15, 60, 300, 900, 3_600, 10_800, 21_600, 86_400, 604_800, 2_592_000];
    let seconds = (span.1.micros() - span.0.micros()).max(0) / 1_000_000;
    let step = STEPS.into_iter().find(|step| seconds / step <= 12).unwrap_or(seconds / 10 + 1);
    let first = (span.0.micros().div_euclid(1_000_000) / step + 1) * step;
    let all = std::iter::successors(Some(first), |at| Some(at + step));
    let all = all.take_while(|at| *at * 1_000_000 <= span.1.micros()).take(13);
    all.filter_map(|at| {
        let civil = jiff::Timestamp::from_second(at).ok()?.to_zoned(jiff::tz::TimeZone::UTC);
        let form = if step >= 86_400 {
            "%d %b"
        } else if step >= 60 {
            "%H:%M"
        } else {
            "%H:%M:%S"
        };
        Some((Timestamp::from_micros(at * 1_000_000), civil.strftime(form).to_string()))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_peak_is_lost_and_nothing_can_break_out_of_the_text() {
        let at = |second: i64| Timestamp::from_millis(1_700_000_000_000 + second * 1_000);
        let mut points: Vec<(Timestamp, f64)> = (0..100_000).map(|n| (at(n), 20.0)).collect();
        points[50_000].1 = 90.0;
        let panel = Panel {
            title: "a<b".to_owned(),
            points,
            bands: vec![(at(50_000), at(50_010))],
            limits: vec![(80.0, "when".to_owned())],
        };
        let svg = series("m & n", &[panel], &[(at(49_000), at(51_000))], (at(0), at(99_999)));
        assert!(svg.contains("a&lt;b") && svg.contains("m &amp; n") && !svg.contains("a<b"));
        let scale = Scale::of([20.0, 90.0].into_iter(), HEAD + 18.0);
        assert!(svg.contains(&format!(",{:.1}", scale.y(90.0))), "the one high value");
        assert!(svg.len() < 60_000, "{}", svg.len());
        assert_eq!((nice(0.13), nice(3.0), nice(1.0)), (0.2, 5.0, 1.0));
    }
}
