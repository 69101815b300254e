//! What may be an agent's id: one rule for the agent, the hub and the tokens between them. Ids go
//! into labels, headers, paths and URLs.

/// The longest id, in bytes.
const LONGEST: usize = 128;

/// Checks an agent's id.
///
/// # Errors
/// A sentence that names the id and says what one may be made of.
pub fn valid_agent_id(id: &str) -> Result<(), String> {
    let known = |c: char| c.is_ascii_alphanumeric() || "-_.:@".contains(c);
    // `.` and `..` are steps in a path.
    if (1..=LONGEST).contains(&id.len()) && id.chars().all(known) && id != "." && id != ".." {
        return Ok(());
    }
    // An id of any length may come over the network.
    let shown: String = id.chars().take(LONGEST).collect();
    Err(format!("{shown:?} is no agent id; use 1 to {LONGEST} letters, digits or `-_.:@`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_word_of_plain_characters() {
        for id in ["a", "gw-7", "plant_1.hall:3@site", "..a", &"a".repeat(128)] {
            valid_agent_id(id).unwrap();
        }
        for id in ["", ".", "..", "*", "a b", "a/b", "é", "a\n", &"a".repeat(129)] {
            let why = valid_agent_id(id).unwrap_err();
            assert!(why.contains("1 to 128") && why.len() < 300, "{why}");
        }
    }
}
