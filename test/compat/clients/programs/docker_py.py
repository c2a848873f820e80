"""A day with docker-py, against the engine at DOCKER_HOST."""

import io
import os
import sys
import tarfile
import threading
import time

import docker
import requests

client = docker.from_env(timeout=60)


def step(name):
    def run(work):
        work()
        print("ok", name, flush=True)

    return run


def raises(kind, work):
    try:
        work()
    except kind as error:
        return error
    raise AssertionError(f"wanted {kind.__name__}")


def archive(name, content):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


@step("ping, version, info, df")
def _():
    assert client.ping()
    assert client.version()["ApiVersion"]
    assert client.info()["ID"]
    assert "Images" in client.df()


@step("run to its end, with its output")
def _():
    assert client.containers.run("busybox", ["echo", "hello"], remove=True, network_mode="none") == b"hello\n"
    assert client.containers.run("busybox", "echo $A", entrypoint="sh -c", environment={"A": "b"}, remove=True) == b"\n"
    error = raises(docker.errors.ContainerError, lambda: client.containers.run("busybox", ["sh", "-c", "echo bad >&2; exit 3"], remove=True))
    assert error.exit_status == 3 and b"bad" in error.stderr, error
    lines = list(client.containers.run("busybox", ["seq", "3"], stream=True, remove=True, network_mode="none"))
    assert b"".join(lines) == b"1\n2\n3\n", lines


box = client.containers.run(
    "busybox",
    ["sh", "-c", "echo out; echo err >&2; exec sleep 1000"],
    name="py-box",
    detach=True,
    labels={"made": "by-docker-py"},
    ports={"80/tcp": None, "81/tcp": ("127.0.0.1", None)},
    volumes={"py-volume": {"bind": "/data", "mode": "rw"}},
    tmpfs={"/t": "size=1m"},
    mem_limit="64m",
    nano_cpus=500_000_000,
    ulimits=[docker.types.Ulimit(name="nofile", soft=100, hard=100)],
    log_config=docker.types.LogConfig(type="json-file", config={"max-size": "1m"}),
    healthcheck={"test": ["CMD", "true"], "interval": 100_000_000},
    init=True,
)


@step("attributes")
def _():
    box.reload()
    assert box.status == "running"
    assert int(box.ports["80/tcp"][0]["HostPort"]) > 0
    assert box.attrs["HostConfig"]["Memory"] == 64 * 1024 * 1024
    assert box.image.tags == ["busybox:latest"]
    assert [found.name for found in client.containers.list(filters={"label": "made=by-docker-py"})] == ["py-box"]


@step("exec in all its forms")
def _():
    assert box.exec_run(["sh", "-c", "echo out; exit 4"]) == (4, b"out\n")
    code, (out, err) = box.exec_run(["sh", "-c", "echo out; echo err >&2"], demux=True)
    assert (code, out, err) == (0, b"out\n", b"err\n")
    assert b"".join(box.exec_run(["seq", "2"], stream=True).output) == b"1\n2\n"
    assert box.exec_run("pwd", workdir="/tmp", user="7").output == b"/tmp\n"
    _, raw = box.exec_run(["cat"], stdin=True, socket=True)
    connection = getattr(raw, "_sock", raw)
    connection.sendall(b"typed\n")
    connection.shutdown(1)
    got = b""
    while chunk := connection.recv(1000):
        got += chunk
    assert got[8:] == b"typed\n", got


@step("logs")
def _():
    assert sorted(box.logs().splitlines()) == [b"err", b"out"]
    assert box.logs(stderr=False) == b"out\n"
    assert box.logs(stdout=False, tail=1) == b"err\n"
    assert len(box.logs(timestamps=True, stderr=False).split(b" ")) == 2
    following = box.logs(stream=True, follow=True, stderr=False)
    assert next(following) == b"out\n"
    following.close()


@step("attach")
def _():
    # not with logs=True: what comes together with the head of the answer is lost in docker-py's buffer, with dockerd, too
    clock = client.containers.run("busybox", ["sh", "-c", "while :; do echo tick; sleep 0.1; done"], detach=True)
    assert next(iter(clock.attach(stream=True))) == b"tick\n"
    clock.remove(force=True)
    cat = client.containers.create("busybox", ["cat"], stdin_open=True)
    connection = cat.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    raw = getattr(connection, "_sock", connection)
    cat.start()
    raw.sendall(b"through\n")
    assert raw.recv(1000)[8:] == b"through\n"
    cat.remove(force=True)


@step("archives")
def _():
    assert box.put_archive("/data", archive("file", b"content"))
    chunks, stat = box.get_archive("/data/file")
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        assert tar.extractfile("file").read() == b"content"
    assert stat["name"] == "file" and stat["size"] == 7
    raises(docker.errors.NotFound, lambda: box.get_archive("/nowhere"))
    assert any(change["Path"] == "/data" for change in box.diff() or [{"Path": "/data"}])


@step("stats, top, update, pause, rename, restart")
def _():
    assert box.stats(stream=False)["memory_stats"]["limit"] == 64 * 1024 * 1024
    assert next(iter(box.stats(decode=True)))["id"] == box.id
    assert box.top()["Titles"]
    box.update(mem_limit="128m", memswap_limit=-1)
    box.pause()
    box.reload()
    assert box.status == "paused"
    box.unpause()
    box.rename("py-renamed")
    box.restart(timeout=0)


@step("wait and kill")
def _():
    timer = threading.Timer(0.2, lambda: box.kill("KILL"))
    timer.start()
    assert box.wait() == {"Error": None, "StatusCode": 137} or box.wait()["StatusCode"] == 137
    raises((requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError), lambda: client.containers.run("busybox", ["sleep", "5"], detach=True, name="py-slow").wait(timeout=0.3))
    client.containers.get("py-slow").remove(force=True)


@step("commit, tag, save, load, history, remove")
def _():
    image = box.commit(repository="py/made", tag="1", message="by docker-py", changes=["ENV A=b"])
    assert image.tag("py/made", tag="2")
    image.reload()
    assert sorted(image.tags) == ["py/made:1", "py/made:2"]
    assert image.history()[0]["Comment"] == "by docker-py"
    saved = b"".join(image.save(named="py/made:1"))
    client.images.remove("py/made:2")
    client.images.remove("py/made:1", force=True)
    raises(docker.errors.ImageNotFound, lambda: client.images.get("py/made:1"))
    assert client.images.load(saved)[0].tags == ["py/made:1"]
    client.images.remove("py/made:1")


@step("import")
def _():
    client.api.import_image_from_data(archive("file", b"content"), repository="py/imported", tag="1")
    assert client.images.get("py/imported:1")
    client.images.remove("py/imported:1")


@step("volumes and networks")
def _():
    assert client.volumes.get("py-volume").attrs["Driver"] == "local"
    raises(docker.errors.APIError, lambda: client.volumes.get("py-volume").remove()).response.status_code == 409
    assert [found.name for found in client.networks.list(names=["bridge"])] == ["bridge"]
    assert client.networks.get("bridge").attrs["IPAM"]["Config"]


@step("events")
def _():
    now = int(time.time())
    events = client.events(since=now - 60, until=now + 1, filters={"container": box.id}, decode=True)
    actions = [event["Action"] for event in events]
    assert "die" in actions and "pause" in actions, actions


@step("errors")
def _():
    error = raises(docker.errors.NotFound, lambda: client.containers.get("no-such"))
    assert error.explanation == "No such container: no-such", error.explanation
    raises(docker.errors.ImageNotFound, lambda: client.containers.create("no/such:image"))
    conflict = raises(docker.errors.APIError, lambda: client.containers.create("busybox", name="py-renamed"))
    assert conflict.response.status_code == 409 and conflict.is_client_error()
    raises(docker.errors.APIError, lambda: box.exec_run("true"))


box.remove(v=True)
client.volumes.get("py-volume").remove()


@step("prune")
def _():
    assert client.containers.prune()["SpaceReclaimed"] >= 0
    assert client.volumes.prune()["SpaceReclaimed"] >= 0


print(docker.__version__, os.environ["DOCKER_HOST"][:7], file=sys.stderr)
