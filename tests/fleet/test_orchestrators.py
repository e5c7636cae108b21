# SPDX-License-Identifier: MIT
"""etc/examples for orchestrators, with the programs that read them.  There is no cluster here:
podman starts what a kubelet would."""
import glob
import json
import re
import shutil

import yaml

from harness import *

PLAY = f"{SRC}/etc/examples"
WEB = 9100
OUR_OWN = ("/var/lib/cni", "/var/lib/containers")


def pod(*words, **more):
    return run(need("podman"), *words, **more)


@pytest.fixture
def engine():
    """Podman's, which keeps what it has in this sandbox."""
    need("runc")
    for folder in OUR_OWN:
        os.makedirs(folder, exist_ok=True)
        run("mount", "-t", "tmpfs", "none", folder).ok()
    os.makedirs("/run/containers/networks")
    os.environ["CONTAINERS_CONF"] = write("containers.conf", """
        [containers]
        default_ulimits = ["nproc=1000:1000", "nofile=1024:1024"]
        [engine]
        runtime = "runc"
        cgroup_manager = "cgroupfs"
        events_logger = "file"
        [network]
        network_config_dir = "/run/containers/networks"
        """)
    shutil.copytree(PLAY, "examples")
    make_shop()
    yield
    for name in pod("ps", "-aq").out.split():
        print(name, pod("logs", name))
    for what in ("pod", "container"):
        pod(what, "rm", "-fa", "-t", 0)


def make_shop():
    """localhost/shop:1, as etc/examples/kubernetes/Containerfile makes it, but of this machine's
    nclust and libraries: a base image would have to be fetched."""
    http, = glob.glob("/usr/lib/*/libmicrohttpd.so.12")
    root = path("image/root")
    for folder in ("usr/bin", "srv", "run", "tmp"):
        os.makedirs(f"{root}/{folder}")
    os.chmod(f"{root}/tmp", 0o1777)
    os.symlink("usr/bin", f"{root}/bin")
    shutil.copy("/bin/sh", f"{root}/bin")
    run("strip", "-o", f"{root}/bin/nclust", inside(PROGRAM)).ok()
    shutil.copy(PLAIN, f"{root}/srv")
    write("image/root/srv/server", '#!/bin/sh\nexec /srv/plain "$1" --work 300\n', 0o755)
    needed = run("ldd", inside(PROGRAM), "/bin/sh", http).ok()
    for library in {http, *re.findall(r"(/\S+) \(", needed)}:
        os.makedirs(os.path.dirname(root + library), exist_ok=True)
        shutil.copy(library, root + library)
    write("image/Containerfile", 'FROM scratch\nADD root /\nENTRYPOINT ["nclust"]\n')
    pod("build", "-q", "-t", "localhost/shop:1", "image").ok()


def wait_workers(name, count):
    """So many are wanted, and all of them are ready."""
    def has():
        said = pod("exec", name, "nclust", "status", "shop", "--json")
        found = json.loads(said.out)["clusters"][0] if said.status == 0 else {"ready": -1}
        return found["ready"] == count == len(found["workers"])
    wait(has, f"{name} has {count} workers")


def http(page):
    try:
        return get(page, WEB).status
    except OSError:
        return None


def ended_well(name):
    """Nothing had to be killed."""
    assert pod("inspect", "-f", "{{.State.ExitCode}}", name).ok() == "0\n"
    said = pod("logs", name)
    assert "SIGKILL" not in said.out + said.err


# ---- Kubernetes ----

def render(folder):
    """Its objects, by their kind."""
    text = run(need("kubectl"), "kustomize", folder).ok()
    return text, {each["kind"]: each for each in yaml.safe_load_all(text)}


def test_kubernetes_the_base_and_production_are_rendered():
    _, of = render(f"{PLAY}/kubernetes/base")
    pods = of["Deployment"]["spec"]
    assert pods["replicas"] == 2
    assert of["Service"]["spec"]["ports"][0]["targetPort"] == "http"
    # the pods roll when the file changes: its name is that of its content
    name = of["ConfigMap"]["metadata"]["name"]
    assert name.startswith("shop-")
    assert pods["template"]["spec"]["volumes"][0]["configMap"]["name"] == name
    nclust("config --check -c", write("shop.ini", of["ConfigMap"]["data"]["shop.ini"])).ok()
    pods = render(f"{PLAY}/kubernetes/production")[1]["Deployment"]["spec"]
    one = pods["template"]["spec"]["containers"][0]
    assert (pods["replicas"], one["image"], one["resources"]["limits"]["cpu"],
            one["readinessProbe"]["httpGet"]["path"]) == (4, "localhost/shop:2", "4", "/readyz")


# One pod, of one CPU, as somebody's own overlay says it.
ONE = """
bases: [../base]
patches:
  - target: {kind: Deployment}
    patch: |-
      - {op: replace, path: /spec/replicas, value: 1}
      - {op: replace, path: /spec/template/spec/containers/0/resources/limits/cpu, value: "1"}
      - {op: replace, path: /spec/template/spec/containers/0/resources/requests/cpu, value: "1"}
"""


def test_kubernetes_podman_plays_a_pod_its_limit_probes_drain_and_stop(engine):
    write("examples/kubernetes/one/kustomization.yaml", ONE)
    text, of = render("examples/kubernetes/one")
    spec = of["Deployment"]["spec"]["template"]["spec"]
    shop = "shop-pod-0-shop"
    pod("kube", "play", write("all.yaml", text)).ok()
    wait_workers(shop, 1)
    wait(lambda: http("/readyz") == 200)
    assert http("/healthz") == 200
    pod("update", "--cpus", 2, shop).ok()  # resized in place
    wait_workers(shop, 2)
    one = Request()
    pod("exec", shop, *spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]).ok()
    assert one.answer().pid
    assert (http("/readyz"), http("/healthz")) == (503, 200)
    two = Request()
    # as a kubelet does: the pod's network ends later (`podman pod stop` ends both at once)
    pod("stop", "-t", spec["terminationGracePeriodSeconds"], shop, bound=2 * BOUND).ok()
    assert two.answer().pid
    ended_well(shop)


# ---- Compose ----

def test_compose_docker_compose_accepts_the_file():
    said = run(need("docker-compose"), "-f", f"{PLAY}/compose/compose.yaml", "config").ok()
    assert re.search("stop_grace_period: (65s|1m5s)", said)


def test_compose_podman_compose_runs_it_its_limit_health_and_stop(engine):
    def compose(*words):
        run(need("podman-compose"), "-f", "examples/compose/compose.yaml", *words,
            bound=2 * BOUND).ok()

    edit("examples/compose/compose.yaml", "cpus: 2", "cpus: 1")
    compose("up", "-d")
    shop = "compose_shop_1"
    wait_workers(shop, 1)
    wait(lambda: pod("healthcheck", "run", shop).status == 0)
    pod("update", "--cpus", 2, shop).ok()
    wait_workers(shop, 2)
    one = Request()
    compose("stop", "-t", 65)
    assert one.answer().pid
    ended_well(shop)


# ---- Nomad ----

TO_JSON = """
require("@cdktf/hcl2json").parse("job.hcl", require("fs").readFileSync(process.argv[1], "utf8"))
    .then((job) => console.log(JSON.stringify(job)))
"""


def test_nomad_the_jobs_syntax_is_right_and_nclust_starts_by_its_arguments():
    """The syntax alone: what the words mean only Nomad knows, and Debian has none."""
    cache = os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
    modules = f"{cache}/nclust/hcl/node_modules"
    if not os.path.isdir(f"{modules}/@cdktf/hcl2json"):
        pytest.skip("needs hcl2json (scripts/setup fleet)")
    job = run(need("node"), "-e", TO_JSON, f"{PLAY}/nomad/shop.nomad.hcl",
              env={**os.environ, "NODE_PATH": modules}).ok()
    group = json.loads(job)["job"]["shop"][0]["group"]["web"][0]
    check = group["service"][0]["check"][0]
    assert (check["port"], check["path"]) == ("nclust", "/readyz")
    assert group["network"][0]["port"]["nclust"][0]["to"] == WEB
    args = group["task"]["nclust"][0]["config"][0]["args"]
    assert f"--http 0.0.0.0:{WEB}" in " ".join(args)
    nclust("-d", *(PLAIN if a == "/srv/server" else a for a in args)).ok()
    assert get().pid and http("/readyz") == 200
    nclust("stop shop").ok()
