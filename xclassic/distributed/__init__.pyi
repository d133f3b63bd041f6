from .clusters import use_cluster as use_cluster
from .pieces import fit_shard as fit_shard
from .pieces import join_shards as join_shards
from .pieces import resume as resume
