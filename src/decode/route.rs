//! Which streams a topic feeds, and what the topic alone tells of their rows. The answer is the same for
//! every message of a topic, so it is kept; what it costs to find grows with the number of streams, not
//! with that of messages.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashTable;

use super::projection::Projection;
use super::texts::Texts;
use crate::model::cast;
use crate::model::fit::Misfit;
use crate::model::fold::fold;
use crate::model::message::{Message, NODE_SOURCE};
use crate::model::stream::{Field, FieldSource, Format, StreamSpec};
use crate::model::value::{DataType, Value};

/// Whether a row of a stream, by its place, can matter to anybody: all that is known of it are the values
/// of some slots, which source and topic give, each with its slot.
pub type Cares<'c> = dyn Fn(usize, &[(usize, &Value)]) -> bool + 'c;

/// The way of every message of one topic. With many topics each message meets one that has long left the
/// caches, so what a short one needs lies side by side.
#[derive(Debug)]
pub(super) struct Route {
    /// The hash of source and topic.
    hash: u64,
    /// The source, by its place.
    source: u32,
    /// The round in which it was found.
    round: u32,
    /// Which course it takes: the streams it feeds, and how.
    course: u32,
    topic: Name,
    /// The values that the topic gives, of one target after the other.
    known: Known,
}

/// The bytes of a topic.
#[derive(Debug)]
enum Name {
    Short(u8, [u8; SHORT]),
    Long(Box<[u8]>),
}

/// The longest topic that lies in its route.
const SHORT: usize = 46;

impl Name {
    fn new(bytes: &[u8]) -> Self {
        let mut short = [0; SHORT];
        match (short.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            (Some(place), Ok(len)) => {
                place.copy_from_slice(bytes);
                Self::Short(len, short)
            }
            _ => Self::Long(bytes.into()),
        }
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Short(len, short) => short.get(..usize::from(*len)).unwrap_or_default(),
            Self::Long(long) => long,
        }
    }
}

/// Values, of which there are mostly one or two.
#[derive(Debug)]
enum Known {
    Two([Value; 2]),
    Any(Box<[Value]>),
}

impl Known {
    fn new(values: Vec<Value>) -> Self {
        match <[Value; 2]>::try_from(values) {
            Ok(two) => Self::Two(two),
            Err(any) => Self::Any(any.into()),
        }
    }

    #[inline]
    fn values(&self) -> &[Value] {
        match self {
            Self::Two(two) => two,
            Self::Any(any) => any,
        }
    }
}

/// What topics that feed the same streams have in common.
#[derive(Debug)]
pub(super) struct Course {
    /// The streams whose rows are made.
    pub(super) targets: Vec<Target>,
    /// The streams for which the payload is not read, by their place.
    pub(super) skipped: Vec<usize>,
    /// The members of a JSON message that any of them wants, where one reads JSON.
    pub(super) json: Option<Projection>,
    /// The same of what is rewritten as JSON.
    pub(super) twins: Option<Projection>,
    /// Whether one reads anything else.
    pub(super) others: bool,
    /// Whether they read different formats.
    pub(super) mixed: bool,
}

/// One stream that a topic feeds.
#[derive(Debug)]
pub(super) struct Target {
    /// Its place among the decoder's streams.
    pub(super) stream: usize,
    /// Where the values that the topic gives lie in a route; `None` where one does not fit its column.
    known: Option<Range<usize>>,
    /// For each field the place of its value in an element of JSON; `None` where it does not come
    /// from there.
    pub(super) places: Box<[Option<usize>]>,
}

/// What becomes of the messages of a topic in one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fate {
    Read,
    /// Read, though what the topic gives does not fit: each message is refused with its own reason.
    Unfit,
    Skipped,
}

/// Up to so many routes the caches hold anyway.
const MANY: usize = 1_024;

/// The routes found so far.
#[derive(Debug, Default)]
pub(super) struct Router {
    /// The places of the routes, by their hash.
    places: HashTable<u32>,
    routes: Vec<Route>,
    courses: Vec<Course>,
    /// Which course is that of some fates.
    fates: HashMap<Box<[(usize, Fate)]>, u32>,
    /// Every source that a message came from.
    sources: Vec<Arc<str>>,
    /// That of the last message, with its place and its hash.
    source: (Arc<str>, u32, u64),
    /// Goes up when what routes go by may have changed.
    round: u32,
}

impl Router {
    /// The route of a message, and its course. At most `max_topics` routes are remembered; beyond that one
    /// of them is forgotten for each that is new, which costs one search a topic and never a message.
    #[inline]
    pub(super) fn route(
        &mut self,
        streams: &[Arc<StreamSpec>],
        message: &Message,
        max_topics: usize,
        texts: &mut Texts,
        cares: &Cares<'_>,
    ) -> (&Route, &mut Course) {
        let hash = self.hash(message);
        let known = self.places.find(hash, |place| self.routes[*place as usize].hash == hash).copied();
        let place = match known {
            Some(place) if self.routes[place as usize].is_of(message, self.source.1, self.round) => place,
            _ => {
                let route = self.find(streams, message, hash, texts, cares);
                self.keep(known, route, max_topics)
            }
        };
        let route = &self.routes[place as usize];
        (route, &mut self.courses[route.course as usize])
    }

    /// The hash of a message's source and topic.
    #[inline]
    fn hash(&mut self, message: &Message) -> u64 {
        if !Arc::ptr_eq(&self.source.0, &message.source) {
            self.turn_to(&message.source);
        }
        fold(message.topic.as_bytes()) ^ self.source.2
    }

    /// The messages to come are of this source.
    #[cold]
    fn turn_to(&mut self, source: &Arc<str>) {
        let place = self.sources.iter().position(|known| known == source).unwrap_or_else(|| {
            self.sources.push(source.clone());
            self.sources.len() - 1
        });
        let hash = fold(source.as_bytes()).rotate_left(17);
        self.source = (source.clone(), u32::try_from(place).unwrap_or(u32::MAX), hash);
    }

    /// Looks at the routes of messages that are to come, and at what the first value of each says. One
    /// after the other each message would wait for the memory where its own lie; so they wait for all together.
    #[inline]
    pub(super) fn look_ahead(&mut self, messages: &[Message]) {
        if self.routes.len() < MANY {
            return;
        }
        let mut seen = 0;
        for message in messages {
            let hash = self.hash(message);
            let Self { places, routes, .. } = self;
            if let Some(place) = places.find(hash, |place| routes[*place as usize].hash == hash) {
                let route = &routes[*place as usize];
                let said = match route.known.values().first() {
                    Some(Value::Str(text)) => text.as_bytes().first().copied().unwrap_or(0),
                    _ => 0,
                };
                seen += u32::from(said) + route.course;
            }
        }
        std::hint::black_box(seen);
    }

    /// The streams for which a message of this course is not read.
    pub(super) fn skipped(&self, course: u32) -> &[usize] {
        self.courses.get(course as usize).map_or(&[], |course| &course.skipped)
    }

    /// Finds each route anew when a message comes for it.
    pub(super) fn ask_again(&mut self) {
        self.round = self.round.wrapping_add(1);
    }

    /// Puts a route in the place of the one with the same hash, or behind the others, or where these are
    /// too many, in the place of one of them.
    fn keep(&mut self, known: Option<u32>, route: Route, most: usize) -> u32 {
        let most = u32::try_from(most).unwrap_or(u32::MAX).max(1);
        let Self { places, routes, .. } = self;
        if let Some(place) = known {
            routes[place as usize] = route;
            return place;
        }
        let hash = route.hash;
        let place = match u32::try_from(routes.len()) {
            Ok(place) if place < most => {
                routes.push(route);
                place
            }
            _ => {
                // Whichever: topics that come in turns would each time forget the one that is next, if
                // the oldest were.
                #[expect(clippy::cast_possible_truncation, reason = "below what fits")]
                let place = (hash % u64::from(most)) as u32;
                let old = std::mem::replace(&mut routes[place as usize], route).hash;
                if let Ok(entry) = places.find_entry(old, |other| *other == place) {
                    entry.remove();
                }
                place
            }
        };
        places.insert_unique(hash, place, |place| routes[*place as usize].hash);
        place
    }

    #[cold]
    fn find(
        &mut self,
        streams: &[Arc<StreamSpec>],
        message: &Message,
        hash: u64,
        texts: &mut Texts,
        cares: &Cares<'_>,
    ) -> Route {
        let (mut fates, mut known) = (Vec::new(), Vec::new());
        for (stream, spec) in streams.iter().enumerate() {
            let ours = match &spec.source {
                Some(source) => *source == message.source,
                None => message.source.as_ref() != NODE_SOURCE,
            };
            let Some(captures) = ours.then(|| captures(spec, &message.topic)).flatten() else { continue };
            let given = spec.fields.iter().enumerate().filter(|(_, field)| is_given(field));
            let given: Result<Vec<(usize, Value)>, Misfit> = given
                .map(|(slot, field)| Ok((slot, self::given(field, spec, slot, &captures, message, texts)?)))
                .collect();
            let fate = match given {
                Err(_) => Fate::Unfit,
                Ok(given) => {
                    let values: Vec<(usize, &Value)> =
                        given.iter().map(|(slot, value)| (*slot, value)).collect();
                    if cares(stream, &values) {
                        known.extend(given.into_iter().map(|(_, value)| value));
                        Fate::Read
                    } else {
                        Fate::Skipped
                    }
                }
            };
            fates.push((stream, fate));
        }
        let fates: Box<[(usize, Fate)]> = fates.into();
        let course = match self.fates.get(&fates) {
            Some(course) => *course,
            None => {
                // There are no more of them than routes were found.
                let course = u32::try_from(self.courses.len()).unwrap_or(u32::MAX);
                self.courses.push(Course::new(streams, &fates));
                self.fates.insert(fates, course);
                course
            }
        };
        Route {
            hash,
            source: self.source.1,
            round: self.round,
            course,
            topic: Name::new(message.topic.as_bytes()),
            known: Known::new(known),
        }
    }
}

impl Route {
    /// Which course it takes.
    #[inline]
    pub(super) const fn course(&self) -> u32 {
        self.course
    }

    #[inline]
    fn is_of(&self, message: &Message, source: u32, round: u32) -> bool {
        self.round == round && self.source == source && self.topic.bytes() == message.topic.as_bytes()
    }

    /// The values of the fields of a target that the topic [gives](is_given), in their order; `None` where
    /// one does not fit.
    #[inline]
    pub(super) fn known(&self, target: &Target) -> Option<&[Value]> {
        self.known.values().get(target.known.clone()?)
    }
}

impl Course {
    fn new(streams: &[Arc<StreamSpec>], fates: &[(usize, Fate)]) -> Self {
        let read = || fates.iter().filter(|(_, fate)| *fate != Fate::Skipped);
        let projection = |format: Format| {
            let reads =
                || read().map(|(stream, _)| &streams[*stream]).filter(move |spec| spec.format == format);
            let paths = reads().flat_map(|spec| &spec.fields).filter_map(|field| match &field.from {
                FieldSource::Path(path) => Some(path.as_slice()),
                _ => None,
            });
            reads().next().is_some().then(|| Projection::new(paths))
        };
        let (json, twins) = (projection(Format::Json), projection(Format::KubeEdge));
        let place = |format: Format, field: &Field| {
            let projection = if format == Format::KubeEdge { &twins } else { &json };
            match (&field.from, projection) {
                (FieldSource::Path(path), Some(projection)) => projection.place(path),
                _ => None,
            }
        };
        let mut next = 0;
        let targets: Vec<Target> = read()
            .map(|(stream, fate)| {
                let (fields, format) = (&streams[*stream].fields, streams[*stream].format);
                let known = (*fate == Fate::Read).then(|| {
                    let from = next;
                    next += fields.iter().filter(|field| is_given(field)).count();
                    from..next
                });
                Target {
                    stream: *stream,
                    known,
                    places: fields.iter().map(|field| place(format, field)).collect(),
                }
            })
            .collect();
        let format = |target: &Target| streams[target.stream].format;
        let mixed = targets.windows(2).any(|pair| format(&pair[0]) != format(&pair[1]));
        let others = targets.iter().any(|target| format(target) != Format::Json);
        let skipped = fates.iter().filter(|(_, fate)| *fate == Fate::Skipped);
        let skipped = skipped.map(|(stream, _)| *stream).collect();
        Self { targets, skipped, json, twins, others, mixed }
    }
}

/// What the stream's pattern catches of a topic; `None` where it does not match.
pub(super) fn captures<'t>(spec: &StreamSpec, topic: &'t str) -> Option<Vec<&'t str>> {
    let mut captures = Vec::new();
    spec.pattern.matches(topic, |text| captures.push(text)).then_some(captures)
}

/// Whether source and topic alone give the value.
pub(super) fn is_given(field: &Field) -> bool {
    matches!(field.from, FieldSource::Capture(_) | FieldSource::Topic | FieldSource::Source)
}

/// The value of a field that source and topic give.
pub(super) fn given(
    field: &Field,
    spec: &StreamSpec,
    slot: usize,
    captures: &[&str],
    message: &Message,
    texts: &mut Texts,
) -> Result<Value, Misfit> {
    let text = match field.from {
        FieldSource::Topic => return Ok(texts.value(&message.topic)),
        FieldSource::Source => return Ok(Value::Str(message.source.clone())),
        FieldSource::Capture(n) => captures.get(n),
        _ => None,
    };
    match (text, &field.ty) {
        (None, _) => Ok(Value::Null),
        (Some(text), DataType::String | DataType::Any) => Ok(texts.value(text)),
        (Some(text), ty) if is_strict(spec, slot) => texts.fit(text, ty, field.unit),
        (Some(text), ty) => Ok(cast::cast(&Value::str(text), ty, field.unit)),
    }
}

/// Whether a value that does not fit its column rejects the row. Whatever else may be converted: a row
/// needs a time that is one.
pub(super) fn is_strict(spec: &StreamSpec, slot: usize) -> bool {
    spec.strict || spec.timestamp == Some(slot)
}
