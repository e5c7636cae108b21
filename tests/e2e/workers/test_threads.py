# SPDX-License-Identifier: MIT
"""`threads`: what each worker is told to compute with, and `cpu = spread` with it."""
import re

from harness import *

CPUS = len(os.sched_getaffinity(0))


def all_of(count):
    names = ("GOMAXPROCS", "MKL_NUM_THREADS", "NCLUST_THREADS", "OMP_NUM_THREADS",
             "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS", "UV_THREADPOOL_SIZE")
    return {"JAVA_TOOL_OPTIONS": f"-XX:ActiveProcessorCount={count}",
            **{name: str(count) for name in names}}


@pytest.fixture(autouse=True)
def no_budget_of_ours():
    for name in all_of(0):
        os.environ.pop(name, None)


def budget(slot=0):
    return {name: value for name, value in born(slot).env.items()
            if re.search("THREAD|GOMAXPROCS|JAVA", name)}


@pytest.mark.parametrize("options, count", (
    ("", None),
    ("-n 1 --threads auto", CPUS),
    (f"-n {2 * CPUS} --threads auto", 1),
    ("-n 2 --threads 7", 7),
    ("-n 1 --threads auto --cpu-max 50%", 1),
))
def test_each_runtime_is_told_the_cpus_divided_by_the_workers_or_the_number(options, count):
    leak(options)
    assert budget() == (all_of(count) if count else {})


def test_what_the_user_has_set_is_left_alone_and_javas_options_are_kept():
    it = leak("--threads 3 --env OMP_NUM_THREADS=5,2 --env UV_THREADPOOL_SIZE=",
              env={"GOMAXPROCS": "11", "JAVA_TOOL_OPTIONS": "-Dfrom=outside"})
    assert budget() == {
        **all_of(3), "GOMAXPROCS": "11", "OMP_NUM_THREADS": "5,2", "UV_THREADPOOL_SIZE": "",
        "JAVA_TOOL_OPTIONS": "-Dfrom=outside -XX:ActiveProcessorCount=3"}
    # once, and not in two versions
    assert read(f"/proc/{it.worker().pid}/environ").count("\0JAVA_TOOL_OPTIONS=") == 1


def test_a_number_that_javas_options_have_is_kept():
    own = "-XX:ActiveProcessorCount=9 -Xmx1g"
    leak(f"--threads 3 --env 'JAVA_TOOL_OPTIONS={own}'")
    assert born().env.JAVA_TOOL_OPTIONS == own


def need_two_cpus():
    if CPUS < 2:
        pytest.skip("needs 2 CPUs")


def test_after_a_scale_the_next_ones_get_the_new_number_the_others_keep_theirs():
    need_two_cpus()
    it = leak("--threads auto")
    assert born().env.NCLUST_THREADS == str(CPUS)
    it.call("scale", count=2)
    assert born(1).env.NCLUST_THREADS == str(CPUS // 2)
    assert born(0).env.NCLUST_THREADS == str(CPUS)
    it.call("restart")
    assert born(0).env.NCLUST_THREADS == str(CPUS // 2)


@pytest.mark.parametrize("options, cpus", (
    ("-n 3", [1, 1, 1]),
    ("-n 1 --threads auto", [CPUS]),
    ("-n 2 --threads auto", [CPUS // 2, CPUS - CPUS // 2]),
    ("-n 2 --threads 2", [2, 2]),
))
def test_cpu_spread_pins_a_worker_to_as_many_cpus_as_it_has_threads(options, cpus):
    need_two_cpus()
    leak(f"{options} --cpu spread")
    sets = [born(slot).cpus for slot in range(len(cpus))]
    assert sorted(map(len, sets)) == cpus
    ours = sorted(os.sched_getaffinity(0))
    if sum(cpus) >= CPUS:  # all are used, and in turn
        assert sorted(set(sum(sets, []))) == ours
    if cpus[0] == 1:
        assert sets == [[ours[slot % CPUS]] for slot in range(len(cpus))]


# ---- runtimes go by it ----

@pytest.mark.parametrize("options, told", (
    ("--threads 5", f"{CPUS} 5 5"),
    ("--cpu spread", "1  4"),
))
def test_node_goes_by_it(options, told):
    out = path("told")
    cluster(f"-n 1 {options} --ready 'exec:test -s {out}'", need("node"), server("threads.js"), out)
    assert read(out) == told


@pytest.mark.nightly
def test_a_jvm_and_openmp_go_by_it():
    write("Count.java", """
        public class Count {
            public static void main(String[] args) throws Exception {
                try (var out = new java.io.PrintWriter(args[0])) {
                    out.println(Runtime.getRuntime().availableProcessors());
                }
                Thread.sleep(600000);
            }
        }""")
    write("count.c", """
        #include <omp.h>
        #include <stdio.h>
        #include <unistd.h>
        int main(int n, char **a)
        {
            FILE *f = fopen(a[n - 1], "w");
            fprintf(f, "%d\\n", omp_get_max_threads());
            fclose(f);
            pause();
        }""")
    run("gcc", "-fopenmp", "-o", "count", "count.c").ok()
    for name, *program in (("java", need("java"), "Count.java"), ("openmp", path("count"))):
        out = path(f"{name}.out")
        it = cluster(f"-n 1 --threads 5 --ready 'exec:test -s {out}'", *program, out)
        assert read(out) == "5\n"
        it.stop()
