"""Lineage events, sent to a receiver on this machine."""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from encoder.errors import InputError
from encoder.lineage import STOP_LIMIT_S, Dataset, is_lineage_wanted, lineage
from tests.tools.receivers.lineage_receiver import LineageReceiver

pytest.importorskip("openlineage.client", reason="openlineage-python is not installed")
ROOT = Path(__file__).parents[3]
ALL = ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG", "OPENLINEAGE_DISABLED", "OPENLINEAGE_NAMESPACE")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The variables of this process, without those of lineage."""
    for name in ALL:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_a_run_sends_start_and_complete_with_its_data_sets(environment: pytest.MonkeyPatch) -> None:
    with LineageReceiver() as receiver:
        environment.setenv("OPENLINEAGE_URL", receiver.address)
        with lineage("export", [Dataset.of_topic("kafka:9092,other:9092", "events")]) as run:
            run.outputs.append(Dataset.at("/data/bundle", version="gru-0123456789ab", rows=7))
    start, complete = receiver.events
    assert (start["eventType"], complete["eventType"]) == ("START", "COMPLETE")
    assert start["run"]["runId"] == complete["run"]["runId"]
    assert complete["job"]["namespace"] == "thalweg"
    assert complete["job"]["name"] == "thalweg.export"
    assert complete["job"]["facets"]["jobType"]["processingType"] == "BATCH"
    assert complete["run"]["facets"]["processing_engine"]["name"] == "thalweg"
    assert [(data["namespace"], data["name"]) for data in complete["inputs"]] == [("kafka://kafka:9092", "events")]
    (output,) = complete["outputs"]
    assert (output["namespace"], output["name"]) == ("file", "/data/bundle")
    assert output["facets"]["version"]["datasetVersion"] == "gru-0123456789ab"
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 7
    assert start["outputs"] == []


@pytest.mark.parametrize(("error", "state"), [(InputError("user-7"), "FAIL"), (KeyboardInterrupt(), "ABORT")])
def test_a_run_that_ends_early_says_so_without_the_text(
    environment: pytest.MonkeyPatch, error: BaseException, state: str
) -> None:
    with LineageReceiver() as receiver:
        environment.setenv("OPENLINEAGE_URL", receiver.address)
        environment.setenv("OPENLINEAGE_NAMESPACE", "shop")
        with pytest.raises(type(error)), lineage("train"):
            raise error
    assert receiver.states() == ["START", state]
    assert receiver.events[1]["job"]["namespace"] == "shop"
    assert "user-7" not in json.dumps(receiver.events)
    if state == "FAIL":
        assert receiver.events[1]["run"]["facets"]["errorMessage"]["message"] == "InputError"


def test_a_configuration_in_a_file_is_read(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    events, config = tmp_path / "events.jsonl", tmp_path / "openlineage.yml"
    config.write_text(f"transport:\n  type: file\n  log_file_path: {events}\n  append: true\n")
    environment.setenv("OPENLINEAGE_CONFIG", str(config))
    with lineage("train", [Dataset.at("log.csv")]):
        pass
    assert [json.loads(line)["eventType"] for line in events.read_text().splitlines()] == ["START", "COMPLETE"]


def test_without_the_variables_nothing_is_sent(environment: pytest.MonkeyPatch) -> None:
    assert not is_lineage_wanted({})
    assert not is_lineage_wanted({"OPENLINEAGE_URL": ""})
    with LineageReceiver() as receiver:
        environment.setenv("OPENLINEAGE_URL", receiver.address)
        environment.setenv("OPENLINEAGE_DISABLED", "true")
        with lineage("train") as run:
            run.outputs.append(Dataset.at("x"))
    assert receiver.events == []


@pytest.mark.parametrize("kind", ["nobody listens", "never answers", "refuses"])
def test_a_receiver_that_is_away_neither_fails_nor_slows_a_run(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    with socket.socket() as server, LineageReceiver(status=500) as refusing:
        server.bind(("127.0.0.1", 0))
        if kind == "never answers":
            server.listen()
        address = refusing.address if kind == "refuses" else f"http://127.0.0.1:{server.getsockname()[1]}"
        environment.setenv("OPENLINEAGE_URL", address)
        began_s = time.monotonic()
        with lineage("train"):
            inside_s = time.monotonic() - began_s
            began_s = time.monotonic()
        assert time.monotonic() - began_s < STOP_LIMIT_S + 1
    assert inside_s < 3  # the client is loaded meanwhile
    assert "an event did not arrive" in capsys.readouterr().err


def test_a_missing_client_is_named(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("OPENLINEAGE_URL", "http://127.0.0.1:1")
    environment.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="`lineage` extra"), lineage("train"):
        pass


@pytest.mark.parametrize(
    ("path", "namespace", "name"),
    [
        ("/a/log.csv", "file", "/a/log.csv"),
        ("file:///a/log.csv", "file", "/a/log.csv"),
        ("s3://bucket/a/b", "s3://bucket", "a/b"),
        ("log.csv", "file", str(Path("log.csv").absolute())),
    ],
)
def test_names_of_data_sets(path: str, namespace: str, name: str) -> None:
    assert Dataset.at(path)[:2] == (namespace, name)
    assert Dataset.of_table("c:9042", "shop.users")[:2] == ("cassandra://c:9042", "shop.users")


def test_train_and_export_send_events(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = [sys.executable, "-c", "import sys; from streams import main; sys.exit(main())"]
    log = tmp_path / "log.jsonl"
    commands = [
        ["simulate", "--events", "300", "--users", "20", "--items", "20", "--out", str(log)],
        ["train", str(log), "--max-epochs", "1", "--out", str(tmp_path / "model")],
        ["export", str(tmp_path / "model"), "--out", str(tmp_path / "bundle")],
        ["export", str(tmp_path / "nothing"), "--out", str(tmp_path / "other")],
    ]
    with LineageReceiver() as receiver:
        environment.setenv("OPENLINEAGE_URL", receiver.address)
        codes = [subprocess.run([*run, *command], cwd=ROOT, capture_output=True).returncode for command in commands]
    assert codes == [0, 0, 0, 1]
    jobs = [(event["job"]["name"], event["eventType"]) for event in receiver.events]
    train, export = "thalweg.train", "thalweg.export"
    assert jobs == [
        (train, "START"),
        (train, "COMPLETE"),
        (export, "START"),
        (export, "COMPLETE"),
        (export, "START"),
        (export, "FAIL"),
    ]
    trained, exported = receiver.events[1], receiver.events[3]
    assert [data["name"] for data in trained["inputs"]] == [str(log)]
    assert trained["outputs"][0]["name"] == exported["inputs"][0]["name"] == str(tmp_path / "model")
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert exported["outputs"][0]["facets"]["version"]["datasetVersion"] == manifest["bundle_id"]
