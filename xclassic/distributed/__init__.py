"""Fits in pieces: shards that run apart, fits that go on after a failure, and clusters."""

from xclassic.cluster import ClusterError
from xclassic.distributed.clusters import predict_partitions, use_cluster
from xclassic.distributed.pieces import fit_shard, join_shards, resume

__all__ = ["ClusterError", "fit_shard", "join_shards", "predict_partitions", "resume", "use_cluster"]
