//! stub
#![expect(missing_docs)]
use std::path::Path; use std::time::Duration;
use crate::model::{message::Message, time::Timestamp};
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum RecordFormat { Json, Csv }
#[derive(Default)] pub struct Options { pub topic: Option<String>, pub format: Option<RecordFormat>, pub time_field: Option<String>, pub x: u8 }
#[derive(Clone, Copy, Debug)]
pub enum Pace { AsFast, Recorded { speed: f64 } }
impl Pace { pub fn delay(self, _: Timestamp, _: Timestamp) -> Duration { Duration::ZERO } }
pub struct Recorded { pub message: Message, pub recorded: Option<Timestamp> }
pub struct Recording;
impl Recording { pub fn open(_: &Path, _: Options) -> Result<Self, std::io::Error> { Ok(Self) } pub fn from_reader(_: Box<dyn std::io::Read>, _: Options) -> Result<Self, std::io::Error> { Ok(Self) } }
impl Iterator for Recording { type Item = Result<Recorded, std::io::Error>; fn next(&mut self) -> Option<Self::Item> { None } }
