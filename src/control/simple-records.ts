import { parseCidr, parseInterfaceAddress } from '../net/cidr.ts'
import { parseInterfaceAddress6 } from '../net/cidr6.ts'
import type { Keyspace } from '../store/keyspace.ts'
import { encodeEndpoint, encodeHost, encodePrivatePrefixes } from '../store/records.ts'
import type { Compare, Entry, Operation } from '../store/store.ts'
import type { HostFacts } from './host-facts.ts'
import type { HostIdentity } from './host-identity.ts'
import type { Member } from './members.ts'

/** A key that only this host writes, as it should be. */
export interface WantedRecord {
  readonly key: string
  readonly value: string
  /** The etcd lease it hangs on. */
  readonly lease: string
}

export interface WantedRecordsInput {
  readonly keys: Keyspace
  readonly identity: HostIdentity
  readonly facts: HostFacts
  readonly members: readonly Member[]
  readonly hostname: string
  readonly version: string
  /** Short: this host is alive. */
  readonly hostLease: string
  /** Long: what outlives an outage. */
  readonly recordLease: string
}

/** What this host says of itself, its private bridges and its endpoints. */
export function wantedRecords(input: WantedRecordsInput): WantedRecord[] {
  const { keys, identity, facts, members } = input
  const host = encodeHost({
    hostname: input.hostname,
    instance: identity.instance,
    publicIp: facts.publicIp,
    version: input.version,
    mtu: facts.overlayMtu,
  })
  const endpoints = members.flatMap(({ held, endpoints }) =>
    endpoints.map((endpoint) => ({
      key: keys.endpoint(parseCidr(held.subnet), parseInterfaceAddress(endpoint.address).ip),
      value: encodeEndpoint({
        endpointId: endpoint.id,
        mac: endpoint.mac,
        name: null,
        ipv6: endpoint.address6 === null ? null : parseInterfaceAddress6(endpoint.address6).ip,
      }),
      lease: input.recordLease,
    })),
  )
  return [
    { key: keys.host(identity.hostId), value: host, lease: input.hostLease },
    {
      key: keys.privatePrefixes(identity.hostId),
      value: encodePrivatePrefixes(facts.privatePrefixes),
      lease: input.recordLease,
    },
    ...endpoints,
  ]
}

/** Tells the keys of endpoints in this host's own subnets, which nobody else writes. */
export function ownEndpointKeys(
  members: readonly Member[],
  keys: Keyspace,
): (key: string) => boolean {
  const folderOf = (key: string): string => key.slice(0, key.lastIndexOf('/'))
  const folders = new Set(
    members.map(({ held }) => {
      const subnet = parseCidr(held.subnet)
      return folderOf(keys.endpoint(subnet, subnet.base))
    }),
  )
  return (key) => folders.has(folderOf(key))
}

/** One record's write or removal, safe against a change since it was read. */
export interface GuardedWrite {
  readonly compare: Compare
  readonly operation: Operation
}

/**
 * The writes that turn what the store holds into what is wanted. A record is right when its value is
 * and it hangs on the current lease; `isMine` tells which other keys are this host's to remove.
 */
export function recordChanges(
  entries: ReadonlyMap<string, Entry>,
  wanted: readonly WantedRecord[],
  isMine: (key: string) => boolean,
): GuardedWrite[] {
  const kept = new Set(wanted.map((record) => record.key))
  const puts = wanted.flatMap(({ key, value, lease }): GuardedWrite[] => {
    const entry = entries.get(key)
    if (entry?.value === value && entry.lease === lease) return []
    return [{ compare: asRead(key, entry), operation: { put: key, value, lease } }]
  })
  const removals = [...entries.values()]
    .filter(({ key }) => !kept.has(key) && isMine(key))
    .map((entry) => ({ compare: asRead(entry.key, entry), operation: { delete: entry.key } }))
  return [...puts, ...removals]
}

const asRead = (key: string, entry: Entry | undefined): Compare =>
  entry ? { key, is: 'modRevision', revision: entry.modRevision } : { key, is: 'absent' }
