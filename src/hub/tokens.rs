//! Who may come in: the one token of the API, and the tokens of agents. Tokens are compared by
//! their SHA-256, in constant time; those of agents are kept only as that.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

use rustix::process::geteuid;
use sha2::{Digest as _, Sha256};

/// The SHA-256 of a token.
#[derive(Clone, Copy, Debug)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// Of a token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Whether both are the same. Takes as long for any two.
    pub fn same(&self, other: &Self) -> bool {
        let differing = self.0.iter().zip(other.0).fold(0, |bits, (a, b)| bits | (a ^ b));
        std::hint::black_box(differing) == 0
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("sha256:").filter(|digits| digits.len() == 64)?;
        let mut bytes = [0; 32];
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(digits.get(2 * place..2 * place + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

/// The token of a request's `authorization` header.
pub fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The agent ids that a token may be used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    agents: Vec<String>,
}

impl Grant {
    /// Whether an agent may use the token.
    pub fn allows(&self, agent: &str) -> bool {
        self.agents.iter().any(|allowed| allowed == "*" || allowed == agent)
    }
}

/// What a token is good for, by the file of agents' tokens; `None` where the file does not know
/// it. The file is read each time, so that a token that was added or taken away counts from the
/// next session on.
///
/// # Errors
/// Where the file is there and cannot be read.
pub fn grant(file: &Path, token: &str) -> io::Result<Option<Grant>> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let digest = TokenDigest::of(token);
    let agents: Vec<String> =
        lines(&text).filter(|(_, known)| known.same(&digest)).map(|(agent, _)| agent.to_owned()).collect();
    Ok((!agents.is_empty()).then_some(Grant { agents }))
}

/// Makes a token for an agent (`*`: for any) and adds its digest to the file.
///
/// # Errors
/// Where the file cannot be written.
pub fn add(file: &Path, agent: &str) -> io::Result<String> {
    let token = generate()?;
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir)?;
    }
    let digest = crate::hub::record::hex(&TokenDigest::of(&token).0);
    let new = !file.exists();
    let mut out = OpenOptions::new().append(true).create(true).mode(0o600).open(file)?;
    // Root makes it for the hub, whose directory it is.
    if let (true, Some(dir)) = (new && geteuid().is_root(), file.parent()) {
        let owner = fs::metadata(dir)?;
        fchown(&out, Some(owner.uid()), Some(owner.gid()))?;
    }
    writeln!(out, "{agent} sha256:{digest}")?;
    out.sync_all()?;
    Ok(token)
}

/// The API's token from its file, which is made on the first start.
///
/// # Errors
/// Where the file cannot be read or made, or is empty.
pub fn api_token(file: &Path) -> io::Result<String> {
    match fs::read_to_string(file) {
        Ok(text) if text.trim().is_empty() => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the file is empty; delete it, and a token is made at the next start",
        )),
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let token = generate()?;
            let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
            writeln!(out, "{token}")?;
            out.sync_all()?;
            Ok(token)
        }
        Err(error) => Err(error),
    }
}

/// Lines of `agent token` or `agent sha256:<digest>`; `#` starts a comment.
fn lines(text: &str) -> impl Iterator<Item = (&str, TokenDigest)> {
    text.lines().filter_map(|line| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let (agent, token) = (words.next()?, words.next()?);
        Some((agent, TokenDigest::parse(token).unwrap_or_else(|| TokenDigest::of(token))))
    })
}

fn generate() -> io::Result<String> {
    let mut bytes = [0; 24];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| io::Error::other("the system gives no random bytes"))?;
    Ok(crate::hub::record::hex(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_is_good_for_its_agent_only() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("agent-tokens");
        assert_eq!(grant(&file, "x").unwrap(), None);
        let mine = add(&file, "gw-1").unwrap();
        let any = add(&file, "*").unwrap();
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains(&mine) && !text.contains(&any));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&file, format!("{text}gw-2 by-hand # a comment\n# gw-3 not-this\n")).unwrap();
        for (token, agent, allowed) in [
            (mine.as_str(), "gw-1", true),
            (&mine, "gw-2", false),
            (&any, "gw-2", true),
            ("by-hand", "gw-2", true),
            ("by-hand", "gw-1", false),
        ] {
            assert_eq!(grant(&file, token).unwrap().unwrap().allows(agent), allowed, "{agent}");
        }
        assert_eq!(grant(&file, "not-this").unwrap(), None);
        assert_eq!(grant(&file, "").unwrap(), None);
    }

    #[test]
    fn the_apis_token_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("api-token");
        let token = api_token(&file).unwrap();
        assert_eq!(token.len(), 48);
        assert_eq!(api_token(&file).unwrap(), token);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn the_scheme_of_a_header_is_bearer() {
        assert_eq!(bearer("Bearer x"), Some("x"));
        assert_eq!(bearer("bearer  x "), Some("x"));
        assert_eq!(bearer("Basic x"), None);
        assert_eq!(bearer("x"), None);
    }
}
