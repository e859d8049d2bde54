"""The contenders, one file for each system. The first one is what the others' ratios are taken of."""

from tools.bench.contender import Contender
from tools.bench.contenders.jetstream import JETSTREAM
from tools.bench.contenders.meshbus import MESHBUS
from tools.bench.contenders.mosquitto import MOSQUITTO
from tools.bench.contenders.nats_core import NATS_CORE
from tools.bench.contenders.redis_pubsub import REDIS_PUBSUB
from tools.bench.contenders.redis_streams import REDIS_STREAMS
from tools.bench.contenders.zenoh_peers import ZENOH_PEERS
from tools.bench.contenders.zmq_proxy import ZMQ_PROXY

CONTENDERS: dict[str, Contender] = {
    contender.name: contender
    for contender in (
        *MESHBUS,
        *NATS_CORE,
        *JETSTREAM,
        *REDIS_PUBSUB,
        *REDIS_STREAMS,
        *ZENOH_PEERS,
        *MOSQUITTO,
        *ZMQ_PROXY,
    )
}
