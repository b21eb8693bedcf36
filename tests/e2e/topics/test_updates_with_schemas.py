"""Updates in Avro, Protobuf and JSON Schema, read as a program knows them that has nothing of Thalweg."""

import asyncio
import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import httpx
import numpy as np
import pytest

from export.runtime.bundle import Bundle
from streams.broker.decoding.protoc import compile_proto
from streams.config.settings import Settings
from streams.demo.worker_process import WorkerProcess
from streams.local import LocalServices
from streams.monitor.command import snapshot_of
from tests.support.deployment import Deployment, event, record
from tests.tools.schema_registry.apicurio import Apicurio
from tests.tools.schema_registry.written import message_class
