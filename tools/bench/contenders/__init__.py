"""The contenders, one file for each system. The first one is what the others' ratios are taken of."""

from tools.bench.contender import Contender
from tools.bench.contenders.meshbus import MESHBUS
from tools.bench.contenders.zmq_proxy import ZMQ_PROXY

CONTENDERS: dict[str, Contender] = {contender.name: contender for contender in (*ZMQ_PROXY, *MESHBUS)}
