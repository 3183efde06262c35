import { messageOf, OverlayError } from '../errors.ts'
import type {
  ClusterConfig,
  EndpointRecord,
  HostRecord,
  OverlayRecord,
  StoreProblem,
  SubnetLease,
} from './cluster-view.ts'
import type { Cidr } from '../net/cidr.ts'
import { decodeConfig } from './config-record.ts'
import type { Keyspace, ParsedKey } from './keyspace.ts'
import {
  decodeEndpoint,
  decodeHolder,
  decodeHost,
  decodeOverlay,
  decodePrivatePrefixes,
  decodeSubnet,
} from './records.ts'
import type { Entry } from './store.ts'

/** One key with its value, understood; or why not. */
export type ParsedEntry =
  | { readonly kind: 'config'; readonly record: ClusterConfig }
  | { readonly kind: 'subnet'; readonly record: SubnetLease; readonly createRevision: string }
  | { readonly kind: 'overlay'; readonly record: OverlayRecord; readonly createRevision: string }
  | { readonly kind: 'endpoint'; readonly record: EndpointRecord }
  | { readonly kind: 'host'; readonly record: HostRecord }
  | { readonly kind: 'private'; readonly hostId: string; readonly prefixes: readonly Cidr[] }
  | { readonly kind: 'holder'; readonly subnet: Cidr; readonly hostId: string }
  | { readonly kind: 'allocator'; readonly modRevision: string }
  | { readonly kind: 'problem'; readonly problem: StoreProblem }

function understand(entry: Entry, parsed: ParsedKey): ParsedEntry {
  const { key, value, modRevision, createRevision } = entry
  const at = { key, modRevision }
  switch (parsed.kind) {
    case 'config':
      return { kind: 'config', record: decodeConfig(value) }
    case 'subnet': {
      const { subnet, subnet6 } = parsed
      return {
        kind: 'subnet',
        record: { ...at, subnet, ...decodeSubnet(value, subnet, subnet6) },
        createRevision,
      }
    }
    case 'overlay': {
      const { name } = parsed
      return { kind: 'overlay', record: { ...at, name, ...decodeOverlay(value) }, createRevision }
    }
    case 'endpoint': {
      const { subnet, ip } = parsed
      return { kind: 'endpoint', record: { ...at, subnet, ip, ...decodeEndpoint(value) } }
    }
    case 'host': {
      const { hostId } = parsed
      return { kind: 'host', record: { ...at, hostId, ...decodeHost(value) } }
    }
    case 'private':
      return { kind: 'private', hostId: parsed.hostId, prefixes: decodePrivatePrefixes(value) }
    case 'holder':
      return { kind: 'holder', subnet: parsed.subnet, hostId: decodeHolder(value) }
    default:
      return { kind: 'allocator', modRevision }
  }
}

function parse(keyspace: Keyspace, entry: Entry): ParsedEntry {
  const { key } = entry
  const parsed = keyspace.parse(key)
  if (parsed === null) {
    return { kind: 'problem', problem: { key, reason: 'is not the name of a key known here' } }
  }
  try {
    return understand(entry, parsed)
  } catch (error) {
    if (!(error instanceof OverlayError)) throw error
    return { kind: 'problem', problem: { key, reason: messageOf(error) } }
  }
}

/** Entries never change once made, so what they say is worked out once. */
const parsedEntries = new WeakMap<Keyspace, WeakMap<Entry, ParsedEntry>>()

/** What one key and its value say. Never throws on anything that a store may hold. */
export function parseEntry(keyspace: Keyspace, entry: Entry): ParsedEntry {
  const known = parsedEntries.get(keyspace) ?? new WeakMap<Entry, ParsedEntry>()
  parsedEntries.set(keyspace, known)
  const parsed = known.get(entry) ?? parse(keyspace, entry)
  known.set(entry, parsed)
  return parsed
}
