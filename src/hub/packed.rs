//! What agents are told is compressed where they take it, and each message only where it pays: rule sets do, acks do not.

use std::pin::Pin;
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;

use crate::wire::pack::Packed;

const ENCODING: &str = "grpc-encoding";
const ZSTD: &str = "zstd";

/// A service whose answers are compressed.
#[derive(Clone, Debug)]
pub(super) struct Answers<S>(pub(super) S);

impl<S> Service<http::Request<Body>> for Answers<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let takes = takes_zstd(request.headers());
        let answer = self.0.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            if !takes || answer.headers().contains_key(ENCODING) {
                return Ok(answer);
            }
            let mut answer = answer.map(|body| Body::new(Packed(body)));
            answer.headers_mut().insert(ENCODING, http::HeaderValue::from_static(ZSTD));
            Ok(answer)
        })
    }
}

impl<S: NamedService> NamedService for Answers<S> {
    const NAME: &'static str = S::NAME;
}

fn takes_zstd(headers: &http::HeaderMap) -> bool {
    let lists = headers.get_all("grpc-accept-encoding").iter().filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|encoding| encoding.trim() == ZSTD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_takes_zstd_gets_it() {
        let takes = |list: &'static str| {
            let mut headers = http::HeaderMap::new();
            headers.insert("grpc-accept-encoding", http::HeaderValue::from_static(list));
            takes_zstd(&headers)
        };
        assert!(takes("zstd") && takes("gzip, zstd") && takes("identity,zstd,gzip"));
        assert!(!takes("gzip") && !takes("zstandard") && !takes_zstd(&http::HeaderMap::new()));
    }
}
