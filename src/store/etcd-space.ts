import { messageOf } from '../errors.ts'
import { EtcdClient } from './etcd-client.ts'

/** Reads the whole database and writes it anew. */
const DEFRAGMENT_MS = 60_000

/** What etcd complained of, and whether that is over. */
export interface Relief {
  readonly relieved: boolean
  /** One sentence. */
  readonly what: string
}

/**
 * Looks which alarm an etcd of ours has raised. One for space (NOSPACE: it takes no writes) is answered
 * with compaction and defragmentation and taken back if that made room; one for damage stands.
 * @returns null when there is no alarm @throws what etcd3 throws
 */
export async function relieveEtcd(url: string, quotaBytes: number): Promise<Relief | null> {
  const client = new EtcdClient(url, { endpoints: [url] }, DEFRAGMENT_MS)
  try {
    const { maintenance, kv } = client
    const { alarms } = await maintenance.alarm({ action: 'Get', memberID: 0, alarm: 'None' })
    if (alarms.some(({ alarm }) => alarm === 'Corrupt')) {
      return {
        relieved: false,
        what: 'etcd has found its data damaged (alarm CORRUPT): restore a snapshot, or move the data away (docs/etcd.md)',
      }
    }
    if (alarms.length === 0) return null
    const before = await maintenance.status()
    try {
      await kv.compact({ revision: before.header.revision, physical: true })
    } catch (error) {
      if (!/compacted/.test(messageOf(error))) throw error
    }
    await maintenance.defragment()
    const { dbSize } = await maintenance.status()
    const sizes = `${megabytes(before.dbSize)} before, ${megabytes(dbSize)} after, of ${megabytes(quotaBytes)}`
    if (Number(dbSize) > quotaBytes / 2) {
      return {
        relieved: false,
        what: `etcd's database is full and takes no writes, and cleaning up did not help (${sizes}): somebody fills it; see with "etcdctl get --prefix --keys-only /" and delete what is not under ETCD_PREFIX`,
      }
    }
    for (const alarm of alarms) {
      await maintenance.alarm({
        action: 'Deactivate',
        memberID: alarm.memberID,
        alarm: alarm.alarm,
      })
    }
    return { relieved: true, what: `etcd's database was full and has been cleaned up (${sizes})` }
  } finally {
    client.close()
  }
}

const megabytes = (bytes: number | string): string => `${Math.ceil(Number(bytes) / 1e6)} MB`
