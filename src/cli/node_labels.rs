//! `weir node-labels`: the labels of the Kubernetes node, for an init container whose role may get nodes. The agent itself
//! asks no API server: it reads the file (`agent.node_labels_file`). Where the server cannot be asked, what was written
//! before stands, and the agent starts all the same.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use bytes::{Buf as _, Bytes};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper::{Request, Uri, header};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value as Json;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::AGENT_ID;
use crate::reach::{self, is_loopback};
use crate::tasks;

/// How long the API server may take; an init container that waits holds the agent up.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most that is read of an answer. A node with many images and volumes has tens of kilobytes.
const LARGEST: usize = 4 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct NodeLabels {
    /// The file to write, lines of name="value"
    file: PathBuf,
    /// The node [default: the environment variable WEIR_AGENT_ID]
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// The API server [default: that of the cluster, as pods know it]
    #[arg(long, value_name = "URL")]
    api: Option<Uri>,
    /// The directory with the pod's `token` and `ca.crt`
    #[arg(long, value_name = "DIR", default_value = "/var/run/secrets/kubernetes.io/serviceaccount")]
    account: PathBuf,
}

impl NodeLabels {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let asked = runtime.block_on(async {
            timeout(PATIENCE, self.ask())
                .await
                .unwrap_or_else(|_| Err(anyhow!("no answer within ten seconds")))
        });
        // The name of a server that is being resolved must not hold the agent up.
        runtime.shutdown_background();
        let shown = self.file.display();
        let said = match asked {
            Ok(labels) => {
                write(&self.file, &labels).with_context(|| format!("write {shown}"))?;
                format!("{shown}: {} labels of the node", labels.len())
            }
            Err(error) => {
                let stands =
                    if self.file.exists() { "what it has stands" } else { "the agent starts without" };
                format!("{shown}: {stands}, as the node's labels cannot be had: {}", super::explain(&error))
            }
        };
        // The work is done, whether somebody reads this or not.
        drop(writeln!(std::io::stdout(), "{said}"));
        Ok(ExitCode::SUCCESS)
    }

    async fn ask(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let node = self.node.clone().or_else(|| std::env::var(AGENT_ID).ok());
        let node = node.context("name the node with --node")?;
        let api = self.api.clone().map_or_else(of_cluster, Ok)?;
        let host = api.host().context("the API server's address has no host")?;
        let plain = api.scheme_str() == Some("http");
        if plain && !is_loopback(host) {
            bail!("{api} is plain text beyond this machine; use https://");
        }
        let port = api.port_u16().unwrap_or(if plain { 80 } else { 443 });
        let token = std::fs::read_to_string(self.account.join("token")).context("read the pod's token")?;
        let request = Request::get(format!("/api/v1/nodes/{node}"))
            .header(header::HOST, host)
            .header(header::ACCEPT, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {}", token.trim()))
            .body(String::new())?;
        let host = host.trim_matches(['[', ']']);
        let tcp = TcpStream::connect((host, port)).await.with_context(|| format!("reach {api}"))?;
        if plain {
            return labels(TokioIo::new(tcp), request).await;
        }
        let ca = std::fs::read(self.account.join("ca.crt")).context("read the cluster's authority")?;
        let roots = reach::authorities(&ca).map_err(|why| anyhow!("the cluster's authority: {why}"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(host.to_owned())?;
        let tls = TlsConnector::from(Arc::new(tls)).connect(name, tcp).await?;
        labels(TokioIo::new(tls), request).await
    }
}

/// As pods know it.
fn of_cluster() -> anyhow::Result<Uri> {
    let told =
        |name: &str| std::env::var(name).with_context(|| format!("this is no pod: there is no {name}"));
    let (host, port) = (told("KUBERNETES_SERVICE_HOST")?, told("KUBERNETES_SERVICE_PORT")?);
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    Ok(format!("https://{host}:{port}").parse()?)
}

async fn labels(
    to: impl Read + Write + Unpin + Send + 'static,
    request: Request<String>,
) -> anyhow::Result<BTreeMap<String, String>> {
    let (mut sender, link) = http1::handshake(to).await?;
    let link = tasks::spawn("api-server", async move { link.await.map_err(|error| error.to_string()) });
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = whole(answer.into_body()).await?;
    link.abort();
    let answer: Json = serde_json::from_slice(&body).unwrap_or_default();
    if !status.is_success() {
        bail!("the API server says {status}: {}", answer["message"].as_str().unwrap_or("nothing more"));
    }
    let labels = answer["metadata"]["labels"].as_object().context("the answer has no labels")?;
    let text = |(name, value): (&String, &Json)| Some((name.clone(), value.as_str()?.to_owned()));
    Ok(labels.iter().filter_map(text).collect())
}

async fn whole(mut body: Incoming) -> anyhow::Result<Vec<u8>> {
    let mut read = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let data: Bytes = frame?.into_data().unwrap_or_default();
        if read.len() + data.remaining() > LARGEST {
            bail!("the answer is larger than {LARGEST} bytes");
        }
        read.extend_from_slice(&data);
    }
    Ok(read)
}

/// In one piece: an agent that starts meanwhile reads the old ones or the new ones.
fn write(file: &Path, labels: &BTreeMap<String, String>) -> std::io::Result<()> {
    let lines: String = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"\n")).collect();
    let new = file.with_extension("new");
    std::fs::write(&new, lines)?;
    std::fs::rename(new, file)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener};
    use std::thread::JoinHandle;

    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ServerConfig, ServerConnection, StreamOwned};

    use super::*;

    /// A server that answers once, under TLS, and gives what it was asked; and the pod's account.
    fn server(answer: String, account: &Path) -> (SocketAddr, JoinHandle<String>) {
        let key =
            rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        std::fs::write(account.join("ca.crt"), key.cert.pem()).unwrap();
        std::fs::write(account.join("token"), "secret\n").unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let private = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.der().clone()], private)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let served = tasks::thread("test-api-server", move || {
            let (tcp, _) = listener.accept().unwrap();
            let mut tls = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), tcp);
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                tls.read_exact(&mut byte).unwrap();
                asked.push(byte[0]);
            }
            tls.write_all(answer.as_bytes()).unwrap();
            tls.flush().unwrap();
            String::from_utf8(asked).unwrap()
        })
        .unwrap();
        (address, served)
    }

    fn http(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    #[test]
    fn the_nodes_labels_become_lines_and_stay_where_nobody_answers() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("labels");
        let ask = |api: String| NodeLabels {
            file: file.clone(),
            node: Some("node-1".to_owned()),
            api: Some(api.parse().unwrap()),
            account: dir.path().to_owned(),
        };
        let node =
            r#"{"kind": "Node", "metadata": {"labels": {"zone": "north", "kubernetes.io/arch": "arm64"}}}"#;
        let (address, served) = server(http("200 OK", node), dir.path());
        ask(format!("https://{address}")).run().unwrap();
        let asked = served.join().unwrap();
        assert!(asked.starts_with("GET /api/v1/nodes/node-1 HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("authorization: Bearer secret\r\n"), "{asked}");
        let lines = "kubernetes.io/arch=\"arm64\"\nzone=\"north\"\n";
        assert_eq!(std::fs::read_to_string(&file).unwrap(), lines);

        // Refused, and then away: what was there stands, and it is no failure.
        let no = r#"{"kind": "Status", "message": "nodes \"node-1\" is forbidden"}"#;
        let (address, served) = server(http("403 Forbidden", no), dir.path());
        ask(format!("https://{address}")).run().unwrap();
        served.join().unwrap();
        ask(format!("https://{address}")).run().unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), lines);
        ask("http://192.0.2.1".to_owned()).run().unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), lines);
    }
}
