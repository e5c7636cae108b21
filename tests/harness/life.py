# SPDX-License-Identifier: MIT
"""The life of two workers that share a port though each binds it for itself."""
import re
import socket

from . import lab
from .load import Visits
from .net import PORT, dial, queued, wait_listened


def worker_of(answer):
    """Whose an answer such as "pid=7" is.  Each worker leads a session: a child's is that."""
    found = re.search(r"pid=(\d+)", answer)
    return found and int((lab.stat(found.group(1)) + [0] * 4)[3])


class Life:
    """`Life(cluster("-n 2", SERVER, PORT)).lead()`, or one stage after the other.  What the
    server is like:

    say, want   what it is asked, and what is in its answer
    six         it is asked by IPv6
    at_once     how many requests a worker may have accepted at a time: no more are lost by
                its death
    drains      it answers what it has accepted before its stop signal ends it: a restart
                loses nothing.  Other servers lose what they had accepted, never what waited.
    shuts       it calls shutdown(2) on its listener when it stops, which takes that from all
                until nclust has healed it: who connects in that moment is refused
    addresses   how many it binds, and how many sockets at each of them (copies)
    who         the worker that has given an answer"""

    def __init__(self, it, port=PORT, say="GET / HTTP/1.0\r\n\r\n", want="pid=", six=False,
                 at_once=1, drains=False, shuts=False, addresses=1, copies=1,
                 who=worker_of):
        self.it, self.port, self.say, self.six, self.who = it, port, say, six, who
        self.at_once, self.drains, self.shuts = at_once, drains, shuts
        self.addresses, self.copies = addresses, copies
        self.visit = ["--say", say, "--want", want, *(["--six"] if six else [])]

    def lead(self):
        self.both_answer()
        self.port_is_learned()
        self.queue_survives_all()
        self.death_under_load()
        self.restart_under_load()
        self.more_and_fewer()
        self.nothing_stays()

    def visits(self, *args):
        """Clients that ask all the time."""
        return Visits(self.port, *self.visit, *args)

    def ask(self):
        """The answer to one request."""
        if self.shuts:
            wait_listened(self.port)
        with dial(self.port, "::1" if self.six else "127.0.0.1") as s, s.makefile("rb") as f:
            s.sendall(self.say.encode())
            return f.read().decode(errors="replace")

    def who_answers(self):
        return self.who(self.ask())

    def answers_alone(self, pid):
        """This worker answers while all others stand still."""
        others = [p for p in self.it.pids() if p != pid]
        lab.freeze(*others)
        try:
            assert self.who_answers() == pid
        finally:
            lab.thaw(*others)

    def both_answer(self):
        pids = self.it.pids()
        assert len(pids) == self.it.cluster().ready == 2
        for pid in pids:
            self.answers_alone(pid)

    def port_is_learned(self):
        """As many sockets as one of the servers has, however many servers there are."""
        learned = [x.address for x in self.it.cluster().listeners
                   if x.learned and x.address.endswith(f":{self.port}")]
        assert len(set(learned)) == self.addresses
        assert len(learned) == self.addresses * self.copies
        said = rf"listening on tcp:.*:{self.port}, (?:opened by|taken over from) it"
        assert len(re.findall(said, self.it.log())) == len(learned)

    def queue_survives_all(self):
        """Both are killed while connections wait: their successors answer these."""
        it = self.it
        old = it.workers()
        lab.freeze(*(w.pid for w in old))
        visits = self.visits("--clients", 6, "--count", 1)
        lab.wait(lambda: queued(self.port) >= 6, "six connections wait")
        for worker in old:
            lab.kill(worker.pid)
        assert visits.result() == {"answered": 6, "refused": 0, "lost": 0, "late": 0}
        for worker in old:
            lab.wait(lambda: it.worker(worker.slot).restarts > worker.restarts, "a successor")
        it.wait_ready()

    def death_under_load(self):
        it = self.it
        old = it.worker(0)
        visits = self.visits()
        visits.more()
        lab.kill(old.pid)
        lab.wait(lambda: it.worker(0).restarts > old.restarts, "a successor")
        it.wait_ready()
        visits.more()
        got = visits.end()
        assert (got.refused, got.late) == (0, 0)
        assert got.lost <= self.at_once
        # what it leaves behind goes with it
        lab.wait_gone(*lab.session(old.pid))

    def restart_under_load(self):
        it = self.it
        generation = it.cluster().generation
        visits = self.visits()
        visits.more()
        it.call("restart")
        visits.more()
        got = visits.end()
        now = it.cluster()
        assert (now.generation, now.ready) == (generation + 1, 2)
        assert got.late == 0
        if not self.shuts:
            assert got.refused == 0
            assert got.lost <= (0 if self.drains else 2 * self.at_once)

    def more_and_fewer(self):
        it = self.it
        first = it.worker(0).pid
        it.call("scale", count=3)
        assert it.cluster().ready == 3
        self.answers_alone(it.worker(2).pid)
        others = [p for p in it.pids() if p != first]
        it.call("scale", count=1)
        assert it.pids() == [first]
        assert self.who_answers() == first
        assert all(map(lab.is_gone, others))

    def nothing_stays(self):
        assert self.it.stop() == 0
        assert lab.living() == []
        for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            with socket.socket(family) as s:  # the port is anybody's again
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind((host, self.port))
