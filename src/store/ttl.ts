/** Seconds after which a key goes by itself unless its writer renews it. */
export const TTL = {
  /** flannel's own (pkg/subnet/etcd: subnetTTL): an outage of etcd or of a host may last this long. */
  subnet: 24 * 60 * 60,
  /** As long as the subnet they live in. */
  endpoint: 24 * 60 * 60,
  privatePrefixes: 24 * 60 * 60,
  /** Liveness: how long a dead host still looks alive. */
  host: 30,
} as const
