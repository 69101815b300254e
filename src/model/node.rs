//! The streams that every node has: its own metrics, with fixed schemas.
//!
//! `ingest` publishes them as JSON arrays of objects on the topics `$node/<stream>` of the source
//! `node`; rules read them without a `CREATE STREAM`.

use super::value::DataType;

/// One built-in stream.
#[derive(Clone, Copy, Debug)]
pub struct NodeStream {
    /// Its name in SQL.
    pub name: &'static str,
    /// The topic of its messages.
    pub topic: &'static str,
    /// The column that tells its rows apart, where there are several a sample.
    pub key: Option<&'static str>,
    /// What a row is.
    pub about: &'static str,
    /// Its columns.
    pub columns: &'static [NodeColumn],
}

/// One column of a built-in stream. A value that the machine does not offer is NULL.
#[derive(Clone, Copy, Debug)]
pub struct NodeColumn {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub ty: NodeType,
    /// Meaning and unit.
    pub about: &'static str,
}

/// The types that occur in built-in streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeType {
    /// FLOAT.
    Float,
    /// BIGINT.
    Bigint,
    /// STRING.
    String,
}

impl From<NodeType> for DataType {
    fn from(ty: NodeType) -> Self {
        match ty {
            NodeType::Float => Self::Float,
            NodeType::Bigint => Self::Bigint,
            NodeType::String => Self::String,
        }
    }
}

const fn float(name: &'static str, about: &'static str) -> NodeColumn {
    NodeColumn { name, ty: NodeType::Float, about }
}

const fn int(name: &'static str, about: &'static str) -> NodeColumn {
    NodeColumn { name, ty: NodeType::Bigint, about }
}

const fn text(name: &'static str, about: &'static str) -> NodeColumn {
    NodeColumn { name, ty: NodeType::String, about }
}

/// All built-in streams.
pub const NODE_STREAMS: &[NodeStream] = &[
    NodeStream {
        name: "node",
        topic: "$node/node",
        key: None,
        about: "the machine as a whole, one row a sample",
        columns: &[
            float("cpu", "busy share of all cores since the last sample, %"),
            float("cpu_user", "share in user mode, %"),
            float("cpu_system", "share in kernel mode, %"),
            float("cpu_iowait", "share idle while waiting for disks, %"),
            float("cpu_irq", "share in hard and soft interrupts, %"),
            float("cpu_steal", "share taken by the hypervisor, %"),
            int("cores", "logical cores"),
            float("load1", "load average over 1 minute"),
            float("load5", "load average over 5 minutes"),
            float("load15", "load average over 15 minutes"),
            int("mem_total", "memory, bytes"),
            int("mem_used", "memory in use (total less available), bytes"),
            int("mem_available", "memory that programs can still get, bytes"),
            float("mem_used_pct", "memory in use, %"),
            int("swap_total", "swap, bytes"),
            int("swap_used", "swap in use, bytes"),
            float("swap_used_pct", "swap in use, %; NULL without swap"),
            int("uptime", "time since boot, s"),
            int("processes", "processes and threads that exist"),
            float(
                "psi_cpu_some",
                "pressure stall: share of the last 10 s in which something waited for CPU, %",
            ),
            float("psi_memory_some", "the same for memory, %"),
            float("psi_memory_full", "share in which everything waited for memory, %"),
            float("psi_io_some", "share in which something waited for disks, %"),
            float("psi_io_full", "share in which everything waited for disks, %"),
        ],
    },
    NodeStream {
        name: "node_cpu",
        topic: "$node/node_cpu",
        key: Some("core"),
        about: "one row a core",
        columns: &[
            text("core", "the core's name, as in `cpu0`"),
            float("cpu", "busy share since the last sample, %"),
            int("frequency", "clock, MHz; NULL where unknown"),
        ],
    },
    NodeStream {
        name: "node_disk",
        topic: "$node/node_disk",
        key: Some("mount"),
        about: "one row a mounted file system that lies on a device",
        columns: &[
            text("mount", "where it is mounted"),
            text("device", "the device"),
            text("fs", "the kind of file system"),
            int("total", "size, bytes"),
            int("used", "in use, bytes"),
            int("available", "free for ordinary users, bytes"),
            float("used_pct", "in use of what ordinary users can have, %"),
            int("inodes_total", "inodes; NULL where the file system has no fixed number"),
            int("inodes_used", "inodes in use"),
            float("inodes_used_pct", "inodes in use, %"),
        ],
    },
    NodeStream {
        name: "node_diskio",
        topic: "$node/node_diskio",
        key: Some("device"),
        about: "one row a block device",
        columns: &[
            text("device", "the device's name, as in `mmcblk0`"),
            float("read_bytes_per_s", "read, bytes/s since the last sample"),
            float("write_bytes_per_s", "written, bytes/s"),
            float("reads_per_s", "read operations/s"),
            float("writes_per_s", "write operations/s"),
            float("busy_pct", "share of time with an operation under way, %"),
        ],
    },
    NodeStream {
        name: "node_net",
        topic: "$node/node_net",
        key: Some("interface"),
        about: "one row a network interface, loopback left out",
        columns: &[
            text("interface", "its name, as in `eth0`"),
            float("rx_bytes_per_s", "received, bytes/s since the last sample"),
            float("tx_bytes_per_s", "sent, bytes/s"),
            float("rx_packets_per_s", "received, packets/s"),
            float("tx_packets_per_s", "sent, packets/s"),
            float("rx_errors_per_s", "receive errors/s"),
            float("tx_errors_per_s", "send errors/s"),
            float("rx_dropped_per_s", "dropped on receive/s"),
            float("tx_dropped_per_s", "dropped on send/s"),
        ],
    },
    NodeStream {
        name: "node_temp",
        topic: "$node/node_temp",
        key: Some("sensor"),
        about: "one row a temperature sensor",
        columns: &[
            text("sensor", "its label, as in `cpu-thermal`"),
            float("celsius", "temperature, °C"),
            float("max", "the highest seen since the agent started, °C"),
            float("critical", "where the hardware says it gets dangerous, °C; NULL where it does not say"),
        ],
    },
    NodeStream {
        name: "node_agent",
        topic: "$node/node_agent",
        key: None,
        about: "the agent's own share of the machine, as its control group says, one row a sample; none where there is no control group of version 2",
        columns: &[
            int("mem_used", "memory in use, with what the system keeps of its files, bytes"),
            int("mem_limit", "what it may have, by the tightest limit around it, bytes; NULL for no limit"),
            float("mem_used_pct", "memory in use of the limit, %"),
            int("oom_kills", "how often the system killed something in the group for want of memory"),
            float("cpu_cores", "cores' time taken since the last sample"),
            float("cpu_limit", "cores' time that it may have; NULL for no limit"),
            float("cpu_throttled_pct", "share of periods in which it had to wait for the limit, %"),
            int("processes", "processes and threads in the group"),
            int("processes_limit", "how many there may be; NULL for no limit"),
        ],
    },
];
