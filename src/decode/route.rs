//! Which streams a topic feeds. The answer is the same for every message of a topic, so it is
//! kept; what it costs to find grows with the number of streams, not with that of messages.

use std::collections::HashMap;
use std::sync::Arc;

use super::json::Projection;
use crate::model::message::{Message, NODE_SOURCE};
use crate::model::stream::{FieldSource, Format, StreamSpec};

/// The way of every message of one topic.
#[derive(Debug)]
pub(super) struct Route {
    /// The streams it feeds, by their place.
    pub(super) targets: Vec<Target>,
    /// How to read JSON for all of them at once, where one reads JSON.
    pub(super) json: Option<Arc<Reading>>,
    /// Whether they read different formats.
    pub(super) mixed: bool,
}

/// One stream that a topic feeds.
#[derive(Debug)]
pub(super) struct Target {
    /// Its place among the decoder's streams.
    pub(super) stream: usize,
    /// What the pattern caught of the topic.
    pub(super) captures: Box<[Arc<str>]>,
}

/// One pass over a JSON message for several streams.
#[derive(Debug)]
pub(super) struct Reading {
    /// The members that any of them wants.
    pub(super) projection: Projection,
    /// For each target, for each field, the place of its value; `None` where it does not come
    /// from the payload.
    pub(super) places: Vec<Box<[Option<usize>]>>,
}

/// The routes found so far.
#[derive(Debug, Default)]
pub(super) struct Router {
    /// By source, then by topic.
    routes: HashMap<Arc<str>, HashMap<Arc<str>, Arc<Route>>>,
    /// Topics that feed the same streams are read alike.
    readings: HashMap<Box<[usize]>, Arc<Reading>>,
    known: usize,
}

impl Router {
    /// The route of a message. At most `max_topics` are remembered; then all are forgotten, which
    /// costs one search a topic and never a message.
    pub(super) fn route(
        &mut self,
        streams: &[Arc<StreamSpec>],
        message: &Message,
        max_topics: usize,
    ) -> Arc<Route> {
        let known = self.routes.get(&message.source).and_then(|topics| topics.get(&message.topic));
        if let Some(route) = known {
            return route.clone();
        }
        if self.known >= max_topics {
            self.routes.clear();
            self.known = 0;
        }
        let route = Arc::new(self.find(streams, message));
        self.routes.entry(message.source.clone()).or_default().insert(message.topic.clone(), route.clone());
        self.known += 1;
        route
    }

    fn find(&mut self, streams: &[Arc<StreamSpec>], message: &Message) -> Route {
        let mut targets = Vec::new();
        for (stream, spec) in streams.iter().enumerate() {
            let ours = match &spec.source {
                Some(source) => *source == message.source,
                None => message.source.as_ref() != NODE_SOURCE,
            };
            let mut captures = Vec::new();
            if ours && spec.pattern.matches(&message.topic, |text| captures.push(text.into())) {
                targets.push(Target { stream, captures: captures.into() });
            }
        }
        let json = targets.iter().any(|t| streams[t.stream].format == Format::Json);
        let json = json.then(|| self.reading(streams, &targets));
        let format = |target: &Target| streams[target.stream].format;
        let mixed = targets.windows(2).any(|pair| format(&pair[0]) != format(&pair[1]));
        Route { targets, json, mixed }
    }

    fn reading(&mut self, streams: &[Arc<StreamSpec>], targets: &[Target]) -> Arc<Reading> {
        let set: Box<[usize]> = targets.iter().map(|t| t.stream).collect();
        self.readings.entry(set).or_insert_with_key(|set| Arc::new(Reading::new(streams, set))).clone()
    }
}

impl Reading {
    fn new(streams: &[Arc<StreamSpec>], set: &[usize]) -> Self {
        let specs = || set.iter().map(|&stream| &streams[stream]);
        let paths = specs()
            .filter(|spec| spec.format == Format::Json)
            .flat_map(|spec| &spec.fields)
            .filter_map(|field| match &field.from {
                FieldSource::Path(path) => Some(path.as_slice()),
                _ => None,
            });
        let projection = Projection::new(paths);
        let places = specs()
            .map(|spec| {
                let place = |source: &FieldSource| match source {
                    FieldSource::Path(path) => projection.place(path),
                    _ => None,
                };
                spec.fields.iter().map(|field| place(&field.from)).collect()
            })
            .collect();
        Self { projection, places }
    }
}
