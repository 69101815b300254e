//! stub
#![expect(missing_docs)]
use std::thread::JoinHandle;
use crate::{clock::Clock, model::message::Message, tasks::Stop};
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Config {}
pub fn start(_: &Config, _: tokio::sync::mpsc::Sender<Vec<Message>>, _: Clock, _: Stop) -> Result<Option<JoinHandle<()>>, super::Error> { Ok(None) }
