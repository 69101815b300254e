//! The machine as a whole: load, memory, pressure.

use super::cpu::Shares;
use super::root::Roots;
use super::row::{Row, percent};

/// The one row of the stream `node`.
pub(super) fn row(roots: &Roots, cpu: &Shares, cores: usize) -> Row {
    let load = roots.proc_text("loadavg");
    let loads: Vec<&str> = load.split_ascii_whitespace().collect();
    let average = |i: usize| loads.get(i).and_then(|text| text.parse().ok());
    let processes = loads.get(3).and_then(|text| text.split_once('/')).and_then(|(_, all)| all.parse().ok());

    let memory = roots.proc_text("meminfo");
    let bytes = |key: &str| kilobytes(&memory, key).map(|kb| kb.saturating_mul(1_024));
    let used = |all: Option<u64>, left: Option<u64>| Some(all?.saturating_sub(left?));
    let (total, available) = (bytes("MemTotal"), bytes("MemAvailable"));
    let (swap_total, swap_free) = (bytes("SwapTotal"), bytes("SwapFree"));
    let (mem_used, swap_used) = (used(total, available), used(swap_total, swap_free));

    let uptime = roots.proc_text("uptime");
    let seconds = uptime.split('.').next().and_then(|text| text.parse().ok());

    let cpu_pressure = roots.proc_text("pressure/cpu");
    let memory_pressure = roots.proc_text("pressure/memory");
    let io_pressure = roots.proc_text("pressure/io");

    Row::default()
        .float("cpu", cpu.busy)
        .float("cpu_user", cpu.user)
        .float("cpu_system", cpu.system)
        .float("cpu_iowait", cpu.iowait)
        .float("cpu_irq", cpu.irq)
        .float("cpu_steal", cpu.steal)
        .int("cores", (cores > 0).then_some(cores as u64))
        .float("load1", average(0))
        .float("load5", average(1))
        .float("load15", average(2))
        .int("mem_total", total)
        .int("mem_used", mem_used)
        .int("mem_available", available)
        .float("mem_used_pct", percent(mem_used, total))
        .int("swap_total", swap_total)
        .int("swap_used", swap_used)
        .float("swap_used_pct", percent(swap_used, swap_total))
        .int("uptime", seconds)
        .int("processes", processes)
        .float("psi_cpu_some", stalled(&cpu_pressure, "some"))
        .float("psi_memory_some", stalled(&memory_pressure, "some"))
        .float("psi_memory_full", stalled(&memory_pressure, "full"))
        .float("psi_io_some", stalled(&io_pressure, "some"))
        .float("psi_io_full", stalled(&io_pressure, "full"))
}

fn kilobytes(meminfo: &str, key: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// The share of the last 10 s from a pressure file, %.
fn stalled(pressure: &str, kind: &str) -> Option<f64> {
    let line = pressure.lines().find(|line| line.split_ascii_whitespace().next() == Some(kind))?;
    line.split_ascii_whitespace().find_map(|word| word.strip_prefix("avg10="))?.parse().ok()
}
