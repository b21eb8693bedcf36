"""Follow the vectors of all users: updates.py BROKER TOPIC"""

import base64
import json
import struct
import sys

from kafka import KafkaConsumer, TopicPartition

broker, topic = sys.argv[1:]
consumer = KafkaConsumer(bootstrap_servers=broker, isolation_level="read_committed", enable_auto_commit=False)
consumer.assign([TopicPartition(topic, partition) for partition in consumer.partitions_for_topic(topic)])
consumer.seek_to_beginning()
for record in consumer:
    found = {"key": record.key.decode(), "vector": None}  # without a value, the bundle has forgotten the user
    if record.value is not None:
        update = json.loads(record.value)
        vector = base64.b64decode(update["representation"])
        found["vector"] = struct.unpack(f"<{len(vector) // 4}f", vector)
        found |= {name: update[name] for name in ("user_id", "bundle_id", "steps")}
    print(json.dumps(found), flush=True)
