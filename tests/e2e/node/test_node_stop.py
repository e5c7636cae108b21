# SPDX-License-Identifier: MIT
"""A Node worker ends as it was written to: its stop signal reaches it while all that it has is open,
and nclust asks it to disconnect only when that signal has not ended it."""
import re

from nodes import *

EACH = pytest.mark.parametrize("program", ("node", *OTHERS))
VERBS = pytest.mark.parametrize("verb, params", (("restart", {}), ("scale", {"count": 1}),
                                                 ("stop", {})), ids=("restart", "scale", "stop"))


def two(text, *, program="node", options=""):
    """Workers that listen and do this at their stop signal."""
    script = write("two.js", f"""
const server = require('http').createServer((q, r) => r.end('well')).listen({PORT});
process.on('exit', (code) => console.log(`exits with ${{code}}`));
process.on('SIGTERM', () => {{ {text} console.log('got SIGTERM,', process.pid); }});
""")
    return cluster(f"-n 2 --ready listen --stop-timeout 1h --bake 0 {options}", program, script,
                   clock=True)


def comes(it, text, step):
    """It is in the log in the end, as time passes."""
    wait(lambda: it.says(text) or it.advance(step), text)


def gets_its_signal(it, verb, **params):
    it.call(verb, no_wait=True, **params)
    comes(it, "got SIG", 0.001)


@EACH
@VERBS
@pytest.mark.parametrize("options", ("", "--balance rr", "--stop-signal INT"),
                         ids=("shared", "by-turns", "int"))
def test_it_serves_on_closes_its_server_and_flushes(program, verb, params, options):
    it = node("finish.js", PORT, program=program, options=f"--stop-timeout 1h --bake 0 {options}",
              clock=True)
    gets_its_signal(it, verb, **params)
    it.advance(5)
    write("close", "")
    it.logged("closed: well")
    assert not it.says("disconnected")
    comes(it, "disconnected", 0.5)
    assert not it.says("flushed")
    write("flush", "")
    it.logged("exits with 0")
    assert it.says("flushed")


@EACH
@VERBS
def test_who_exits_when_it_is_disconnected_has_its_handler_run_first(program, verb, params):
    it = two("""
  process.on('disconnect', () => process.exit(1));
  process.on('SIGUSR2', () => server.close(() => process.exit(0)));
""", program=program)
    gets_its_signal(it, verb, **params)
    it.advance(1700)
    assert not it.says("exits")
    kill(int(re.search(r"got SIGTERM, (\d+)", it.log()).group(1)), SIGUSR2)
    it.logged("exits with 0")


def test_who_keeps_its_server_is_asked_when_half_of_its_time_is_over():
    it = two("process.on('disconnect', () => console.log('disconnected'));")
    gets_its_signal(it, "stop")
    it.advance(1795)
    assert not it.says("disconnected")
    comes(it, "disconnected", 1)
    comes(it, "exits with 0", 1)


def test_without_a_server_it_ends_when_it_has_finished_after_its_signal():
    it = cluster("-n 1 --ready alive:1ms --stop-timeout 1h", "node", write("poll.js", """
const timer = setInterval(() => {}, 1000);
process.on('SIGTERM', () => setTimeout(() => clearInterval(timer), 10));
console.log('begun');
"""))
    it.logged("begun")
    it.call("restart")
    assert it.worker().last_exit.text == "exit 0"


# ---- without a stop signal ----

@pytest.mark.parametrize("ring", (0, 1))
@EACH
def test_who_has_finished_ends_and_is_started_again(program, ring):
    it = cluster(f"-n 1 --ready alive:1ms --env UV_USE_IO_URING={ring}", program, NO_TIMER, write("done.js", """
require('dns').lookup('localhost', () => setTimeout(() => console.log('done'), 10));
"""))
    it.event("started", n=3)
    assert {e.exit for e in it.happened("exited")} == {"exit 0"}


@pytest.mark.parametrize("options", ("--restart on-failure", "--restart never"))
def test_a_job_in_node_ends_when_it_is_done(options):
    it = start(f"-n 1 {options}", "node", write("done.js", "setTimeout(() => {}, 10)"))
    assert it.exit() == 0
    it = start(f"-n 1 {options} --ipc on", "node", write("listens.js", f"""
require('http').createServer((q, r) => r.end(`worker=${{require('cluster').isWorker}}`))
  .listen({PORT});"""))
    wait_listened()
    assert get().body == "worker=true"


@EACH
def test_who_polls_lives_on_and_can_open_its_server_late(program):
    it = cluster("-n 1 --ready alive:1ms", program, write("late.js", f"""
const fs = require('fs');
const look = () => {{
  if (!fs.existsSync('open')) setTimeout(look, 100);
  else require('http').createServer((q, r) => r.end('open')).listen({PORT});
}};
look();
"""), clock=True)
    worker = it.worker().pid
    it.advance(3600, step=60)
    write("open", "")
    wait_listened()
    assert get().body == "open" and it.worker().pid == worker


def test_who_waits_for_the_answer_to_its_question_has_not_finished():
    it = cluster("-n 1 --ready alive:1ms", "node", write("asks.js", f"""
const fs = require('fs');
const look = () => {{
  if (!fs.existsSync('open')) return setTimeout(look, 10);
  require('http').createServer((q, r) => r.end('open')).listen({PORT});
  fs.writeFileSync('asked', '');
}};
look();
"""), clock=True)
    worker = it.worker().pid
    it.advance(10, step=1)
    kill(it.pid, SIGSTOP)
    write("open", "")
    wait(lambda: os.path.exists(path("asked")) and lab.state(worker) == "S")
    lab.clock.advance(10)
    kill(it.pid, SIGCONT)
    wait_listened()
    assert get().body == "open" and it.worker().pid == worker


def test_who_hears_messages_of_others_lives_on():
    it = cluster("-n 2 --ready alive:1ms --relay others", "node", write("hears.js", """
process.on('message', (message) => console.log(message));
"""), clock=True)
    pids = it.pids()
    it.advance(3600, step=60)
    it.call("send", target="it.1", message='"hello"')
    it.logged("hello")
    assert it.pids() == pids
