/**
 * What docker says to a command for which the lab's etcd does not answer: one call of etcd's has had its time, or on a busy
 * machine, before that, all calls together had theirs.
 */
export const ETCD_SILENCE =
  /etcd at http:\/\/172\.18\.10\.95:2379 has not answered since 20\S+Z|etcd did not do it within [\d.]+ s; try again/
