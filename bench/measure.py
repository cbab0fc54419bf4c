"""Load on one thing, and what it cost: CPU time and memory out of /proc."""
import os
import re
import subprocess
import time
from dataclasses import dataclass

HERE = os.path.dirname(os.path.abspath(__file__))
TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Result:
    """What one round gave; times in milliseconds, cpu in seconds per 1000."""
    rate: float
    cpu: float
    p50: float = None
    p99: float = None


def processes():
    """pid → (its parent, its name, CPU seconds with children it has waited for)."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                head, _, tail = file.read().rpartition(")")
        except OSError:
            continue
        fields = tail.split()
        ticks = sum(map(int, fields[11:15]))
        found[int(pid)] = int(fields[1]), head.partition("(")[2], ticks / TICK
    return found


def tree(roots, found):
    """The roots and all their descendants."""
    members = set(roots)
    while True:
        more = {pid for pid, (parent, _, _) in found.items()
                if parent in members and pid not in members}
        if not more:
            return members & found.keys()
        members |= more


def children(pid, name):
    return [child for child, (parent, comm, _) in processes().items()
            if parent == pid and comm == name]


def cpu(roots):
    found = processes()
    return sum(found[pid][2] for pid in tree(roots, found))


def cpu_clock(pid):
    """The clock of what a process has spent, in seconds, exact (CPUCLOCK_SCHED)."""
    clock = (~pid << 3) | 2
    return lambda: time.clock_gettime(clock)


def memory(roots):
    """Megabytes, shared pages counted in part (PSS)."""
    kilobytes = 0
    for pid in tree(roots, processes()):
        with open(f"/proc/{pid}/smaps_rollup") as file:
            kilobytes += int(re.search(r"^Pss: +(\d+)", file.read(), re.M)[1])
    return kilobytes / 1024


def run(command, roots, environment=None):
    """Runs a load; its output, and the CPU seconds of the roots meanwhile."""
    before = cpu(roots)
    done = subprocess.run(command, env={**os.environ, **(environment or {})},
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"bench: {command[0]} failed: {done.stderr or done.stdout}")
    time.sleep(0.2)     # for the time of processes that end now to reach their parents
    return done.stdout, cpu(roots) - before


def numbers(output):
    return list(map(float, re.search(r"^RESULT (.*)$", output, re.M)[1].split()))


def alternate(loads, rounds):
    """Every load once a round, in turn; {name: results}."""
    results = {name: [] for name in loads}
    for _ in range(rounds):
        for name, load in loads.items():
            results[name].append(load())
    return results


def http(script, url, tokens, roots, connections, seconds):
    """A script of wrk, read or write, on one front-end."""
    output, spent = run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s",
         "-s", f"{HERE}/{script}.lua", url], roots, {"BENCH_TOKENS": tokens})
    count, micros, p50, p99, errors = numbers(output)
    if errors:
        raise SystemExit(f"bench: {errors:.0f} errors of {count:.0f} requests at {url}")
    return Result(count / micros * 1e6, spent / count * 1000, p50 / 1000, p99 / 1000)


def pipeline(mode, tokens, roots, seconds, environment):
    """PostgreSQL alone: 4 connections with 16 calls in flight each."""
    output, spent = run(
        [f"{HERE}/pg_pipeline", mode, "4", "16", str(seconds), tokens], roots, environment)
    count, micros = numbers(output)
    return Result(count / micros * 1e6, spent / count * 1000)


def pgbench(roots, seconds, environment, script, clients, statements):
    """A script by pgbench; what counts are its statements."""
    output, spent = run(
        ["pgbench", "-n", "-M", "prepared", f"-c{clients}", "-j1", "-T", str(seconds),
         "-f", script], roots, environment)
    count = statements * int(re.search(r"actually processed: (\d+)", output)[1])
    rate = statements * float(re.search(r"tps = ([\d.]+)", output)[1])
    return Result(rate, spent / count * 1000)


def redis(path, roots, seconds, clients, depth, command):
    """One command by redis-benchmark, for about so long."""
    def measured(count):
        output, spent = run(
            ["redis-benchmark", "-s", path, "-c", str(clients), "-P", str(depth), "-r", "1000",
             "-n", str(count), "--csv", *command], roots)
        return Result(float(re.findall(r'"([\d.]+)"', output)[0]), spent / count * 1000)

    return measured(int(measured(10000 * depth).rate * seconds))
