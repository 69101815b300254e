//! The metrics of a machine made of fixture files, and of the real one.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::model::node::NodeType;
use crate::model::time::Timestamp;

fn write(root: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn fixture() -> (TempDir, Collector) {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        &[
            (
                "proc/stat",
                "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 50 0 50 400 0 0 0 0 0 0\ncpu1 50 0 50 400 0 0 0 0 0 0\nintr 5\n",
            ),
            (
                "proc/cpuinfo",
                "processor\t: 0\ncpu MHz\t\t: 2399.998\n\nprocessor\t: 1\ncpu MHz\t\t: 2400.5\n",
            ),
            ("proc/loadavg", "0.50 1.25 2.00 3/456 789\n"),
            (
                "proc/meminfo",
                "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 250 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
            ),
            ("proc/uptime", "3600.55 100.00\n"),
            (
                "proc/pressure/cpu",
                "some avg10=1.50 avg60=0.00 avg300=0.00 total=5\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
            ),
            (
                "proc/pressure/memory",
                "some avg10=2.25 avg60=0.00 avg300=0.00 total=5\nfull avg10=0.75 avg60=0.00 avg300=0.00 total=0\n",
            ),
            (
                "proc/diskstats",
                "7 0 loop0 9 0 9 9 9 0 9 9 0 9 9\n8 0 sda 100 0 2000 5 50 0 1000 5 0 400 9\n8 1 sda1 1 0 2 5 5 0 1 5 0 4 9\n",
            ),
            ("sys/block/sda/size", "1\n"),
            ("sys/block/loop0/size", "1\n"),
            (
                "proc/1/net/dev",
                "Inter-| Receive | Transmit\n face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop\n\
                 \x20   lo: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0\n  eth0: 1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0\n",
            ),
            ("sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq", "1800000\n"),
            ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
            ("sys/class/thermal/thermal_zone0/temp", "45500\n"),
            ("sys/class/thermal/thermal_zone0/trip_point_0_type", "passive\n"),
            ("sys/class/thermal/thermal_zone0/trip_point_0_temp", "80000\n"),
            ("sys/class/thermal/thermal_zone0/trip_point_1_type", "critical\n"),
            ("sys/class/thermal/thermal_zone0/trip_point_1_temp", "95000\n"),
            ("sys/class/hwmon/hwmon0/name", "nvme\n"),
            ("sys/class/hwmon/hwmon0/temp1_input", "38000\n"),
            ("sys/class/hwmon/hwmon0/temp1_label", "Composite\n"),
            ("sys/class/hwmon/hwmon0/temp2_input", "-5000\n"),
            (
                "proc/1/mounts",
                "proc /proc proc rw 0 0\n/dev/sda1 / ext4 rw 0 0\n/dev/sda1 /data ext4 rw 0 0\n",
            ),
        ],
    );
    let config = Config {
        proc_root: dir.path().join("proc"),
        sys_root: dir.path().join("sys"),
        host_root: dir.path().to_owned(),
        ..Config::default()
    };
    (dir, Collector::new(&config))
}

fn at(seconds: u64) -> Now {
    Now { wall: Timestamp::from_millis(1_000), mono: Mono::from_micros(seconds * 1_000_000) }
}

fn rows(messages: &[Message], stream: &str) -> Vec<Value> {
    let topic = format!("$node/{stream}");
    let message = messages.iter().find(|m| *m.topic == *topic).unwrap();
    match serde_json::from_slice(&message.payload).unwrap() {
        Value::Array(rows) => rows,
        other => panic!("{other}"),
    }
}

fn has_exactly_the_declared_columns(messages: &[Message]) {
    assert_eq!(messages.len(), NODE_STREAMS.len());
    for (message, stream) in messages.iter().zip(NODE_STREAMS) {
        assert_eq!(&*message.topic, stream.topic);
        assert_eq!((&*message.source, message.ack, message.retained), (NODE_SOURCE, None, false));
        for row in rows(messages, stream.name) {
            let mut found: Vec<&String> = row.as_object().unwrap().keys().collect();
            let mut declared: Vec<&str> = stream.columns.iter().map(|c| c.name).collect();
            found.sort();
            declared.sort_unstable();
            assert_eq!(found, declared, "{}", stream.name);
            for column in stream.columns {
                let value = &row[column.name];
                let fits = match column.ty {
                    NodeType::Float => value.is_null() || value.is_number(),
                    NodeType::Bigint => value.is_null() || value.is_i64(),
                    NodeType::String => value.is_string(),
                };
                assert!(fits, "{}.{} = {value}", stream.name, column.name);
            }
        }
    }
}

#[test]
fn the_first_sample_has_gauges_and_no_rates() {
    let (_dir, mut collector) = fixture();
    let sample = collector.collect(at(0));
    has_exactly_the_declared_columns(&sample);
    let expected = json!({
        "cpu": null, "cpu_user": null, "cpu_system": null, "cpu_iowait": null, "cpu_irq": null, "cpu_steal": null,
        "cores": 2, "load1": 0.5, "load5": 1.25, "load15": 2.0,
        "mem_total": 1_024_000, "mem_used": 768_000, "mem_available": 256_000, "mem_used_pct": 75.0,
        "swap_total": 0, "swap_used": 0, "swap_used_pct": null, "uptime": 3_600, "processes": 456,
        "psi_cpu_some": 1.5, "psi_memory_some": 2.25, "psi_memory_full": 0.75, "psi_io_some": null, "psi_io_full": null,
    });
    assert_eq!(rows(&sample, "node"), [expected]);
    assert_eq!(
        rows(&sample, "node_cpu"),
        [
            json!({"core": "cpu0", "cpu": null, "frequency": 2_399}),
            json!({"core": "cpu1", "cpu": null, "frequency": 1_800})
        ]
    );
    assert_eq!(
        rows(&sample, "node_temp"),
        [
            json!({"sensor": "cpu-thermal", "celsius": 45.5, "max": 45.5, "critical": 95.0}),
            json!({"sensor": "nvme Composite", "celsius": 38.0, "max": 38.0, "critical": null}),
            json!({"sensor": "nvme temp2", "celsius": -5.0, "max": -5.0, "critical": null}),
        ]
    );
    let disks = rows(&sample, "node_disk");
    assert_eq!(disks.len(), 1);
    assert_eq!(
        (&disks[0]["mount"], &disks[0]["device"], &disks[0]["fs"]),
        (&json!("/"), &json!("/dev/sda1"), &json!("ext4"))
    );
    assert!(disks[0]["total"].as_u64().unwrap() > 0);
}

#[test]
fn the_second_sample_has_shares_and_rates() {
    let (dir, mut collector) = fixture();
    collector.collect(at(0));
    write(
        dir.path(),
        &[
            (
                "proc/stat",
                "cpu  120 10 120 930 10 5 3 2 0 0\ncpu0 60 0 60 480 0 0 0 0 0 0\ncpu1 40 0 50 400 0 0 0 0 0 0\n",
            ),
            ("proc/diskstats", "8 0 sda 150 0 4000 5 60 0 1500 5 0 4400 9\n"),
            ("proc/1/net/dev", "  eth0: 3000 30 1 12 0 0 0 0 1500 40 5 4 0 0 0 0\n"),
            ("sys/class/thermal/thermal_zone0/temp", "40000\n"),
        ],
    );
    let sample = collector.collect(at(10));
    has_exactly_the_declared_columns(&sample);
    let node = &rows(&sample, "node")[0];
    let shares = ["cpu", "cpu_user", "cpu_system", "cpu_iowait", "cpu_irq", "cpu_steal"]
        .map(|c| node[c].as_f64().unwrap());
    assert_eq!(shares, [30.0, 15.0, 10.0, 5.0, 4.0, 1.0]);
    assert_eq!(rows(&sample, "node_cpu")[0]["cpu"], 20.0);
    assert_eq!(
        rows(&sample, "node_diskio"),
        [
            json!({"device": "sda", "read_bytes_per_s": 102_400.0, "write_bytes_per_s": 25_600.0, "reads_per_s": 5.0, "writes_per_s": 1.0, "busy_pct": 40.0})
        ]
    );
    assert_eq!(
        rows(&sample, "node_net"),
        [json!({
            "interface": "eth0", "rx_bytes_per_s": 200.0, "tx_bytes_per_s": null, "rx_packets_per_s": 2.0, "tx_packets_per_s": 2.0,
            "rx_errors_per_s": 0.0, "tx_errors_per_s": 0.2, "rx_dropped_per_s": 1.0, "tx_dropped_per_s": 0.0,
        })]
    );
    let zone = &rows(&sample, "node_temp")[0];
    assert_eq!((&zone["celsius"], &zone["max"]), (&json!(40.0), &json!(45.5)));
}

#[test]
fn counters_that_went_back_are_null() {
    let (dir, mut collector) = fixture();
    collector.collect(at(0));
    write(
        dir.path(),
        &[("proc/stat", "cpu  1 0 1 8 0 0 0 0 0 0\n"), ("proc/diskstats", "8 0 sda 1 0 1 5 1 0 1 5 0 1 9\n")],
    );
    let sample = collector.collect(at(10));
    assert!(rows(&sample, "node")[0]["cpu"].is_null());
    let disk = &rows(&sample, "node_diskio")[0];
    assert!(disk["reads_per_s"].is_null() && disk["busy_pct"].is_null());
}

#[test]
fn a_machine_that_offers_nothing_gives_nulls() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        proc_root: dir.path().into(),
        sys_root: dir.path().into(),
        host_root: dir.path().into(),
        ..Config::default()
    };
    let sample = Collector::new(&config).collect(at(0));
    has_exactly_the_declared_columns(&sample);
    assert!(rows(&sample, "node")[0].as_object().unwrap().values().all(Value::is_null));
    assert!(rows(&sample, "node_disk").is_empty());
}

#[test]
fn this_machine_is_plausible() {
    let clock = Clock::start();
    let mut collector = Collector::new(&Config::default());
    has_exactly_the_declared_columns(&collector.collect(clock.now()));
    let begun = clock.mono();
    while clock.mono().since(begun) < Duration::from_millis(150) {
        std::hint::spin_loop();
    }
    let sample = collector.collect(clock.now());
    has_exactly_the_declared_columns(&sample);
    let node = &rows(&sample, "node")[0];
    assert!(node["cpu"].as_f64().is_some_and(|share| share > 0.0 && share <= 100.0), "{node}");
    assert!(node["mem_used"].as_i64().unwrap() > 0 && node["mem_used"].as_i64() < node["mem_total"].as_i64());
    assert!(node["uptime"].as_i64().unwrap() > 0);
    assert_eq!(node["cores"].as_i64().unwrap(), rows(&sample, "node_cpu").len() as i64);
    assert!(rows(&sample, "node_net").iter().all(|row| row["interface"] != "lo"));
}

#[test]
fn it_samples_at_once_and_stops_at_once() {
    let (stop, heard) = crate::tasks::StopSource::new();
    let (out, mut messages) = mpsc::channel(4);
    let thread = start(&Config::default(), out, Clock::start(), heard).unwrap().unwrap();
    assert_eq!(messages.blocking_recv().unwrap().len(), NODE_STREAMS.len());
    stop.stop();
    thread.join().unwrap();
    let (out, _messages) = mpsc::channel(4);
    let (_stop, heard) = crate::tasks::StopSource::new();
    let off = Config { enabled: false, ..Config::default() };
    assert!(start(&off, out, Clock::start(), heard).unwrap().is_none());
}

#[test]
fn configuration_reads_with_defaults() {
    let read = |text: &str| serde_json::from_str::<Config>(text);
    assert_eq!(read("{}").unwrap(), Config::default());
    assert_eq!(read(r#"{"interval": "30s"}"#).unwrap().interval, Duration::from_secs(30));
    assert!(read(r#"{"intervall": "30s"}"#).is_err());
}

#[test]
fn the_agents_own_limits_are_those_of_its_group_and_all_around_it() {
    let dir = tempfile::tempdir().unwrap();
    let group = |name: &str, files: &[(&str, &str)]| {
        let own = dir.path().join("cgroup").join(name);
        write(&own, &[("cgroup.controllers", "cpu memory pids\n")]);
        write(&own, files);
    };
    group("", &[]);
    group("pods", &[("memory.max", "3000\n"), ("cpu.max", "max 100000\n"), ("pids.max", "max\n")]);
    let usage = |micros: u64, throttled: u64| {
        format!("usage_usec {micros}\nuser_usec 1\nnr_periods {}\nnr_throttled {throttled}\n", throttled * 4)
    };
    let own = |cpu: &str| {
        let files = [
            ("memory.current", "1500\n"),
            ("memory.max", "max\n"),
            ("memory.events", "low 0\noom 3\noom_kill 2\noom_group_kill 0\n"),
            ("cpu.max", "50000 100000\n"),
            ("cpu.stat", cpu),
            ("pids.current", "7\n"),
            ("pids.max", "64\n"),
        ];
        group("pods/weir", &files);
    };
    write(dir.path(), &[("self/cgroup", "0::/pods/weir\n")]);
    let config = Config { cgroup_root: dir.path().join("cgroup"), ..Config::default() };
    let roots = root::Roots::new(&config).of_process(dir.path().join("self"));
    let mut sampled = cgroup::Group::default();
    own(&usage(1_000_000, 10));
    sampled.sample(&roots, Duration::from_secs(10));
    own(&usage(3_500_000, 15));
    let mut row = |roots: &root::Roots| {
        let rows = sampled.sample(roots, Duration::from_secs(10));
        rows.into_iter().map(row::Row::into_json).collect::<Vec<Value>>()
    };
    let expected = json!({
        "mem_used": 1500, "mem_limit": 3000, "mem_used_pct": 50.0, "oom_kills": 2, "cpu_cores": 0.25, "cpu_limit": 0.5,
        "cpu_throttled_pct": 25.0, "processes": 7, "processes_limit": 64,
    });
    assert_eq!(row(&roots), [expected]);

    // In a container the path may be the host's: the root is the own group then.
    write(dir.path(), &[("self/cgroup", "0::/kubepods/of/the/host\n"), ("cgroup/memory.max", "700\n")]);
    assert_eq!(row(&roots)[0]["mem_limit"], 700);
    write(dir.path(), &[("self/cgroup", "5:memory:/old\n")]);
    assert_eq!(row(&roots), [] as [Value; 0], "no control group of version 2");
}
