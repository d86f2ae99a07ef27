//! Child processes that end with their guard, and what the kernel says about a process.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    process::{Child, Command},
    str::SplitAsciiWhitespace,
    time::Duration,
};

use anyhow::Context as _;
pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, kill_process, kill_process_group};

/// Ticks of `/proc/PID/stat` per second: 100 on every Linux (`USER_HZ`, proc_pid_stat(5)).
const TICK: Duration = Duration::from_millis(10);

/// Killed when dropped, with every process that it started: they share a group of their own.
pub(crate) struct Guard(Child);

impl Guard {
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let program = command.get_program().to_owned();
        command.process_group(0).spawn().map(Self).with_context(|| {
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

    /// Those of the group that have not ended.
    ///
    /// # Errors
    /// `/proc` is not there.
    pub(crate) fn living(&self) -> anyhow::Result<Vec<u32>> {
        let mut living = Vec::new();
        for entry in fs::read_dir("/proc").context("/proc cannot be read")? {
            let name = entry?.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // One that ended in the meantime has none.
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            if lives_in(&stat, self.id()) {
                living.push(id);
            }
        }
        Ok(living)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // It may have ended by itself, by the same signal that ends this program.
        let _ = self.0.kill();
        let group = self.living().unwrap_or_default();
        if let (false, Ok(id)) = (group.is_empty(), pid(self.id())) {
            let _ = kill_process_group(id, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

/// # Errors
/// There is no such process.
pub(crate) fn send(id: u32, signal: Signal) -> anyhow::Result<()> {
    kill_process(pid(id)?, signal).with_context(|| format!("process {id} cannot be signalled"))
}

fn pid(id: u32) -> anyhow::Result<Pid> {
    let id = i32::try_from(id)?;
    Pid::from_raw(id).context("0 is no process")
}

fn lives_in(stat: &str, group: u32) -> bool {
    let Some(mut fields) = after_name(stat) else {
        return false;
    };
    let (state, of) = (fields.next(), fields.nth(1));
    // Ended, and not yet waited for.
    let ended = matches!(state, None | Some("Z" | "X"));
    !ended && of == Some(group.to_string().as_str())
}

/// The fields of `/proc/PID/stat` from the third on. The second, the program's name in parentheses, may hold
/// anything.
fn after_name(stat: &str) -> Option<SplitAsciiWhitespace<'_>> {
    Some(stat[stat.rfind(')')? + 1..].split_ascii_whitespace())
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
    let mut fields = after_name(stat)?.skip(11);
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
    use std::{io::Read as _, process::Stdio};

    use super::*;

    #[test]
    fn processor_time_is_read_behind_a_name_with_parentheses_and_spaces() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 98 0 0 0 31 12 0 0 20 0 1 0 55 8904704";
        assert_eq!(cpu_of(stat), Some(Duration::from_millis(430)));
        assert_eq!(cpu_of("7 (a"), None);
        let ended = stat.replace(") S", ") Z");
        for (stat, group, lives) in [
            (stat, 7, true),
            (stat, 1, false),
            (&ended, 7, false),
            ("", 7, false),
        ] {
            assert_eq!(lives_in(stat, group), lives, "{stat} in {group}");
        }
    }

    #[test]
    fn what_a_process_started_ends_with_its_guard() {
        let mut command = Command::new("sh");
        command
            .args(["-c", "sleep 60 & echo; wait"])
            .stdout(Stdio::piped());
        let mut guard = Guard::start(&mut command).unwrap();
        let mut out = guard.child().stdout.take().unwrap();
        out.read_exact(&mut [0]).unwrap();
        assert_eq!(guard.living().unwrap().len(), 2);
        drop(guard);
        // Both held it.
        assert_eq!(out.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn this_process_has_memory_and_time() {
        let id = std::process::id();
        assert!(resident_bytes(id).unwrap() > 100_000);
        assert!(cpu(id).is_ok());
    }
}
