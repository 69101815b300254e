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

/// The way of every message of one topic.
#[derive(Debug)]
pub(super) struct Route {
    source: Arc<str>,
    topic: Arc<str>,
    /// The hash of both.
    hash: u64,
    /// The round in which it was found.
    round: u32,
    /// Which course it takes: the streams it feeds, and how.
    course: u32,
    /// The values that the topic gives, of one target after the other.
    known: Box<[Value]>,
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

/// The routes found so far.
#[derive(Debug, Default)]
pub(super) struct Router {
    /// The places of the routes, by their hash.
    places: HashTable<u32>,
    routes: Vec<Route>,
    courses: Vec<Course>,
    /// Which course is that of some fates.
    fates: HashMap<Box<[(usize, Fate)]>, u32>,
    /// The source of the last message, with its hash.
    source: (Arc<str>, u64),
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
            Some(place) if self.routes[place as usize].is_of(message, self.round) => place,
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
            self.source = (message.source.clone(), fold(message.source.as_bytes()).rotate_left(17));
        }
        fold(message.topic.as_bytes()) ^ self.source.1
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
        let (source, topic) = (message.source.clone(), message.topic.clone());
        Route { source, topic, hash, round: self.round, course, known: known.into() }
    }
}

impl Route {
    #[inline]
    fn is_of(&self, message: &Message, round: u32) -> bool {
        let same = |a: &Arc<str>, b: &Arc<str>| Arc::ptr_eq(a, b) || a == b;
        self.round == round && same(&self.topic, &message.topic) && same(&self.source, &message.source)
    }

    /// The values of the fields of a target that the topic [gives](is_given), in their order; `None` where
    /// one does not fit.
    #[inline]
    pub(super) fn known(&self, target: &Target) -> Option<&[Value]> {
        self.known.get(target.known.clone()?)
    }
}

impl Course {
    fn new(streams: &[Arc<StreamSpec>], fates: &[(usize, Fate)]) -> Self {
        let read = || fates.iter().filter(|(_, fate)| *fate != Fate::Skipped);
        let json = || read().map(|(stream, _)| &streams[*stream]).filter(|spec| spec.format == Format::Json);
        let paths = json().flat_map(|spec| &spec.fields).filter_map(|field| match &field.from {
            FieldSource::Path(path) => Some(path.as_slice()),
            _ => None,
        });
        let projection = json().next().is_some().then(|| Projection::new(paths));
        let place = |field: &Field| match (&field.from, &projection) {
            (FieldSource::Path(path), Some(projection)) => projection.place(path),
            _ => None,
        };
        let mut next = 0;
        let targets: Vec<Target> = read()
            .map(|(stream, fate)| {
                let fields = &streams[*stream].fields;
                let known = (*fate == Fate::Read).then(|| {
                    let from = next;
                    next += fields.iter().filter(|field| is_given(field)).count();
                    from..next
                });
                Target { stream: *stream, known, places: fields.iter().map(place).collect() }
            })
            .collect();
        let format = |target: &Target| streams[target.stream].format;
        let mixed = targets.windows(2).any(|pair| format(&pair[0]) != format(&pair[1]));
        let others = targets.iter().any(|target| format(target) != Format::Json);
        let skipped = fates.iter().filter(|(_, fate)| *fate == Fate::Skipped);
        let skipped = skipped.map(|(stream, _)| *stream).collect();
        Self { targets, skipped, json: projection, others, mixed }
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
        FieldSource::Topic => return Ok(Value::Str(message.topic.clone())),
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
