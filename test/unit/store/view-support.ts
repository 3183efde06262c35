import { parseCidr } from '../../../src/net/cidr.ts'
import { parseIpv4 } from '../../../src/net/ipv4.ts'
import type { ClusterView } from '../../../src/store/cluster-view.ts'
import { createKeyspace } from '../../../src/store/keyspace.ts'
import { parseView } from '../../../src/store/parse-view.ts'
import type { SubnetValue } from '../../../src/store/records.ts'
import type { Entry, Snapshot } from '../../../src/store/store.ts'

export const keyspace = createKeyspace('/overlay-ts')

/** Keys and values in the order in which they were created, one revision each. */
export function snapshotOf(values: Readonly<Record<string, string>>): Snapshot {
  const entries = Object.entries(values).map(([key, value], index): Entry => {
    const revision = String(index + 2)
    return { key, value, createRevision: revision, modRevision: revision, lease: null }
  })
  return {
    revision: String(entries.length + 1),
    entries: new Map(entries.map((entry) => [entry.key, entry])),
  }
}

/** The view of keys given below the prefix: "subnets/10.32.5.0-24". */
export function viewOf(values: Readonly<Record<string, string>>): ClusterView {
  const full = Object.entries(values).map(([key, value]) => [`${keyspace.root}${key}`, value])
  return parseView(keyspace, snapshotOf(Object.fromEntries(full) as Record<string, string>))
}

/** "overlays/web: reason" for every problem. */
export function problemsOf(view: ClusterView): string[] {
  return view.problems.map(({ key, reason }) => `${key.replace(keyspace.root, '')}: ${reason}`)
}

export function leaseValue(changes: Partial<SubnetValue> = {}): SubnetValue {
  return {
    publicIp: parseIpv4('172.18.10.96'),
    vtepMac: '02:11:22:33:44:55',
    vni: 4096,
    hostId: 'host-a',
    overlay: 'web',
    kind: 'pooled',
    pool: parseCidr('10.33.0.0/16'),
    ipv6: null,
    mtu: 1450,
    networkId: null,
    ...changes,
  }
}
