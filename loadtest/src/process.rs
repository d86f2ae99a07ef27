//! Child processes that end with their guard, and what the kernel says about a process.

use std::{
    fs,
    process::{Child, Command},
    time::Duration,
};

use anyhow::Context as _;

/// Ticks of `/proc/PID/stat` per second: 100 on every Linux (`USER_HZ`, proc_pid_stat(5)).
const TICK: Duration = Duration::from_millis(10);

/// Killed when dropped.
pub(crate) struct Guard(Child);

impl Guard {
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let program = command.get_program().to_owned();
        command.spawn().map(Self).with_context(|| {
            format!(
                "{}: cannot be started; build it with \
                 `cargo build --release -p gateway -p simulator -p loadtest`",
                program.display()
            )
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // It may have ended by itself, by the same signal that ends this program.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Processor time that a process has used, in the kernel and outside, all threads together.
///
/// # Errors
/// There is no such process.
pub(crate) fn cpu(id: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))
        .with_context(|| format!("process {id} is gone"))?;
    cpu_of(&stat).context("/proc/PID/stat: not in its format")
}

fn cpu_of(stat: &str) -> Option<Duration> {
    // The second field, the program's name in parentheses, may hold anything.
    let rest = &stat[stat.rfind(')')? + 1..];
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let (user, system): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(TICK * (user + system))
}

/// Memory of a process that is in RAM, bytes.
///
/// # Errors
/// There is no such process.
pub(crate) fn resident_bytes(id: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))
        .with_context(|| format!("process {id} is gone"))?;
    let kib = status.lines().find_map(|line| {
        line.strip_prefix("VmRSS:")?
            .trim()
            .split(' ')
            .next()?
            .parse()
            .ok()
    });
    let kib: u64 = kib.context("/proc/PID/status: no VmRSS")?;
    Ok(kib * 1024)
}

/// Processes that ran or wanted to, on average over the last minute: how far the figures can be trusted.
///
/// # Errors
/// `/proc` is not there.
pub(crate) fn load_average() -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    let first = text.split(' ').next().unwrap_or_default();
    first.parse().context("/proc/loadavg: not in its format")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_a_name_with_parentheses_and_spaces() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 98 0 0 0 31 12 0 0 20 0 1 0 55 8904704";
        assert_eq!(cpu_of(stat), Some(Duration::from_millis(430)));
        assert_eq!(cpu_of("7 (a"), None);
    }

    #[test]
    fn this_process_has_memory_and_time() {
        let id = std::process::id();
        assert!(resident_bytes(id).unwrap() > 100_000);
        assert!(cpu(id).is_ok());
    }
}
