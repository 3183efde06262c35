import { specialPrefix6 } from '../ipam/special-prefix6.ts'
import { containsCidr, formatCidr, type Cidr } from '../net/cidr.ts'
import { formatCidr6, type Cidr6 } from '../net/cidr6.ts'
import type {
  ClusterConfig,
  ClusterView,
  EndpointRecord,
  HostRecord,
  OverlayRecord,
  StoreProblem,
  SubnetLease,
} from './cluster-view.ts'
import { DisjointPrefixes } from './disjoint.ts'
import type { Keyspace } from './keyspace.ts'
import { parseEntry, type ParsedEntry } from './parse-entry.ts'
import { compareRevisions } from './revision.ts'
import type { Snapshot } from './store.ts'

type Kind = ParsedEntry['kind']
type OfKind<K extends Kind> = Extract<ParsedEntry, { kind: K }>

type Aged<Record> = { readonly record: Record; readonly createRevision: string }

/** The oldest first; keys made in one transaction are as old as each other and go by name. */
function byAge<Record extends { key: string }>(a: Aged<Record>, b: Aged<Record>): number {
  return (
    compareRevisions(a.createRevision, b.createRevision) || (a.record.key < b.record.key ? -1 : 1)
  )
}

/** Of two overlays with one VNI or with overlapping pools the older stands. */
function soundOverlays(
  entries: readonly OfKind<'overlay'>[],
  problems: StoreProblem[],
): Map<string, OverlayRecord> {
  const overlays = new Map<string, OverlayRecord>()
  const vnis = new Map<number, string>()
  const pools = new DisjointPrefixes<string>(
    entries.flatMap(({ record }) => record.pool?.length ?? []),
  )
  for (const { record } of entries.toSorted(byAge)) {
    const { key, name, vni, pool } = record
    const sameVni = vnis.get(vni)
    const samePool = sameVni === undefined && pool !== null ? pools.add(pool, name) : null
    if (sameVni !== undefined) {
      problems.push({ key, reason: `has the VNI ${vni} of the older overlay "${sameVni}"` })
    } else if (pool !== null && samePool !== null) {
      problems.push({
        key,
        reason: `has the pool ${formatCidr(pool)}, which overlaps that of the older overlay "${samePool}"`,
      })
    } else {
      overlays.set(name, record)
      vnis.set(vni, name)
    }
  }
  return soundPools6(overlays, problems)
}

/** Of two overlays with overlapping IPv6 pools the older keeps its own; the younger goes on without. */
function soundPools6(
  overlays: ReadonlyMap<string, OverlayRecord>,
  problems: StoreProblem[],
): Map<string, OverlayRecord> {
  const records = [...overlays.values()]
  const pools = new DisjointPrefixes<string>(records.flatMap(({ pool6 }) => pool6?.length ?? []))
  const sound = records.map((record): OverlayRecord => {
    const { key, name, pool6 } = record
    if (pool6 === null) return record
    const older = pools.add(pool6, name)
    if (older === null) return record
    problems.push({
      key,
      part: 'IPv6',
      reason: `has the pool ${formatCidr6(pool6)}, which overlaps that of the older overlay "${older}"`,
    })
    return { ...record, pool6: null }
  })
  return new Map(sound.map((record) => [record.name, record]))
}

/** Why a lease has no business where it is, or null. Without a config there is no Network to be outside of. */
function misplaced(
  lease: SubnetLease,
  config: ClusterConfig | null,
  pools: readonly Cidr[],
): string | null {
  if (lease.subnet.length === 0)
    return 'is of a host without an IPv4 subnet, which cannot be reached'
  if (config === null || lease.kind === 'docker' || lease.pool !== null) return null
  if (containsCidr(config.network, lease.subnet)) return null
  if (pools.some((pool) => containsCidr(pool, lease.subnet))) return null
  return `is outside the cluster's Network ${formatCidr(config.network)} and in no overlay's pool`
}

/** Of two leases that overlap the older stands. */
function soundSubnets(
  entries: readonly OfKind<'subnet'>[],
  config: ClusterConfig | null,
  overlays: ReadonlyMap<string, OverlayRecord>,
  problems: StoreProblem[],
): Map<string, SubnetLease> {
  const subnets = new Map<string, SubnetLease>()
  const pools = [...overlays.values()].flatMap((overlay) => overlay.pool ?? [])
  const taken = new DisjointPrefixes<SubnetLease>(entries.map(({ record }) => record.subnet.length))
  for (const { record } of entries.toSorted(byAge)) {
    const { key, subnet } = record
    const reason = misplaced(record, config, pools)
    const older = reason === null ? taken.add(subnet, record) : null
    if (reason !== null) problems.push({ key, reason })
    else if (older !== null)
      problems.push({ key, reason: overlapReason(formatCidr(older.subnet), older) })
    else subnets.set(formatCidr(subnet), record)
  }
  return soundHalves(subnets, problems)
}

/** Of two leases with overlapping IPv6 subnets the older keeps its own; the younger goes on without. */
function soundHalves(
  leases: ReadonlyMap<string, SubnetLease>,
  problems: StoreProblem[],
): Map<string, SubnetLease> {
  const halves = new DisjointPrefixes<SubnetLease>(
    leases.values().flatMap(({ ipv6 }) => (ipv6 ? [ipv6.subnet.length] : [])),
  )
  const withSoundHalf = (lease: SubnetLease): SubnetLease => {
    if (lease.ipv6 === null) return lease
    const reason = unsoundHalf(lease, lease.ipv6.subnet, halves)
    if (reason === null) return lease
    problems.push({ key: lease.key, part: 'IPv6', reason })
    return { ...lease, ipv6: null }
  }
  return new Map(leases.entries().map(([text, lease]) => [text, withSoundHalf(lease)]))
}

function unsoundHalf(
  lease: SubnetLease,
  subnet: Cidr6,
  halves: DisjointPrefixes<SubnetLease>,
): string | null {
  const special = specialPrefix6(subnet)
  if (special !== null) return special
  const older = halves.add(subnet, lease)
  return older?.ipv6 ? overlapReason(formatCidr6(older.ipv6.subnet), older) : null
}

function overlapReason(subnet: string, { hostId }: SubnetLease): string {
  const holder = hostId === null ? '' : ` of host ${hostId}`
  return `overlaps the older lease ${subnet}${holder}`
}

/**
 * Everything that a snapshot says. Whatever is wrong is left out and listed in `problems`: a key
 * that somebody broke by hand must not stop a cluster.
 */
export function parseView(keyspace: Keyspace, snapshot: Snapshot): ClusterView {
  const problems: StoreProblem[] = []
  const subnets: OfKind<'subnet'>[] = []
  const overlays: OfKind<'overlay'>[] = []
  const holders = new Map<string, string>()
  const hosts = new Map<string, HostRecord>()
  const privatePrefixes = new Map<string, readonly Cidr[]>()
  const endpoints: EndpointRecord[] = []
  let config: ClusterConfig | null = null
  let allocatorRevision: string | null = null

  for (const entry of snapshot.entries.values()) {
    const parsed = parseEntry(keyspace, entry)
    if (parsed.kind === 'config') config = parsed.record
    else if (parsed.kind === 'subnet') subnets.push(parsed)
    else if (parsed.kind === 'overlay') overlays.push(parsed)
    else if (parsed.kind === 'endpoint') endpoints.push(parsed.record)
    else if (parsed.kind === 'host') hosts.set(parsed.record.hostId, parsed.record)
    else if (parsed.kind === 'private') privatePrefixes.set(parsed.hostId, parsed.prefixes)
    else if (parsed.kind === 'holder') holders.set(formatCidr(parsed.subnet), parsed.hostId)
    else if (parsed.kind === 'allocator') allocatorRevision = parsed.modRevision
    else problems.push(parsed.problem)
  }

  const knownOverlays = soundOverlays(overlays, problems)
  const knownSubnets = soundSubnets(subnets, config, knownOverlays, problems)
  return {
    revision: snapshot.revision,
    config,
    subnets: knownSubnets,
    overlays: knownOverlays,
    holders,
    hosts,
    privatePrefixes,
    endpoints,
    allocatorRevision,
    problems,
  }
}
