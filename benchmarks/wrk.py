"""Load by wrk: a generated Lua script that posts many different bodies in turn, to one scope or to many."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from benchmarks.traffic import API_KEYS

PATH: Final = "/analytics"
THREADS: Final = 2
KEY_FORM: Final = "k%07dZq8vT3mXw5LrYb7NcUe2HsJd"
PLACEHOLDER: Final = KEY_FORM % 9_999_999

_RUNS: Final = count(1)
"""The number of each run of wrk, from the start of the process: it draws other API keys than the ones before, but the
same ones each time that the same is measured."""

# Every thread starts at its own place in the rotation, so that two never post in step.
_SCRIPT: Final = """
local heads, tails, at = {}, {}, 0
local counter = 0
function setup(thread) counter = counter + 1; thread:set("number", counter) end
function init()
  local index = io.open("{folder}/index", "r")
  local bodies = io.open("{folder}/bodies", "rb")
  for line in index:lines() do
    local size = tonumber(line)
    tails[#tails + 1] = "Content-Length: " .. size .. "\\r\\n\\r\\n" .. bodies:read(size)
  end
  if {keys} > 0 then
    math.randomseed({run} * 100 + number)
    for i = 1, #tails do tails[i] = cut(tails[i]) end
  end
  for scope in io.lines("{folder}/scopes") do
    heads[#heads + 1] = "POST {path}/" .. scope .. " HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n{headers}"
  end
  at = (number - 1) * 7919
end
-- A body between its API keys; the keys are drawn anew for each request, the k-th one 1/k as often as the first.
function cut(text)
  local pieces, from = {}, 1
  while true do
    local first, last = text:find("{placeholder}", from, true)
    pieces[#pieces + 1] = text:sub(from, (first or 0) - 1)
    if not first then return pieces end
    from = last + 1
  end
end
function fill(pieces)
  local filled = {pieces[1]}
  for i = 2, #pieces do
    filled[#filled + 1] = string.format("{key}", math.floor({keys} ^ math.random()) - 1)
    filled[#filled + 1] = pieces[i]
  end
  return table.concat(filled)
end
function request()
  at = at + 1
  local tail = tails[at % #tails + 1]
  return heads[at % #heads + 1] .. ({keys} > 0 and fill(tail) or tail)
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\n@{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "refused": %d, "broken": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.status, e.connect + e.read + e.write + e.timeout))
end
"""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is posted, and by how many clients at once."""

    bodies: Sequence[bytes]
    records: int
    """Records in each body."""
    connections: int
    seconds: float
    is_gzip: bool = False
    scopes: Sequence[str] = ("scope-00000",)
    keys: Sequence[str] = API_KEYS
    """API keys that each tenant knows."""
    drawn_keys: int = 0
    """In place of ``PLACEHOLDER`` comes one of so many keys (``KEY_FORM``), drawn with a Zipf skew; 0: none does."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What came back."""

    requests: int
    seconds: float
    p50_milliseconds: float
    p99_milliseconds: float
    refused: int
    """Answers other than 200."""
    broken: int
    """Connections that failed, and time-outs."""


def joined(answers: Sequence[Answers]) -> Answers:
    """Join what came back in several turns: counts added, latencies averaged."""
    return Answers(
        requests=sum(one.requests for one in answers),
        seconds=sum(one.seconds for one in answers),
        p50_milliseconds=sum(one.p50_milliseconds for one in answers) / len(answers),
        p99_milliseconds=sum(one.p99_milliseconds for one in answers) / len(answers),
        refused=sum(one.refused for one in answers),
        broken=sum(one.broken for one in answers),
    )


def command(load: Load, port: int, script: str = "post.lua") -> list[str]:
    """Return wrk's command line; wrk takes whole seconds only."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise FileNotFoundError("wrk is not installed; on Debian and Ubuntu: apt-get install wrk")
    amount = ["-t", str(THREADS), "-c", str(load.connections), "-d", f"{max(1, round(load.seconds))}s"]
    return [wrk, *amount, "--timeout", "30s", "-s", script, f"http://127.0.0.1:{port}"]


def run(load: Load, port: int, *, niceness: int = 0) -> Answers:
    """Put the load on a port of this machine and return what came back."""
    with tempfile.TemporaryDirectory(prefix="apa-wrk-") as folder:
        script = _write_script(load, Path(folder))
        with subprocess.Popen(
            ["nice", "-n", str(niceness), *command(load, port, str(script))],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            _set_session_niceness(process.pid, niceness)
            try:
                output, _ = process.communicate(timeout=load.seconds + 60)
            except BaseException:
                process.kill()
                raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args, output)
    return _parse(output)


def _set_session_niceness(leader: int, niceness: int) -> None:
    """Have all of a session give way to other sessions: where each has its own share, ``nice`` counts inside only."""
    with suppress(OSError):  # this kernel does not group by session
        Path(f"/proc/{leader}/autogroup").write_text(str(niceness))


def _write_script(load: Load, folder: Path) -> Path:
    (folder / "bodies").write_bytes(b"".join(load.bodies))
    (folder / "index").write_text("".join(f"{len(body)}\n" for body in load.bodies))
    (folder / "scopes").write_text("".join(f"{scope}\n" for scope in load.scopes))
    encoding = "Content-Encoding: gzip\\r\\n" if load.is_gzip else ""
    headers = f"Content-Type: application/json\\r\\nAccept: application/json\\r\\n{encoding}"
    script = _SCRIPT.replace("{folder}", str(folder)).replace("{path}", PATH).replace("{headers}", headers)
    drawn = {"{run}": str(next(_RUNS)), "{keys}": str(load.drawn_keys), "{key}": KEY_FORM, "{placeholder}": PLACEHOLDER}
    for name, value in drawn.items():
        script = script.replace(name, value)
    path = folder / "post.lua"
    path.write_text(script)
    return path


def _parse(output: str) -> Answers:
    summary = next((line for line in output.splitlines() if line.startswith("@")), None)
    if summary is None:
        raise ValueError(f"wrk printed no summary:\n{output[-2000:]}")
    found = json.loads(summary[1:])
    return Answers(
        requests=found["requests"],
        seconds=found["microseconds"] / 1e6,
        p50_milliseconds=found["p50"] / 1e3,
        p99_milliseconds=found["p99"] / 1e3,
        refused=found["refused"],
        broken=found["broken"],
    )
