//! How much to measure.

/// What `cargo bench --bench spine -- …` takes.
pub(crate) const USAGE: &str = "\
usage: cargo bench --bench spine -- [--messages N] [--paced N] [--rate N] [--breaches N] [--smoke]
  --messages N   messages of each flat-out run, up to 1,000,000 [default: 100,000; also SPINE_MESSAGES]
  --paced N      messages of the paced run, up to 100,000 [default: 10,000]
  --rate N       its messages a second, 1 to 100,000 [default: 1,000]
  --breaches N   how often a line is crossed, up to 10,000 [default: 300]
  --smoke        few messages, debug programs, no table of worth";

/// Counts; each has a ceiling, so that no run is endless.
pub(crate) struct Options {
    pub(crate) recording: usize,
    pub(crate) messages: usize,
    pub(crate) paced: usize,
    pub(crate) rate: u64,
    pub(crate) breaches: usize,
}

impl Options {
    pub(crate) fn smoke() -> Self {
        Self { recording: 300, messages: 400, paced: 60, rate: 1_000, breaches: 4 }
    }

    pub(crate) fn of(args: &[String]) -> Result<Self, String> {
        let mut options =
            Self { recording: 9_995, messages: 100_000, paced: 10_000, rate: 1_000, breaches: 300 };
        if let Ok(count) = std::env::var("SPINE_MESSAGES") {
            options.messages = number("SPINE_MESSAGES", Some(&count), 1_000_000)?;
        }
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                // Cargo's own.
                "--bench" => {}
                "--messages" => options.messages = number(arg, args.next(), 1_000_000)?,
                "--paced" => options.paced = number(arg, args.next(), 100_000)?,
                "--rate" => options.rate = number(arg, args.next(), 100_000)? as u64,
                "--breaches" => options.breaches = number(arg, args.next(), 10_000)?,
                other => return Err(format!("`{other}` is not known")),
            }
        }
        Ok(options)
    }
}

fn number(name: &str, text: Option<&String>, most: usize) -> Result<usize, String> {
    let text = text.ok_or_else(|| format!("{name} needs a number"))?;
    match text.replace([',', '_'], "").parse() {
        Ok(count) if (1..=most).contains(&count) => Ok(count),
        _ => Err(format!("{name} takes 1 to {most}, not `{text}`")),
    }
}
