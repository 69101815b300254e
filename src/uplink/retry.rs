//! What the end of a session means for the next one: the OTLP table of codes, and what a hub says of when to come back.
//! Pure. Nothing is ever given up: what a person must put right is tried again too, but slowly, and shown as such.

use std::error::Error as _;
use std::time::Duration;

use prost::Message as _;
use tonic::{Code, Status};

use crate::wire::v1;

/// A hub that asks for more is taken at no more than this: a mistake there must not silence a fleet.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(600);

/// How long to wait at least where nothing changes by trying again; long enough for a hub that a whole fleet with wrong
/// tokens asks.
const SLOWLY: Duration = Duration::from_secs(15);

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) why: String,
    /// At least this long before the next.
    pub(super) wait: Duration,
    pub(super) needs_a_person: bool,
}

impl End {
    /// One after which the next may come at once.
    pub(super) fn because(why: impl Into<String>) -> Self {
        Self { why: why.into(), wait: Duration::ZERO, needs_a_person: false }
    }

    /// The hub asks to be left alone for a while.
    pub(super) fn later(retry: &v1::RetryAfter) -> Self {
        Self {
            why: format!("the hub asks to come back later: {}", retry.why),
            wait: Duration::from_millis(retry.milliseconds.into()).min(LONGEST_RETRY_AFTER),
            needs_a_person: false,
        }
    }
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        let (code, message) = (status.code(), status.message());
        // A code that the connection's own end was given is not the hub's word.
        if status.source().is_some() {
            return Self::because(format!("{code:?}: {message}"));
        }
        let pushback = Pushback::of(&status);
        let needs_a_person = !is_retryable(code, &pushback);
        let why = match code {
            Code::Unauthenticated | Code::PermissionDenied => {
                format!("the hub refuses this agent: {message}; check the token")
            }
            code if needs_a_person => format!("the hub refuses: {code:?}: {message}; someone must see to it"),
            code => format!("{code:?}: {message}"),
        };
        let asked = match pushback {
            Pushback::After(wait) => wait.min(LONGEST_RETRY_AFTER),
            Pushback::Never | Pushback::Nothing => Duration::ZERO,
        };
        let wait = if needs_a_person { asked.max(SLOWLY) } else { asked };
        Self { why, wait, needs_a_person }
    }
}

/// The table of the OpenTelemetry protocol ("OTLP/gRPC throttling"): whether trying again can help by itself.
fn is_retryable(code: Code, pushback: &Pushback) -> bool {
    match code {
        Code::Ok
        | Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => *pushback != Pushback::Never,
        // Where the hub says when, it is a load that passes; else a quota that someone set.
        Code::ResourceExhausted => matches!(pushback, Pushback::After(_)),
        Code::Unknown
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Unimplemented
        | Code::Internal
        | Code::Unauthenticated => false,
    }
}

/// What a status says of when to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pushback {
    Nothing,
    /// By `RetryInfo` among its details, or by `grpc-retry-pushback-ms`.
    After(Duration),
    /// A pushback that is negative, or no number: not by itself (gRFC A6).
    Never,
}

impl Pushback {
    fn of(status: &Status) -> Self {
        if let Some(pushback) = status.metadata().get("grpc-retry-pushback-ms") {
            let milliseconds = pushback.to_str().ok().and_then(|text| text.parse().ok());
            return milliseconds.map_or(Self::Never, |ms| Self::After(Duration::from_millis(ms)));
        }
        let details = Details::decode(status.details()).unwrap_or_default();
        let delay = details
            .details
            .iter()
            .filter(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))
            .find_map(|any| RetryInfo::decode(&*any.value).ok()?.retry_delay);
        delay.map_or(Self::Nothing, |delay| {
            let seconds = u64::try_from(delay.seconds).unwrap_or(0);
            Self::After(Duration::new(seconds, u32::try_from(delay.nanos).unwrap_or(0).min(999_999_999)))
        })
    }
}

/// What of `google.rpc.Status` is read here.
#[derive(Clone, PartialEq, prost::Message)]
struct Details {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[cfg(test)]
mod tests {
    use tonic::metadata::MetadataMap;

    use super::*;

    /// All codes there are, by their numbers.
    fn codes() -> impl Iterator<Item = Code> {
        (0..=16).map(Code::from_i32)
    }

    fn with_retry_info(code: Code, seconds: i64) -> Status {
        let info = RetryInfo { retry_delay: Some(Delay { seconds, nanos: 500_000_000 }) };
        let any = Any {
            type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
            value: info.encode_to_vec(),
        };
        Status::with_details(code, "full", Details { details: vec![any] }.encode_to_vec().into())
    }

    fn with_pushback(code: Code, pushback: &'static str) -> Status {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-retry-pushback-ms", pushback.parse().unwrap());
        Status::with_metadata(code, "full", metadata)
    }

    #[test]
    fn the_codes_that_pass_by_themselves_are_those_of_the_table() {
        let passing: Vec<i32> =
            codes().filter(|code| !End::from(Status::new(*code, "")).needs_a_person).map(i32::from).collect();
        let table = [
            Code::Ok,
            Code::Cancelled,
            Code::DeadlineExceeded,
            Code::Aborted,
            Code::OutOfRange,
            Code::Unavailable,
            Code::DataLoss,
        ];
        assert_eq!(passing, table.map(i32::from));
        for code in codes() {
            let end = End::from(with_retry_info(code, 2));
            let passes = passing.contains(&i32::from(code)) || code == Code::ResourceExhausted;
            assert_eq!(end.needs_a_person, !passes, "{code:?} with RetryInfo");
            assert_eq!(end.wait, if passes { Duration::from_millis(2_500) } else { SLOWLY }, "{code:?}");
            let end = End::from(with_pushback(code, "-1"));
            assert_eq!((end.needs_a_person, end.wait), (true, SLOWLY), "{code:?} with a pushback of -1");
        }
    }

    #[test]
    fn what_the_hub_asks_for_is_obeyed_within_reason() {
        let wait = |pushback| End::from(with_pushback(Code::Unavailable, pushback)).wait;
        assert_eq!(wait("1500"), Duration::from_millis(1_500));
        assert_eq!(wait("99999999999"), LONGEST_RETRY_AFTER);
        assert_eq!(wait("soon"), SLOWLY);
        assert_eq!(End::from(with_retry_info(Code::Unavailable, -5)).wait, Duration::from_millis(500));
        let retry = v1::RetryAfter { milliseconds: u32::MAX, why: "it is being moved".to_owned() };
        let end = End::later(&retry);
        assert_eq!((end.wait, end.needs_a_person), (LONGEST_RETRY_AFTER, false));
        assert!(end.why.ends_with("it is being moved"), "{}", end.why);
    }

    #[test]
    fn how_the_connection_itself_ended_is_no_word_of_the_hub() {
        let broken = Status::from_error(Box::new(std::io::Error::other("broken pipe")));
        assert_eq!(broken.code(), Code::Unknown);
        assert!(!End::from(broken).needs_a_person);
    }
}
