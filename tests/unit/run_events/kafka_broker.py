"""A Kafka broker of librdkafka, which real clients of other processes talk to: `topic NAME`, `down`, `up`.

Prints its address, then a 0 for each order that was carried out.
"""

import ctypes
import sys
from pathlib import Path

import confluent_kafka

FOLDER = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
LIBRARY = ctypes.CDLL(str(next(FOLDER.glob("librdkafka-*"))))
HANDLE, NUMBER, TEXT = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p


def call(name, result, *arguments):
    function = getattr(LIBRARY, name)
    function.restype, function.argtypes = result, [kind for kind, _ in arguments]
    return function(*(value for _, value in arguments))


def main():
    client = call(
        "rd_kafka_new",
        HANDLE,
        (NUMBER, 0),
        (HANDLE, call("rd_kafka_conf_new", HANDLE)),
        (HANDLE, None),
        (ctypes.c_size_t, 0),
    )
    cluster = (HANDLE, call("rd_kafka_mock_cluster_new", HANDLE, (HANDLE, client), (NUMBER, 1)))
    call("rd_kafka_mock_group_initial_rebalance_delay_ms", None, cluster, (ctypes.c_int32, 0))
    sys.stdout.write(call("rd_kafka_mock_cluster_bootstraps", TEXT, cluster).decode() + "\n")
    sys.stdout.flush()
    for line in sys.stdin:
        order, *name = line.split()
        if order == "topic":
            done = call(
                "rd_kafka_mock_topic_create", NUMBER, cluster, (TEXT, name[0].encode()), (NUMBER, 1), (NUMBER, 1)
            )
        else:
            done = call(f"rd_kafka_mock_broker_set_{order}", NUMBER, cluster, (NUMBER, 1))
        sys.stdout.write(f"{done}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
