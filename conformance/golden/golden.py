"""The session of golden_test.go, with kafka-python."""

import os

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

BOOTSTRAP = os.environ["BOOTSTRAP"]

admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
admin.create_topics({"golden": {"num_partitions": 2, "replication_factor": 1}})
admin.wait_for_topics(["golden"])
admin.close()

producer = KafkaProducer(bootstrap_servers=BOOTSTRAP)
for value in (b"a", b"b", b"c"):
    producer.send("golden", value).get(10)
producer.close()

consumer = KafkaConsumer("golden", bootstrap_servers=BOOTSTRAP, group_id="readers", auto_offset_reset="earliest", enable_auto_commit=False)
for _ in range(3):
    next(consumer)
consumer.commit()
consumer.close()
