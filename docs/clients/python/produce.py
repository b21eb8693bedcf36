"""Send behaviour events, one JSON object per line: produce.py BROKER TOPIC < events.jsonl"""

import json
import sys

from kafka import KafkaProducer

broker, topic = sys.argv[1:]
# acks="all" and idempotence are the defaults of kafka-python 3. The partitioner is murmur2 of the key.
producer = KafkaProducer(bootstrap_servers=broker, acks="all", enable_idempotence=True, compression_type="gzip")
sent = []
for line in sys.stdin:
    user_id = json.loads(line)["user_id"]
    sent.append(producer.send(topic, key=user_id.encode(), value=line.strip().encode()))
producer.flush()
for future in sent:
    future.get()  # raises the error of a record that was not written
producer.close()
print(f"{len(sent)} events sent")
