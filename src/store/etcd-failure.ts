/** What is known of an etcd that ended before it answered. */
export interface EtcdEnd {
  /** "exit 1" or "SIGKILL" */
  readonly how: string
  /** What it said last, a line each. */
  readonly lastWords: string
  readonly dataDir: string
  /** Whether it had data from an earlier run. */
  readonly hadData: boolean
}

/** Why etcd ended and what to do about it, as one sentence. */
export function etcdFailure({ how, lastWords, dataDir, hadData }: EtcdEnd): string {
  const said = lastWords.split('\n').slice(-2).join('; ').trim()
  const quoted = said === '' ? how : `${how}: ${said}`
  if (/no space left on device|disk quota exceeded/i.test(lastWords)) {
    return `there is no space left on the disk of ${dataDir}: free some, and etcd is started again (${quoted})`
  }
  if (/read-only file system|permission denied/i.test(lastWords)) {
    return `etcd may not write its data in ${dataDir}, or not read the files of ETCD_LISTEN_CERT and ETCD_LISTEN_KEY: put that right, and it is started again (${quoted})`
  }
  if (/downgrade/i.test(lastWords)) {
    return `the data in ${dataDir} was written by a newer etcd than the one installed: install that version again (${quoted})`
  }
  if (hadData && /panic|fatal|fail|crc|invalid|corrupt|proto:|cannot|unexpected/i.test(lastWords)) {
    return `etcd cannot read its data in ${dataDir}, which seem damaged: move ${dataDir}/data away and every host writes its part anew, or restore a snapshot there (docs/etcd.md) (${quoted})`
  }
  return `etcd ended (${quoted})`
}
