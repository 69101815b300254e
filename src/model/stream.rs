//! What a stream reads and how: the contract between `plan`, which makes it from
//! `CREATE STREAM` and from what the rules use, and `ingest` and `decode`, which obey it.

use std::sync::Arc;
use std::time::Duration;

use super::pattern::TimePattern;
use super::topic::{TopicPattern, minimal_cover};
use super::value::{DataType, Value};

/// One stream of one rule set, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamSpec {
    /// Its name in SQL.
    pub name: Arc<str>,
    /// Which topics it reads.
    pub pattern: TopicPattern,
    /// The one source it reads from; `None` reads every broker, but not the node's metrics.
    pub source: Option<Arc<str>>,
    /// How a payload is read.
    pub format: Format,
    /// Whether a value that does not fit its column rejects the row; else it is converted as CAST does.
    pub strict: bool,
    /// The slots of its rows: only what some rule of the set uses, and the stream's own
    /// timestamp and key.
    pub fields: Vec<Field>,
    /// The slot that holds event time; without it a row's time is its arrival.
    pub timestamp: Option<usize>,
    /// The slot whose value tells devices apart, where the stream names one.
    pub key: Option<usize>,
    /// How far behind the greatest timestamp of its key a row may be and still enter a window.
    pub lateness: Duration,
    /// After this much monotonic silence a key's open windows close. `None`: the longer of a
    /// minute and the window.
    pub idle: Option<Duration>,
    /// Rows dated further ahead of the node's clock are counted and not used. `None`: no bound.
    pub max_future: Option<Duration>,
    /// How long none of its keys may give a reading before that is told.
    pub silence: Option<Duration>,
    /// The topics on which it is said whether its devices are connected.
    pub availability: Option<Availability>,
    /// The keys that are expected though nothing was heard of them, as rows with what is known of each.
    pub expected: Arc<[Box<[Value]>]>,
}

/// What must be subscribed to at a source for these streams: a minimal set of MQTT filters.
pub fn filters<'a>(streams: impl IntoIterator<Item = &'a Arc<StreamSpec>>, source: &str) -> Vec<String> {
    let wanted =
        streams.into_iter().filter(|spec| spec.source.as_deref().is_none_or(|named| named == source));
    minimal_cover(wanted.flat_map(|spec| {
        let said = spec.availability.as_ref().map(|said| said.pattern.filter());
        std::iter::once(spec.pattern.filter()).chain(said)
    }))
}

/// Topics on which it is said whether devices are connected, by themselves or as their last will.
#[derive(Clone, Debug, PartialEq)]
pub struct Availability {
    /// The topics.
    pub pattern: TopicPattern,
    /// The capture that is the stream's key; `None`: all of the stream's devices are meant.
    pub key: Option<Field>,
}

/// The least silence that closes a window, where the stream does not say.
const IDLE: Duration = Duration::from_secs(60);

impl StreamSpec {
    /// What the stream itself says about which messages it reads and when its windows close,
    /// without the slots that rules happen to use. Where it is the same for two specs, a window
    /// may go from one to the other.
    pub fn signature(&self) -> String {
        let slot = |place: Option<usize>| place.and_then(|place| self.fields.get(place));
        let (time, key) = (slot(self.timestamp), slot(self.key));
        let reads = (&self.name, self.pattern.to_string(), &self.source, self.format, time, key);
        format!("{reads:?} {} {:?}", self.strict, (self.lateness, self.idle, self.max_future))
    }

    /// What is said of its devices' connections, as a stream: the key where there is one, and whether it is
    /// connected.
    pub fn availability(&self) -> Option<Self> {
        let Availability { pattern, key } = self.availability.clone()?;
        let online = Field {
            name: "online".into(),
            from: FieldSource::Path(Vec::new()),
            ty: DataType::Boolean,
            default: Value::Null,
            unit: TimeUnit::Auto,
        };
        Some(Self {
            name: format!("{}/availability", self.name).into(),
            pattern,
            source: self.source.clone(),
            format: Format::Availability,
            strict: true,
            key: key.is_some().then_some(1),
            fields: std::iter::once(online).chain(key).collect(),
            timestamp: None,
            lateness: Duration::ZERO,
            idle: None,
            max_future: None,
            silence: None,
            availability: None,
            expected: Arc::default(),
        })
    }

    /// The silence after which a key's open windows of this length close. The default is the
    /// longer of a minute and the window: shorter than its window, a slow device would be cut off
    /// in between its readings.
    pub fn idle_for(&self, window: Duration) -> Duration {
        idle_for(self.idle, window)
    }
}

/// [`StreamSpec::idle_for`], of a stream that says `idle`.
pub fn idle_for(idle: Option<Duration>, window: Duration) -> Duration {
    idle.unwrap_or_else(|| window.max(IDLE))
}

/// How a payload becomes rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// A JSON object is a row, an array of objects several.
    Json,
    /// The whole payload is one value: `23.5`, `ON`, `"text"`.
    Scalar,
    /// Each line is a row, its values quoted as RFC 4180 says.
    Delimited {
        /// What stands between two values.
        delimiter: char,
        /// How many columns there are: a line with more values is none.
        columns: usize,
    },
    /// The payload is one BYTEA.
    Binary,
    /// What a KubeEdge node says of a device's twin: each property is a row.
    KubeEdge,
    /// The payload says whether a device is connected: `online`, `{"state": "offline"}`, `1`.
    Availability,
}

/// One slot of a stream's rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    /// What SQL and diagnostics call it: `temperature`, `data.temp`.
    pub name: Arc<str>,
    /// Where its value comes from.
    pub from: FieldSource,
    /// What the value must be; anything else rejects the row where the stream is strict. NULL and
    /// absent fit every type.
    pub ty: DataType,
    /// What it is where the payload does not have it; NULL unless the column says otherwise.
    pub default: Value,
    /// How a number or text becomes DATETIME, where `ty` is that.
    pub unit: TimeUnit,
}

/// Where a slot's value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FieldSource {
    /// A path of member names from the payload's object; empty is the object itself (and, for
    /// [`Format::Scalar`] and [`Format::Binary`], the value).
    Path(Vec<Arc<str>>),
    /// The n-th value of a line, for [`Format::Delimited`].
    Cell(usize),
    /// The n-th capture of the topic pattern.
    Capture(usize),
    /// The topic.
    Topic,
    /// The arrival time.
    Received,
    /// The name of the source that the message came from.
    Source,
    /// Whether the broker kept the message from before the subscription.
    Retained,
    /// The quality of service that the message was delivered with.
    Qos,
    /// The MQTT 5 user property of this name; the last of several, NULL where there is none.
    Property(Arc<str>),
}

/// How a DATETIME is written in a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum TimeUnit {
    /// RFC 3339 text; a number by its size: below 1e11 seconds, below 1e14 ms, below 1e17 µs,
    /// else ns. Numbers in text count as numbers.
    #[default]
    Auto,
    /// Seconds since 1970, fractions allowed.
    Seconds,
    /// Milliseconds since 1970.
    Millis,
    /// Microseconds since 1970.
    Micros,
    /// Nanoseconds since 1970.
    Nanos,
    /// RFC 3339 text only.
    Rfc3339,
    /// Text, or the digits of an integer, as the pattern says.
    Pattern(TimePattern),
}
