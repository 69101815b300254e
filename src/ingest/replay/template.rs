//! Topics with places: `env/{device}` filled from a payload's members.

use serde_json::Value;

/// A parsed topic.
#[derive(Debug)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Text(String),
    Member(String),
}

impl Template {
    pub(super) fn parse(topic: &str) -> Result<Self, String> {
        if topic.is_empty() {
            return Err("the topic for the records is empty".to_owned());
        }
        let mut parts = Vec::new();
        let mut rest = topic;
        while let Some((text, tail)) = rest.split_once('{') {
            let Some((name, after)) = tail.split_once('}') else {
                return Err(format!("topic `{topic}`: a `{{` has no `}}`"));
            };
            if name.is_empty() || name.contains('{') {
                return Err(format!("topic `{topic}`: write the name of a column between `{{` and `}}`"));
            }
            parts.push(Part::Text(text.to_owned()));
            parts.push(Part::Member(name.to_owned()));
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        let wild =
            parts.iter().any(|part| matches!(part, Part::Text(text) if text.contains(['+', '#', '}', '\0'])));
        if wild {
            return Err(format!("topic `{topic}`: a message is published on one topic, without `+` and `#`"));
        }
        Ok(Self { parts })
    }

    pub(super) fn fill(&self, payload: &Value) -> Result<String, String> {
        let mut topic = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => topic.push_str(text),
                Part::Member(name) => topic.push_str(&level(name, payload)?),
            }
        }
        Ok(topic)
    }
}

fn level(name: &str, payload: &Value) -> Result<String, String> {
    let text = match payload.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
        Some(_) => {
            return Err(format!("the topic needs `{name}`, which holds no text and no number"));
        }
        None => {
            return Err(format!("the topic needs `{name}`, which the record does not have"));
        }
    };
    if text.is_empty() || text.contains(['/', '+', '#', '\0']) {
        return Err(format!("the topic needs `{name}`, and `{text}` is no level of a topic"));
    }
    Ok(text)
}
