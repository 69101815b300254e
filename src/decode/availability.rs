//! Whether a payload says that a device is connected: as Tasmota (`Online`), Home Assistant and Zigbee2MQTT
//! (`online`, `{"state":"online"}`) and the last wills of many others write it.

use crate::model::fit::Misfit;

const ONLINE: [&str; 5] = ["online", "true", "1", "up", "connected"];
const OFFLINE: [&str; 5] = ["offline", "false", "0", "down", "disconnected"];

/// The member of an object that says it.
const MEMBERS: [&str; 2] = ["state", "status"];

/// Whether it is connected.
///
/// # Errors
/// What the payload says instead: neither is guessed.
pub(super) fn read(payload: &str) -> Result<bool, Misfit> {
    let text = payload.trim();
    let member = || {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
        let found = MEMBERS.iter().find_map(|name| object.get(*name))?;
        Some(found.as_str().map_or_else(|| found.to_string(), str::to_owned))
    };
    let said = match text.as_bytes().first() {
        Some(b'{') => member(),
        Some(b'"') => serde_json::from_str(text).ok(),
        _ => None,
    };
    let said = said.as_deref().unwrap_or(text).trim().to_ascii_lowercase();
    if ONLINE.contains(&&*said) {
        Ok(true)
    } else if OFFLINE.contains(&&*said) {
        Ok(false)
    } else {
        Err(Misfit::Type(format!("`{said}` says neither online nor offline")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_devices_say_is_understood_and_nothing_is_guessed() {
        for text in [
            "Online",
            " online\n",
            "\"online\"",
            "true",
            "1",
            "UP",
            r#"{"state":"online"}"#,
            r#"{"status": true}"#,
        ] {
            assert_eq!(read(text), Ok(true), "{text}");
        }
        for text in ["Offline", "false", "0", "\"down\"", "disconnected", r#"{"state":"offline","since":5}"#]
        {
            assert_eq!(read(text), Ok(false), "{text}");
        }
        for text in ["maybe", "2", "{}", "{\"state\":", "[\"online\"]", "\"", "null"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
