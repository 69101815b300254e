//! Questions to the agent.

use tokio::sync::{mpsc, oneshot};

use super::Request;
use super::retry::End;

pub(super) async fn tell(requests: &mpsc::Sender<Request>, request: Request) -> Result<(), End> {
    requests.send(request).await.map_err(|_| End::because("the agent stops"))
}

pub(super) async fn ask<T>(
    requests: &mpsc::Sender<Request>,
    request: impl FnOnce(oneshot::Sender<T>) -> Request,
) -> Result<T, End> {
    let (reply, answer) = oneshot::channel();
    tell(requests, request(reply)).await?;
    answer.await.map_err(|_| End::because("the agent stops"))
}
